"""Obelisk: its server on loopback with SQLite in a temp folder; workflows and activities are
WebAssembly components in Rust, from `obelisk/`, built beforehand: see README.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from peer import CONCURRENCY, PAYLOAD, TASK_SECONDS, Peer, expect, run
from server import Server, free_ports, http

VERSION = "0.38.3"

SERVER_CONFIG = """
api.listening_addr = "127.0.0.1:{port}"
webui.enabled = false
external.enabled = false
database.sqlite.directory = "{folder}/sqlite"
wasm.cache_directory = "{folder}/wasm"
wasm.codegen_cache.directory = "{folder}/codegen"
"""

# Executors take more at a time and look more often than the defaults of 5 and 200 ms. Their locks
# expire after the usual second: with ten, some rounds of w5 stood still for ten.
EXECUTOR = """
exec.batch_size = 100
exec.tick_sleep.milliseconds = 10
"""

DEPLOYMENT = """
[[activity_wasm]]
name = "activities"
location = "{components}/activities.wasm"
{executor}
[[workflow_wasm]]
name = "workflows"
location = "{components}/workflows.wasm"
{executor}
"""

# Where `jco new` has put the two components.
COMPONENTS = Path(
    os.environ.get("PEER_OBELISK_COMPONENTS") or Path(__file__).with_name("obelisk") / "target/components"
).resolve()


class Obelisk(Peer):
    name = "obelisk"
    package = "obelisk"
    install = f"cargo install --locked obelisk@{VERSION}"
    lacks = {
        "w1": "every Obelisk execution is durable: see w2",
        "w4": "Obelisk cancels activities and delays; a workflow with children cannot be cancelled",
    }
    caps = {"w2": 1000}
    notes = {
        "w2": "a child is an activity submitted to a join set; executor batch 100, tick 10 ms",
        "w3": "durable; a workflow calls itself through the server; executor tick 10 ms",
        "w5": "durable; the parent keeps 8 activities in flight; executor tick 10 ms",
    }
    server: Server | None = None

    def version(self) -> str:
        missing = [name for name in ("activities.wasm", "workflows.wasm") if not (COMPONENTS / name).is_file()]
        if missing:
            raise FileNotFoundError(f"no {' and '.join(missing)} in {COMPONENTS}; README.md says how to build them")
        said = subprocess.run(["obelisk", "--version"], capture_output=True, text=True, timeout=20, check=True)
        return said.stdout.split()[-1]

    def open(self, workload: str, n: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="peer-obelisk-"))
        (port,) = free_ports(1)
        self.api = f"http://127.0.0.1:{port}/v1"
        config, deployment = self.folder / "server.toml", self.folder / "deployment.toml"
        config.write_text(SERVER_CONFIG.format(port=port, folder=self.folder))
        deployment.write_text(DEPLOYMENT.format(components=COMPONENTS, executor=EXECUTOR))
        command = ["obelisk", "server", "run", "--server-config", str(config), "--deployment", str(deployment)]
        self.server = Server(command, self.folder)
        self.server.wait_for(f"{self.api}/components", 180)

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def w2(self, n: int) -> float:
        return self._timed("fan-out", [n, PAYLOAD], n)

    def w3(self, n: int) -> float:
        return self._timed("link", [n, PAYLOAD], PAYLOAD)

    def w5(self, n: int) -> float:
        return self._timed("windowed", [n, CONCURRENCY, round(TASK_SECONDS * 1000), PAYLOAD], n)

    def _timed(self, function: str, params: list[Any], wanted: Any) -> float:
        body = {"ffqn": f"peer:bench/parent.{function}", "params": params}
        start = time.perf_counter()
        got = http("POST", f"{self.api}/executions?follow=true", body)
        expect(int(got == {"ok": wanted}), 1)
        return time.perf_counter() - start


if __name__ == "__main__":
    run(Obelisk())
