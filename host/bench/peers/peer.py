"""What every peer script shares: arguments, rounds, limits, and the one JSON object on stdout.

A script subclasses `Peer`, gives a method for each workload its tool can do
(size in, seconds of one round out) and calls `run`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

# One hundred bytes of JSON: what every child is given and what it gives back.
PAYLOAD = json.dumps({"task": "no-op", "pad": "x" * 72})

TASK_SECONDS = 0.1  # how long one task of w5 waits
CONCURRENCY = 8  # how many tasks of w5 may wait at once
SLEEP_SECONDS = 600.0  # how long a child of w4 would sleep if nobody cancelled it
WARM_UP = 100  # one round of at most this size goes first and is not counted

# Workload: the unit of its figures, and the size when --n is not given.
WORKLOADS = {
    "w1": ("us_per_child", 1000),
    "w2": ("us_per_child", 1000),
    "w3": ("ms", 50),
    "w4": ("ms", 1000),
    "w5": ("ratio", 32),
}


class Peer:
    """One tool. The subclass has a method for each of `w1` to `w5` that is not in `lacks`."""

    name: str
    package: str  # as the registry calls it, to ask which version is installed
    install: str
    lacks: dict[str, str] = {}  # workload: why the tool cannot do it
    caps: dict[str, int] = {}  # workload: the largest size that ends in reasonable time
    notes: dict[str, str] = {}  # workload: how it is done, what the figure holds

    def version(self) -> str:
        """The installed version; raises when something is missing."""
        return importlib.metadata.version(self.package)

    def open(self, workload: str, n: int) -> None:
        """Start what the rounds need. Not timed."""

    def close(self) -> None:
        """Stop what `open` started, also when `open` failed half way."""


def run(peer: Peer) -> NoReturn:
    """Do what the command line asks for and end the process."""
    args = _arguments(peer.name)
    stdout = _keep_stdout()
    try:
        said = _probe(peer) if args.probe else _measure(peer, args)
    except KeyboardInterrupt:
        _end(130)
    except Exception as error:
        print(f"{peer.name}: {type(error).__name__}: {error}", file=sys.stderr)
        _end(1)
    os.write(stdout, (json.dumps(said) + "\n").encode())
    _end(0)


def requirements(name: str) -> str:
    """The command that installs what `requirements/NAME.txt` pins."""
    lines = Path(__file__).with_name("requirements").joinpath(f"{name}.txt").read_text().split("\n")
    return "pip install " + " ".join(line for line in lines if "==" in line)


def count(answers: list[str]) -> int:
    """How many children gave back what they were given."""
    return sum(answer == PAYLOAD for answer in answers)


def expect(got: int, wanted: int) -> None:
    """A round that lost children is no measurement."""
    if got != wanted:
        raise RuntimeError(f"{got} of {wanted} children did what they should")


def last_stop(called: float, stops: list[float], n: int) -> float:
    """Seconds from the call to cancel until the last of n children had stopped."""
    expect(len(stops), n)
    return max(stops) - called


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{name}.py")
    parser.add_argument("--probe", action="store_true", help="say whether the tool is installed")
    parser.add_argument("--workload", choices=sorted(WORKLOADS))
    parser.add_argument("--n", type=int, help="children, depth or tasks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for everything together")
    args = parser.parse_args()
    if not args.probe and args.workload is None:
        parser.error("--workload or --probe is needed")
    if args.rounds < 1 or (args.n is not None and args.n < 1) or args.timeout <= 0:
        parser.error("--rounds, --n and --timeout are larger than 0")
    return args


def _keep_stdout() -> int:
    """Set stdout aside for the JSON object; what libraries print goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _probe(peer: Peer) -> dict[str, Any]:
    said = {"peer": peer.name, "installed": True, "version": None, "why": None, "install": peer.install}
    try:
        said["version"] = peer.version()
    except Exception as error:
        said["installed"] = False
        said["why"] = str(error) or type(error).__name__
    return said


def _measure(peer: Peer, args: argparse.Namespace) -> dict[str, Any]:
    workload = args.workload
    unit, usual = WORKLOADS[workload]
    asked = args.n or usual
    n = min(asked, peer.caps.get(workload, asked))
    said = {"peer": peer.name, "version": None, "workload": workload, "n": n, "unit": unit}
    if workload in peer.lacks:
        return {**said, "skipped": peer.lacks[workload]}
    said["version"] = peer.version()
    note = peer.notes.get(workload, "")
    if n < asked:
        note = f"{asked} asked, capped at {n}; {note}"
    _limit(args.timeout)
    try:
        peer.open(workload, n)
        one_round = getattr(peer, workload)
        one_round(min(n, WARM_UP))
        seconds = [one_round(n) for _ in range(args.rounds)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)  # a second Ctrl-C must not stop the stopping
        peer.close()
    return {**said, "rounds": [_figure(unit, one, n) for one in seconds], "note": note}


def _figure(unit: str, seconds: float, n: int) -> float:
    if unit == "us_per_child":
        return round(seconds * 1e6 / n, 2)
    if unit == "ms":
        return round(seconds * 1e3, 3)
    return round(n * TASK_SECONDS / seconds, 3)


def _limit(seconds: float) -> None:
    """Turn a late alarm and a request to end into exceptions, so that `close` is always reached."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done within {seconds:.0f} s")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Again every 5 s: a library may swallow the first.
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)


def _end(code: int) -> NoReturn:
    """End now: `close` has run, and threads that a tool left behind must not hold the process."""
    sys.stderr.flush()
    os._exit(code)
