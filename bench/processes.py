"""Starts programs for the time of a measurement, waits until they answer, and leaves none behind."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psycopg

from consent_service.db.programs import Program

CHECKOUT: str = str(Path(__file__).parents[1])
PATIENCE_SECONDS: float = 120.0


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says what to do."""


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
    return port


@contextlib.contextmanager
def running(
    words: Sequence[str], *, environment: Mapping[str, str], folder: str | Path, log: Path, ready: tuple[int, str]
) -> Iterator[int]:
    """Run a program while the block lasts, ready from the start, and yield its process id.

    `ready` is the port and the path that answers 200 once it is. The program ends with this process, however that
    ends. Raises BenchmarkError with its log where it ends early or stays silent.
    """
    leashed = Program(name=words[0], arguments=tuple(words), environment=environment).leashed()
    with log.open("wb") as output:
        process = subprocess.Popen(
            leashed, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, log=log, ready=ready)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def service_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without the settings of another service on the machine, and with `more`."""
    foreign = ("CONSENT_", "DATABASE_", "MAIL_", "SMS_", "PUBLIC_", "TRUSTED_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | dict(more)


def service_words(data: Path, *, port: int) -> list[str]:
    """Return the words of `consent up`."""
    return [sys.executable, "-m", "consent_service.cli.main", "up", "--data", str(data), "--port", str(port)]


def settle(superuser_url: str, *, spool: Path, seconds: float = 600.0) -> float:
    """Wait until nobody works off what was asked for before, and return the seconds that took.

    A server may go on for a client that has left, and the service's worker moves decisions from the spool into the log.
    Raises BenchmarkError where that does not end.
    """
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state <> 'idle' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    begun = time.monotonic()
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        while time.monotonic() - begun < seconds:
            row = connection.execute(busy).fetchone()
            if (row is None or row[0] == 0) and not _waits(spool):
                return time.monotonic() - begun
            time.sleep(0.1)
    raise BenchmarkError(f"what was asked for is not worked off after {seconds:.0f} s")


def descendants(root: int) -> dict[int, str]:
    """Return the processes below a process, with their command lines."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold spaces; the parent is the second word after it.
            parents[int(place.parent.name)] = int(place.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        for pid in level:
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def family(root: int) -> set[int]:
    """Return a process and all below it."""
    return {root, *descendants(root)}


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes and their children that ended have taken so far.

    So the time of a family only grows, also when a database session ends. The kernel counts in hundredths of a second.
    """
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            # utime, stime, cutime and cstime of proc(5), counted from after the name.
            ticks += sum(map(int, words[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _waits(spool: Path) -> bool:
    for path in spool.glob("*.*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                return True
    return False


def _wait(process: subprocess.Popen[bytes], *, log: Path, ready: tuple[int, str]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not _answers(*ready):
        if process.poll() is not None or time.monotonic() > give_up_at:
            tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise BenchmarkError(f"a program of the comparison does not answer:\n{tail}")
        time.sleep(0.05)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
