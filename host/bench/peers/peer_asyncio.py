"""Plain asyncio: tasks in one event loop, nothing on disk, nothing isolated. The floor."""

from __future__ import annotations

import asyncio
import platform
import time

from peer import CONCURRENCY, PAYLOAD, SLEEP_SECONDS, TASK_SECONDS, Peer, count, expect, last_stop, run


async def child(payload: str) -> str:
    return payload


async def link(depth: int, payload: str) -> str:
    if depth == 1:
        return payload
    return await asyncio.create_task(link(depth - 1, payload))


async def sleeper(started: list[float], stopped: list[float]) -> None:
    started.append(time.monotonic())
    try:
        await asyncio.sleep(SLEEP_SECONDS)
    finally:
        stopped.append(time.monotonic())


async def fan_out(n: int) -> float:
    start = time.perf_counter()
    answers = await asyncio.gather(*(child(PAYLOAD) for _ in range(n)))
    expect(count(answers), n)
    return time.perf_counter() - start


async def chain(n: int) -> float:
    start = time.perf_counter()
    expect(count([await asyncio.create_task(link(n, PAYLOAD))]), 1)
    return time.perf_counter() - start


async def cancel_storm(n: int) -> float:
    started: list[float] = []
    stopped: list[float] = []

    async def parent() -> None:
        await asyncio.gather(*(sleeper(started, stopped) for _ in range(n)))

    task = asyncio.create_task(parent())
    while len(started) < n:
        await asyncio.sleep(0.01)
    called = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return last_stop(called, stopped, n)


async def speed_up(n: int) -> float:
    gate = asyncio.Semaphore(CONCURRENCY)

    async def task(payload: str) -> str:
        async with gate:
            await asyncio.sleep(TASK_SECONDS)
        return payload

    start = time.perf_counter()
    answers = await asyncio.gather(*(task(PAYLOAD) for _ in range(n)))
    expect(count(answers), n)
    return time.perf_counter() - start


class PlainAsyncio(Peer):
    name = "asyncio"
    install = "part of Python 3.10 or newer"
    lacks = {"w2": "asyncio keeps nothing on disk"}
    notes = {
        "w1": "one task a child, in one process",
        "w3": "one task a link",
        "w4": "cancels the task of the parent; the loop cancels the children",
        "w5": "a semaphore in the parent",
    }

    def version(self) -> str:
        return platform.python_version()

    def w1(self, n: int) -> float:
        return asyncio.run(fan_out(n))

    def w3(self, n: int) -> float:
        return asyncio.run(chain(n))

    def w4(self, n: int) -> float:
        return asyncio.run(cancel_storm(n))

    def w5(self, n: int) -> float:
        return asyncio.run(speed_up(n))


if __name__ == "__main__":
    run(PlainAsyncio())
