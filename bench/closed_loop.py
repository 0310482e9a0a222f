"""Closed loop: wrk sends the next request when the last is answered, and counts how many fit into a time."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import BenchmarkError

SCRIPT: Final = Path(__file__).parent / "requests.lua"
#: One thread makes the requests of all connections; it takes a share of the same cores.
CONNECTIONS: Final = 32
#: For a target that does not even answer each connection once while it warms up: it would answer nobody in time.
FEW_CONNECTIONS: Final = 2
FEW_CONNECTIONS_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers checks, or what it is compared with."""

    name: str
    #: The function of `requests.lua` that makes its requests.
    kind: str
    port: int
    #: Its processes, asked for anew each time, and not those of the database.
    pids: Callable[[], Iterable[int]] = field(repr=False)
    credential: str = ""
    #: What else the function is told.
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What wrk counted: rate in requests/s, times in ms."""

    rate: float
    p50: float
    p99: float
    refused: int
    broken: int


def demand_wrk(say: Callable[[str], None]) -> None:
    """Install wrk where it is missing and this system can; else raise BenchmarkError with what to do."""
    if shutil.which("wrk") is not None:
        return
    apt = shutil.which("apt-get")
    if apt is not None and os.geteuid() == 0:
        say("Installing wrk, which makes the load, from this system's packages …")
        for words in ([apt, "update"], [apt, "install", "-y", "--no-install-recommends", "wrk"]):
            subprocess.run(words, capture_output=True, check=False)
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk makes the load and is not installed; on Debian or Ubuntu: apt-get install -y wrk")


def run(target: Target, *, people: int, seconds: int, connections: int = CONNECTIONS) -> Run:
    """Load a target for some seconds; raises BenchmarkError where wrk fails."""
    words = [
        "wrk",
        *("--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "60s"),
        *("--script", str(SCRIPT), f"http://127.0.0.1:{target.port}", "--"),
        *(target.kind, str(people), target.credential, *target.told),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise BenchmarkError(f"wrk could not load {target.name}: {done.stderr[-500:]}")
    return read(json.loads(lines[-1]))


def read(counted: dict[str, int]) -> Run:
    """Turn wrk's counts into a rate and milliseconds."""
    seconds = counted["microseconds"] / 1_000_000
    return Run(
        rate=counted["requests"] / seconds,
        p50=counted["p50_us"] / 1000,
        p99=counted["p99_us"] / 1000,
        refused=counted["refused"],
        broken=counted["broken"],
    )
