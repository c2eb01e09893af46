"""DBOS: workflows in this process, each spawn and completion a transaction in the system database.

The database is SQLite, what DBOS takes without configuration. Set PEER_DBOS_DATABASE_URL to
measure on another, such as Postgres; the note of each figure says which it was.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from typing import Any

from peer import CONCURRENCY, PAYLOAD, SLEEP_SECONDS, TASK_SECONDS, Peer, count, last_stop, requirements, run

DATABASE = os.environ.get("PEER_DBOS_DATABASE_URL", "")
QUEUE = "peer"
POLL_SECONDS = 0.01  # how often DBOS looks at its queue; 1.0 when not set
STORE = DATABASE.split(":")[0] if DATABASE else "SQLite file, as DBOS opens it: rollback journal, each commit synced"


class Storm:
    """When the children of a storm fell asleep and stopped; they run in this process."""

    started: int = 0
    stopped: list[float] = []


def workflows() -> dict[str, Any]:
    """The workflows of all workloads, registered with DBOS."""
    from dbos import DBOS

    @DBOS.workflow()
    async def no_op(payload: str) -> str:
        return payload

    @DBOS.workflow()
    async def wait(payload: str) -> str:
        await asyncio.sleep(TASK_SECONDS)
        return payload

    @DBOS.step(preemptible=True)
    async def sleep() -> None:
        Storm.started += 1
        try:
            await asyncio.sleep(SLEEP_SECONDS)
        finally:
            Storm.stopped.append(time.monotonic())

    @DBOS.workflow()
    async def sleeper() -> None:
        await sleep()

    @DBOS.workflow()
    async def link(depth: int, payload: str) -> str:
        return payload if depth == 1 else await link(depth - 1, payload)

    @DBOS.workflow()
    async def fan_out(n: int) -> int:
        handles = await asyncio.gather(*[DBOS.start_workflow_async(no_op, PAYLOAD) for _ in range(n)])
        return count(await asyncio.gather(*[handle.get_result() for handle in handles]))

    @DBOS.workflow()
    async def storm(n: int) -> None:
        handles = await asyncio.gather(*[DBOS.start_workflow_async(sleeper) for _ in range(n)])
        await asyncio.gather(*[handle.get_result() for handle in handles])

    @DBOS.workflow()
    async def queued(n: int) -> int:
        handles = await asyncio.gather(*[DBOS.enqueue_workflow_async(QUEUE, wait, PAYLOAD) for _ in range(n)])
        results = [handle.get_result(polling_interval_sec=POLL_SECONDS) for handle in handles]
        return count(await asyncio.gather(*results))

    return {"fan_out": fan_out, "link": link, "storm": storm, "queued": queued}


class Dbos(Peer):
    name = "dbos"
    package = "dbos"
    install = requirements("dbos")
    lacks = {"w1": "every DBOS workflow is durable: see w2"}
    # A child costs several synced commits.
    caps = {"w2": 1000, "w4": 1000}
    notes = {
        "w2": f"a child is a workflow, started and awaited by its parent; {STORE}",
        "w3": f"durable; a workflow calls the next, n deep; {STORE}",
        "w4": f"durable; cancel_workflow(cancel_children=True); children sleep in a preemptible step; {STORE}",
        "w5": f"durable; a queue with worker_concurrency, polled every 10 ms, not every second; {STORE}",
    }

    def open(self, workload: str, n: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="peer-dbos-")
        self.loop = asyncio.new_event_loop()
        from dbos import DBOS

        url = DATABASE or f"sqlite:///{self.folder}/system.sqlite"
        DBOS(config={"name": "peer", "system_database_url": url, "log_level": "CRITICAL"})
        self.workflows = workflows()
        DBOS.launch()
        if workload == "w5":  # its polls would contend with the others for the database
            DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLL_SECONDS)

    def close(self) -> None:
        from dbos import DBOS

        DBOS.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)

    def w2(self, n: int) -> float:
        return self._timed("fan_out", n, n)

    def w3(self, n: int) -> float:
        return self._timed("link", PAYLOAD, n, PAYLOAD)

    def w4(self, n: int) -> float:
        return self.loop.run_until_complete(self._cancel_storm(n))

    def w5(self, n: int) -> float:
        return self._timed("queued", n, n)

    def _timed(self, workflow: str, wanted: Any, *args: Any) -> float:
        async def one() -> float:
            start = time.perf_counter()
            got = await self.workflows[workflow](*args)
            if got != wanted:
                raise RuntimeError(f"{workflow} gave {got}")
            return time.perf_counter() - start

        return self.loop.run_until_complete(one())

    async def _cancel_storm(self, n: int) -> float:
        from dbos import DBOS

        Storm.started, Storm.stopped = 0, []
        parent = await DBOS.start_workflow_async(self.workflows["storm"], n)
        while Storm.started < n:
            await asyncio.sleep(0.01)
        called = time.monotonic()
        await DBOS.cancel_workflow_async(parent.workflow_id, cancel_children=True)
        while len(Storm.stopped) < n:
            await asyncio.sleep(0.01)
        return last_stop(called, Storm.stopped, n)


if __name__ == "__main__":
    run(Dbos())
