"""What the audit log costs and how soon it has an act: `python -m bench.keeping`.

Captures are counted with the log keeper at work and with the same keeper paused, in turns, so that whatever else the
machine does meets both alike; between turns everything that waits is placed and signed.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import click
import psycopg

from bench import closed_loop, figures, installation, machine, processes
from bench.closed_loop import Run, Target
from bench.figures import Spread
from bench.installation import Service
from bench.processes import BenchmarkError
from consent_service import clock

PEOPLE: Final = 1_000
CONNECTIONS: Final = 8
FEED_RATE: Final = 1_100
FEED_COMMIT: Final = 50
_SKELETONS: Final = (
    "INSERT INTO audit.entry (controller_id, id, version, type, occurred_at, commit, sealed_for, sealed)"
    " SELECT %s, uuidv7(), 1, 'consent.given', clock_timestamp(), sha256(uuid_send(gen_random_uuid())), 'subject',"
    " sha256('nothing') FROM generate_series(1, %s)"
)
_LOOK_SECONDS: Final = 0.01
_PATIENCE: Final = 120.0
Found = TypeVar("Found")
_NEWEST: Final = "SELECT e.controller_id, e.id FROM audit.entry e WHERE e.controller_id = %s ORDER BY e.id DESC LIMIT 1"
_PLACE: Final = "SELECT index FROM audit.leaf WHERE controller_id = %s AND entry_id = %s"
_SIGNED: Final = "SELECT max(size) FROM audit.checkpoint WHERE controller_id = %s"


@dataclass(frozen=True, slots=True)
class Delays:
    """How long after commit an entry had its place, was under a signed head, and lay outside; in seconds."""

    placed: tuple[float, ...]
    signed: tuple[float, ...]
    outside: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Slowest:
    """The delays that one entry in a hundred exceeds, in seconds, and how many entries were followed."""

    placed: float
    signed: float
    outside: float
    followed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; rates in captures a second, delays in seconds."""

    machine: dict[str, str]
    with_log: Spread
    without_log: Spread
    share: float
    entries_a_second: Spread
    captures: Slowest
    fed_a_second: Spread
    feeding: Slowest
    refused: int


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How often each is measured.")
@click.option("--seconds", type=click.IntRange(1), default=10, show_default=True, help="How long each turn lasts.")
def main(rounds: int, seconds: int) -> None:
    """Measure captures with the log kept and not kept, and how soon an act is in it. Writes JSON."""
    closed_loop.demand_wrk(_say)
    try:
        with tempfile.TemporaryDirectory(prefix="consent-bench-") as name:
            folder = Path(name)
            # PostgreSQL runs as another account where this one is root, and must get to its folder.
            folder.chmod(0o711)
            installation.fill(folder / "data", total=PEOPLE, say=_say)
            with installation.running(folder / "data", log=folder / "service.log") as service:
                found = measure(service, rounds=rounds, seconds=seconds)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    print(json.dumps(asdict(found), indent=2))


def measure(service: Service, *, rounds: int, seconds: int) -> Figures:
    """Measure in turns: kept, not kept, kept …; raises BenchmarkError where the log does not come to rest."""
    kept: list[Run] = []
    paused: list[Run] = []
    entries: list[float] = []
    delays: list[Delays] = []
    fed: list[float] = []
    fed_delays: list[Delays] = []
    with psycopg.connect(service.url, autocommit=True) as connection:
        rest(connection, service)
        _capture(service, 2)
        for number in range(rounds):
            rest(connection, service)
            _say(f"Turn {number + 1} of {rounds}: kept …")
            before = _size(connection)
            kept.append(_capture(service, seconds))
            entries.append((_size(connection) - before) / seconds)
            rest(connection, service)
            _say(f"Turn {number + 1} of {rounds}: paused …")
            with _paused(service):
                paused.append(_capture(service, seconds))
            rest(connection, service)
            # Looking for an entry a hundred times a second costs captures, so they are not counted meanwhile.
            _say(f"Turn {number + 1} of {rounds}: followed …")
            with _probing(service) as probe:
                _capture(service, seconds)
            delays.append(probe.delays())
            rest(connection, service)
            _say(f"Turn {number + 1} of {rounds}: {FEED_RATE} entries a second …")
            with _probing(service) as probe:
                fed.append(_feed(connection, seconds))
            fed_delays.append(probe.delays())
        described = machine.describe(service.url)
    with_log, without_log = (figures.spread([run.rate for run in runs]) for runs in (kept, paused))
    return Figures(
        machine=described,
        with_log=with_log,
        without_log=without_log,
        share=figures.ratio(with_log.median, without_log.median),
        entries_a_second=figures.spread(entries),
        captures=_slowest(delays),
        fed_a_second=figures.spread(fed),
        feeding=_slowest(fed_delays),
        refused=sum(run.refused + run.broken for run in (*kept, *paused)),
    )


def _slowest(delays: Sequence[Delays]) -> Slowest:
    placed = [each for round_ in delays for each in round_.placed]
    signed = [each for round_ in delays for each in round_.signed]
    outside = [each for round_ in delays for each in round_.outside]
    return Slowest(
        placed=figures.percentile(placed, 0.99),
        signed=figures.percentile(signed, 0.99),
        outside=figures.percentile(outside, 0.99),
        followed=len(placed),
    )


def _feed(connection: psycopg.Connection[tuple[object, ...]], seconds: int) -> float:
    """Write entries as fast as `FEED_RATE` says, in commits of fifty; return how many a second that were.

    No road of the service writes as many on two cores, so they are written past it: skeletons that nobody can open.
    """
    begun = time.monotonic()
    written = 0
    while (now := time.monotonic() - begun) < seconds:
        if written <= now * FEED_RATE:
            write_skeletons(connection, FEED_COMMIT)
            written += FEED_COMMIT
        else:
            time.sleep(FEED_COMMIT / FEED_RATE / 4)
    return written / (time.monotonic() - begun)


def write_skeletons(connection: psycopg.Connection[tuple[object, ...]], count: int) -> None:
    """Write entries of the company in one commit; the trigger puts them into the queue as it does all others."""
    company = company_uuid(connection)
    connection.execute("SELECT set_config('app.controller', %s, false)", (str(company),))
    connection.execute(_SKELETONS, (company, count))


def count_waiting(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Count the entries that wait for their place."""
    return _first(connection, "SELECT count(*) FROM audit.queue", ()) or 0


def _capture(service: Service, seconds: int) -> Run:
    company = service.company
    moment = (clock.now() - timedelta(minutes=1)).isoformat()
    target = Target(
        name="captures",
        kind="capture",
        port=service.port,
        pids=service.web_processes,
        credential=company.api_key,
        told=(company.form_id, moment),
    )
    return closed_loop.run(target, people=PEOPLE, seconds=seconds, connections=CONNECTIONS)


@contextlib.contextmanager
def _paused(service: Service) -> Iterator[None]:
    """Stop the log keeper for as long as the block lasts."""
    keepers = [pid for pid, line in processes.descendants(service.pid).items() if "log-keeper" in line]
    if not keepers:
        raise BenchmarkError("no log keeper runs")
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)


class _Probe:
    """Follows one entry after the other from its commit to the folder outside."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._found: tuple[list[float], list[float], list[float]] = ([], [], [])
        self._head = service.data / "log-copy" / service.company.controller_id / "e1" / "checkpoint"

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def delays(self) -> Delays:
        return Delays(*(tuple(each) for each in self._found))

    def _run(self) -> None:
        with psycopg.connect(self._service.url, autocommit=True) as connection:
            while not self._stop.is_set():
                self._follow(connection)

    def _follow(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        # The newest entry may have been there for a moment already: what is measured is too short by one look at most.
        controller = company_uuid(connection)
        row = connection.execute(_NEWEST, (controller,)).fetchone()
        seen = time.monotonic()
        if row is None or connection.execute(_PLACE, (controller, row[1])).fetchone() is not None:
            time.sleep(_LOOK_SECONDS)
            return
        index = wait_for(lambda: _first(connection, _PLACE, (controller, row[1])))
        self._found[0].append(time.monotonic() - seen)
        wait_for(lambda: self._outside() > index or None)
        self._found[2].append(time.monotonic() - seen)
        wait_for(lambda: (_first(connection, _SIGNED, (controller,)) or 0) > index or None)
        self._found[1].append(time.monotonic() - seen)

    def _outside(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return int(self._head.read_text(encoding="utf-8").split("\n")[1])
        return 0


@contextlib.contextmanager
def _probing(service: Service) -> Iterator[_Probe]:
    probe = _Probe(service)
    probe.start()
    try:
        yield probe
    finally:
        probe.end()


def wait_for(look: Callable[[], Found | None]) -> Found:
    """Look until something is found and return it; raises BenchmarkError where the log does not get on."""
    give_up_at = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up_at:
        found = look()
        if found is not None:
            return found
        time.sleep(_LOOK_SECONDS)
    raise BenchmarkError(f"the log does not take an entry within {_PATIENCE:.0f} s")


def _first(
    connection: psycopg.Connection[tuple[object, ...]], statement: str, values: tuple[object, ...]
) -> int | None:
    row = connection.execute(statement.encode(), values).fetchone()
    return None if row is None or row[0] is None else int(str(row[0]))


def company_uuid(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    """Return the id of the one company as PostgreSQL writes it."""
    row = connection.execute("SELECT controller_id FROM controller_directory").fetchone()
    if row is None:
        raise BenchmarkError("the installation has no company")
    return row[0]


def _size(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    return _first(connection, "SELECT count(*) FROM audit.entry", ()) or 0


def rest(connection: psycopg.Connection[tuple[object, ...]], service: Service) -> None:
    """Wait until nothing waits for its place or its signature."""
    unsigned = (
        "SELECT (SELECT count(*) FROM audit.queue) + (SELECT count(*) FROM audit.tree t WHERE t.size >"
        " (SELECT coalesce(max(c.size), 0) FROM audit.checkpoint c WHERE c.controller_id = t.controller_id))"
    )
    wait_for(lambda: True if _first(connection, unsigned, ()) == 0 else None)
    service.settle()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
