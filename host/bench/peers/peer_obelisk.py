"""Obelisk: its server on loopback with SQLite in a temp folder; workflows and activities in JavaScript.

JavaScript because Obelisk takes it without a build; its JS runtimes are wasm components that the
server downloads as OCI images at its first start and keeps in its cache folder.
Written from the documentation and the sources of the pinned version: see README.md.
"""

from __future__ import annotations

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
"""

# Executors take more at a time and look more often than the defaults of 5 and 200 ms.
EXECUTOR = """
exec.batch_size = 100
exec.lock_expiry.seconds = 10
exec.tick_sleep.milliseconds = 10
"""

DEPLOYMENT = f"""
[[activity_js]]
ffqn = "peer:bench/child.echo"
params = [{{ name = "payload", type = "string" }}]
return_type = "result<string>"
content = '''
export default function echo(payload) {{ return payload; }}
'''
{EXECUTOR}
[[activity_js]]
ffqn = "peer:bench/child.wait"
params = [{{ name = "payload", type = "string" }}]
return_type = "result<string>"
content = '''
export default async function wait(payload) {{
    await new Promise(done => setTimeout(done, {TASK_SECONDS * 1000:.0f}));
    return payload;
}}
'''
{EXECUTOR}
[[workflow_js]]
ffqn = "peer:bench/parent.fan-out"
params = [{{ name = "n", type = "u32" }}, {{ name = "payload", type = "string" }}]
return_type = "result<u32>"
content = '''
import {{ echoSubmit, echoAwaitNext }} from 'peer:bench-obelisk-ext/child';
export default function fan_out(n, payload) {{
    const children = obelisk.createJoinSet();
    for (let i = 0; i < n; i++) echoSubmit(children, payload);
    let answered = 0;
    for (let i = 0; i < n; i++) if (echoAwaitNext(children) === payload) answered++;
    return answered;
}}
'''
{EXECUTOR}
[[workflow_js]]
ffqn = "peer:bench/parent.windowed"
params = [{{ name = "n", type = "u32" }}, {{ name = "payload", type = "string" }}]
return_type = "result<u32>"
content = '''
import {{ waitSubmit, waitAwaitNext }} from 'peer:bench-obelisk-ext/child';
export default function windowed(n, payload) {{
    const tasks = obelisk.createJoinSet();
    let submitted = 0;
    for (; submitted < Math.min(n, {CONCURRENCY}); submitted++) waitSubmit(tasks, payload);
    let answered = 0;
    for (let i = 0; i < n; i++) {{
        if (waitAwaitNext(tasks) === payload) answered++;
        if (submitted < n) {{ waitSubmit(tasks, payload); submitted++; }}
    }}
    return answered;
}}
'''
{EXECUTOR}
[[workflow_js]]
ffqn = "peer:bench/parent.link"
params = [{{ name = "depth", type = "u32" }}, {{ name = "payload", type = "string" }}]
return_type = "result<string>"
content = '''
export default function link(depth, payload) {{
    return depth === 1 ? payload : obelisk.call('peer:bench/parent.link', [depth - 1, payload]);
}}
'''
{EXECUTOR}
"""


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
        "w2": "a child is a JS activity submitted to a join set; executor batch 100, tick 10 ms",
        "w3": "durable; a JS workflow calls itself through the server; executor tick 10 ms",
        "w5": "durable; the parent keeps 8 activities in flight; executor tick 10 ms",
    }
    server: Server | None = None

    def version(self) -> str:
        said = subprocess.run(["obelisk", "--version"], capture_output=True, text=True, timeout=20, check=True)
        return said.stdout.split()[-1]

    def open(self, workload: str, n: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="peer-obelisk-"))
        (port,) = free_ports(1)
        self.api = f"http://127.0.0.1:{port}/v1"
        config, deployment = self.folder / "server.toml", self.folder / "deployment.toml"
        config.write_text(SERVER_CONFIG.format(port=port, folder=self.folder))
        deployment.write_text(DEPLOYMENT)
        command = ["obelisk", "server", "run", "--server-config", str(config), "--deployment", str(deployment)]
        self.server = Server(command, self.folder)
        self.server.wait_for(f"{self.api}/components", 180)

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def w2(self, n: int) -> float:
        return self._timed("fan-out", n, n)

    def w3(self, n: int) -> float:
        return self._timed("link", n, PAYLOAD)

    def w5(self, n: int) -> float:
        return self._timed("windowed", n, n)

    def _timed(self, function: str, n: int, wanted: Any) -> float:
        body = {"ffqn": f"peer:bench/parent.{function}", "params": [n, PAYLOAD]}
        start = time.perf_counter()
        got = http("POST", f"{self.api}/executions?follow=true", body)
        expect(int(got == {"ok": wanted}), 1)
        return time.perf_counter() - start


if __name__ == "__main__":
    run(Obelisk())
