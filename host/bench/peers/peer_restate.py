"""Restate: its server on loopback with data in a temp folder, handlers of the Python SDK in this process.

Each call and each result is an entry of a journal that the server replicates to its own log on disk.
"""

# No `from __future__ import annotations`: the SDK looks at the types of the handlers.
import asyncio
import glob
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from peer import CONCURRENCY, PAYLOAD, SLEEP_SECONDS, TASK_SECONDS, Peer, count, expect, last_stop, requirements, run
from server import Server, free_ports, http, wait_until

SERVER_PACKAGE = "@restatedev/restate-server@1.7.12"


class Storm:
    """When the children of a storm started and stopped; their handlers run in this process."""

    started: int = 0
    stopped: list[float] = []


def service() -> Any:
    """One Restate service with the handlers of all workloads."""
    import restate

    peer = restate.Service("peer")

    @peer.handler()
    async def no_op(ctx: restate.Context, payload: str) -> str:
        return payload

    @peer.handler()
    async def wait(ctx: restate.Context, payload: str) -> str:
        await asyncio.sleep(TASK_SECONDS)
        return payload

    @peer.handler()
    async def sleeper(ctx: restate.Context, payload: str) -> str:
        Storm.started += 1
        try:
            await ctx.sleep(timedelta(seconds=SLEEP_SECONDS))
        except restate.TerminalError:
            Storm.stopped.append(time.monotonic())
            raise
        return payload

    @peer.handler()
    async def fan_out(ctx: restate.Context, n: int) -> int:
        calls = [ctx.service_call(no_op, PAYLOAD) for _ in range(n)]
        return count([await call for call in calls])  # restate.gather costs n² here

    @peer.handler()
    async def link(ctx: restate.Context, depth: int) -> str:
        return PAYLOAD if depth == 1 else await ctx.service_call(link, depth - 1)

    @peer.handler()
    async def storm(ctx: restate.Context, n: int) -> None:
        for call in [ctx.service_call(sleeper, PAYLOAD) for _ in range(n)]:
            await call

    @peer.handler()
    async def windowed(ctx: restate.Context, n: int) -> int:
        waiting: list[Any] = []
        answered = 0
        for _ in range(n):
            if len(waiting) == CONCURRENCY:
                done, waiting = await restate.wait_completed(*waiting)
                answered += count([await call for call in done])
            waiting.append(ctx.service_call(wait, PAYLOAD))
        return answered + count([await call for call in await restate.gather(*waiting)])

    return peer


class Endpoint:
    """The SDK's side: an HTTP/2 server for the handlers, in a thread with an event loop of its own."""

    def __init__(self, port: int) -> None:
        import hypercorn.asyncio
        import hypercorn.config
        import restate

        config = hypercorn.config.Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.h2_max_concurrent_streams = 2**31 - 1
        config.loglevel = "CRITICAL"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        serve = hypercorn.asyncio.serve(restate.app([service()]), config, shutdown_trigger=self._stop.wait)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(serve,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)


def binary() -> str:
    """The server's binary: on PATH, or from the npm package in the folder of the venv."""
    pattern = f"{sys.prefix}/node_modules/@restatedev/restate-server-*/bin/restate-server"
    found = glob.glob(pattern)
    on_path = shutil.which("restate-server")
    if not found and not on_path:
        raise FileNotFoundError(f"no restate-server on PATH nor in {sys.prefix}/node_modules")
    return found[0] if found else str(on_path)


class Restate(Peer):
    name = "restate"
    package = "restate-sdk"
    install = f"{requirements('restate')} && npm install --prefix $VIRTUAL_ENV {SERVER_PACKAGE}"
    lacks = {"w1": "every Restate call is durable: see w2"}
    notes = {
        "w2": "a child is a call of a handler; one node, default configuration",
        "w3": "durable; a handler calls itself through the server",
        "w4": "durable; cancels the invocation of the parent; until the last handler has seen it",
        "w5": "durable; the parent keeps 8 calls in flight",
    }
    server: Server | None = None
    endpoint: Endpoint | None = None

    def version(self) -> str:
        said = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=True)
        return f"{said.stdout.split()[-1]} (sdk {super().version()})"

    def open(self, workload: str, n: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="peer-restate-"))
        ingress, admin, node, handlers = free_ports(4)
        self.ingress, self.admin = f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}"
        self.endpoint = Endpoint(handlers)
        options = {
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}/",
            "RESTATE_DISABLE_TELEMETRY": "true",
            # The children of a storm all wait at once, and their parent with them.
            "RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT": str(max(1000, n + 10)),
        }
        command = [binary(), "--no-logo", "--listen-mode", "tcp", "--node-name", "peer", "--base-dir", str(self.folder)]
        self.server = Server(command, self.folder, options)
        self.server.wait_for(f"{self.admin}/health", 60)
        self.server.wait_for(f"{self.ingress}/restate/health", 60)
        http("POST", f"{self.admin}/deployments", {"uri": f"http://127.0.0.1:{handlers}"})

    def close(self) -> None:
        for started in (self.server, self.endpoint):
            if started is not None:
                started.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def w2(self, n: int) -> float:
        return self._timed("fan_out", n, n)

    def w3(self, n: int) -> float:
        return self._timed("link", n, PAYLOAD)

    def w5(self, n: int) -> float:
        return self._timed("windowed", n, n)

    def _timed(self, handler: str, n: int, wanted: Any) -> float:
        start = time.perf_counter()
        got = http("POST", f"{self.ingress}/peer/{handler}", n)
        expect(int(got == wanted), 1)
        return time.perf_counter() - start

    def w4(self, n: int) -> float:
        Storm.started, Storm.stopped = 0, []
        parent = http("POST", f"{self.ingress}/peer/storm/send", n)["invocationId"]
        wait_until(lambda: Storm.started == n, 120, "the children's start")
        called = time.monotonic()
        http("PATCH", f"{self.admin}/invocations/{parent}/cancel")
        wait_until(lambda: len(Storm.stopped) == n, 120, "the children's stop")
        return last_stop(called, Storm.stopped, n)


if __name__ == "__main__":
    run(Restate())
