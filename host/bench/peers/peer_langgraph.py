"""LangGraph: a graph that sends itself N tasks in one superstep; w2 with the SQLite checkpointer.

A child is a node reached through `Send`. Async nodes and `ainvoke` throughout: with sync
nodes LangGraph runs a superstep on a thread pool, which is slower and cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from peer import CONCURRENCY, PAYLOAD, SLEEP_SECONDS, TASK_SECONDS, Peer, expect, last_stop, requirements, run


def tally(so_far: int, answer: str) -> int:
    """The join: counts the answers that came back whole."""
    return so_far + (answer == PAYLOAD)


class State(TypedDict, total=False):
    n: int
    answered: Annotated[int, tally]


Child = Callable[[dict[str, str]], Awaitable[dict[str, str]]]


async def no_op(task: dict[str, str]) -> dict[str, str]:
    return {"answered": task["payload"]}


async def wait(task: dict[str, str]) -> dict[str, str]:
    await asyncio.sleep(TASK_SECONDS)
    return {"answered": task["payload"]}


def fan_graph(child: Child, checkpointer: Any = None) -> Any:
    """parent, then n children at once, then join."""
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    graph = StateGraph(State)
    graph.add_node("parent", lambda state: {"n": state["n"]})
    graph.add_node("child", child)
    graph.add_node("join", lambda state: {})
    graph.add_edge(START, "parent")
    graph.add_conditional_edges("parent", lambda state: [Send("child", {"payload": PAYLOAD})] * state["n"], ["child"])
    graph.add_edge("child", "join")
    graph.add_edge("join", END)
    return graph.compile(checkpointer=checkpointer)


def chain_graph(depth: int) -> Any:
    """A graph whose only node runs the next graph and waits for it."""
    from langgraph.graph import END, START, StateGraph

    below = None if depth == 1 else chain_graph(depth - 1)

    async def link(state: State) -> dict[str, str]:
        if below is not None:
            expect((await below.ainvoke({"n": state["n"]}))["answered"], 1)
        return {"answered": PAYLOAD}

    graph = StateGraph(State)
    graph.add_node("link", link)
    graph.add_edge(START, "link")
    graph.add_edge("link", END)
    return graph.compile()


async def timed(graph: Any, n: int, wanted: int, config: dict[str, Any], **options: Any) -> float:
    start = time.perf_counter()
    out = await graph.ainvoke({"n": n}, config, **options)
    expect(out["answered"], wanted)
    return time.perf_counter() - start


async def durable_fan_out(file: Path, n: int) -> float:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
        await saver.setup()
        config = {"configurable": {"thread_id": str(time.monotonic_ns())}}
        return await timed(fan_graph(no_op, saver), n, n, config, durability="sync")


async def cancel_storm(n: int) -> float:
    started: list[float] = []
    stopped: list[float] = []

    async def sleeper(task: dict[str, str]) -> dict[str, str]:
        started.append(time.monotonic())
        try:
            await asyncio.sleep(SLEEP_SECONDS)
        finally:
            stopped.append(time.monotonic())
        return {"answered": task["payload"]}

    run_of_graph = asyncio.create_task(fan_graph(sleeper).ainvoke({"n": n}))
    while len(started) < n:
        await asyncio.sleep(0.01)
    called = time.monotonic()
    run_of_graph.cancel()
    await asyncio.gather(run_of_graph, return_exceptions=True)
    return last_stop(called, stopped, n)


class LangGraph(Peer):
    name = "langgraph"
    package = "langgraph"
    install = requirements("langgraph")
    notes = {
        "w1": "no checkpointer; a child is a node, n of them in one superstep",
        "w2": "AsyncSqliteSaver on a file, durability=sync; WAL, each commit synced",
        "w3": "no checkpointer; a graph in a node of a graph, n deep",
        "w4": "no run to cancel by name in the library: cancels the asyncio task that runs the graph",
        "w5": "max_concurrency in the config of the run",
    }

    def version(self) -> str:
        importlib.metadata.version("langgraph-checkpoint-sqlite")
        return importlib.metadata.version(self.package)

    def open(self, workload: str, n: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="peer-langgraph-"))

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def w1(self, n: int) -> float:
        return asyncio.run(timed(fan_graph(no_op), n, n, {}))

    def w2(self, n: int) -> float:
        return asyncio.run(durable_fan_out(self.folder / "checkpoints.sqlite", n))

    def w3(self, n: int) -> float:
        return asyncio.run(timed(chain_graph(n), n, 1, {}))

    def w4(self, n: int) -> float:
        return asyncio.run(cancel_storm(n))

    def w5(self, n: int) -> float:
        return asyncio.run(timed(fan_graph(wait), n, n, {"max_concurrency": CONCURRENCY}))


if __name__ == "__main__":
    run(LangGraph())
