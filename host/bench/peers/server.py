"""A server of our own for the peers that are servers: loopback ports, start, HTTP calls, stop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Proxy settings of the environment are not for loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_ports(how_many: int) -> list[int]:
    """Loopback ports that the system picks, all different."""
    sockets = [socket.socket() for _ in range(how_many)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(ready: Callable[[], bool], seconds: float, what: str, pause: float = 0.005) -> None:
    """Look again and again until `ready`; an error after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def http(method: str, url: str, body: Any = None, seconds: float = 120.0) -> Any:
    """One call with JSON in and out; an error unless the status is 2xx."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"accept": "application/json"}
    if data is not None:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with _DIRECT.open(request, timeout=seconds) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")[:300]
        raise RuntimeError(f"{method} {url}: {error.code} {detail}") from error
    return json.loads(text) if text else None


def is_up(url: str) -> bool:
    """Whether something answers there with 2xx."""
    try:
        with _DIRECT.open(url, timeout=2.0):
            return True
    except OSError:
        return False


class Server:
    """One server process: its log in a file, stopped by its process id."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to hear; we stop the server
            )

    def wait_for(self, url: str, seconds: float) -> None:
        """Wait until the server answers at `url`; the error has the end of its log."""
        try:
            wait_until(lambda: self._process.poll() is not None or is_up(url), seconds, "server start", 0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_end()}") from error
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}\n{self.log_end()}")

    def log_end(self) -> str:
        """The last of what the server wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """Ask the process to end, then make it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
