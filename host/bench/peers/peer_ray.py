"""Ray: a local cluster of one node; a child is a remote task in a worker process."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from typing import Any

from peer import CONCURRENCY, PAYLOAD, SLEEP_SECONDS, TASK_SECONDS, Peer, count, expect, last_stop, requirements, run


def fan_out(n: int, child: Any, payload: str) -> int:
    """The parent, itself a remote task."""
    import ray

    return count(ray.get([child.remote(payload) for _ in range(n)]))


def no_op(payload: str) -> str:
    return payload


def wait(payload: str) -> str:
    time.sleep(TASK_SECONDS)
    return payload


def link(depth: int, again: Any, payload: str) -> str:
    import ray

    return payload if depth == 1 else ray.get(again.remote(depth - 1, again, payload))


class Dormitory:
    """All sleeping children in one process: a thousand tasks would be a thousand processes."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped: list[float] = []

    async def sleeper(self) -> None:
        self.started += 1
        try:
            await asyncio.sleep(SLEEP_SECONDS)
        finally:
            self.stopped.append(time.monotonic())

    async def seen(self) -> tuple[int, list[float]]:
        return self.started, self.stopped


class Parent:
    """The parent of the storm: cancelled by name, together with what it called."""

    async def run(self, dormitory: Any, n: int) -> None:
        await asyncio.gather(*(dormitory.sleeper.remote() for _ in range(n)))


class Ray(Peer):
    name = "ray"
    package = "ray"
    install = requirements("ray")
    lacks = {"w2": "Ray keeps no task on disk (Ray Workflows was removed)"}
    notes = {
        "w1": "remote tasks on as many worker processes as there are cores; workers are warm",
        "w3": "a blocked task holds its worker, so a process a link; these were started in the warm-up",
        "w4": "ray.cancel(recursive=True) on a parent; all children are calls of one async actor",
        "w5": "a node declared with 8 CPUs, so 8 worker processes",
    }

    def open(self, workload: str, n: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="peer-ray-")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        cores = CONCURRENCY if workload == "w5" else os.cpu_count() or 1
        ray.init(
            num_cpus=cores,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=200 * 1024 * 1024,
            _temp_dir=self.folder,
        )
        # Made once: each ray.remote() is a function that the workers have to load.
        self.parent = ray.remote(fan_out).options(num_cpus=0)
        self.no_op, self.wait, self.link = ray.remote(no_op), ray.remote(wait), ray.remote(link)
        # Two seconds of tasks on every CPU: by then all worker processes have started.
        ray.get([self.wait.remote(PAYLOAD) for _ in range(int(2 / TASK_SECONDS) * cores)])

    def close(self) -> None:
        import ray

        ray.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def w1(self, n: int) -> float:
        return self._fan_out(n, self.no_op)

    def w5(self, n: int) -> float:
        return self._fan_out(n, self.wait)

    def _fan_out(self, n: int, child: Any) -> float:
        import ray

        start = time.perf_counter()
        expect(ray.get(self.parent.remote(n, child, PAYLOAD)), n)
        return time.perf_counter() - start

    def w3(self, n: int) -> float:
        import ray

        start = time.perf_counter()
        expect(count([ray.get(self.link.remote(n, self.link, PAYLOAD))]), 1)
        return time.perf_counter() - start

    def w4(self, n: int) -> float:
        import ray

        dormitory = ray.remote(Dormitory).options(num_cpus=0, max_concurrency=n + 10).remote()
        parent = ray.remote(Parent).options(num_cpus=0).remote()
        storm = parent.run.remote(dormitory, n)
        while ray.get(dormitory.seen.remote())[0] < n:
            time.sleep(0.05)
        called = time.monotonic()
        ray.cancel(storm, recursive=True)
        stopped: list[float] = []
        while len(stopped) < n:
            time.sleep(0.05)
            stopped = ray.get(dormitory.seen.remote())[1]
        for actor in (parent, dormitory):
            ray.kill(actor)
        return last_stop(called, stopped, n)


if __name__ == "__main__":
    run(Ray())
