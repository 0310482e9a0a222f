"""Measures all contenders at one size, in turns, so that whatever else the machine does meets all of them alike."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Final

from bench import (
    bulk,
    closed_loop,
    correctness,
    figures,
    flask_server,
    installation,
    machine,
    open_loop,
    peer,
    people,
    processes,
)
from bench import report as reports
from bench.closed_loop import Run, Target
from bench.installation import Service
from bench.open_loop import OpenLoop
from bench.peer import Peer
from bench.processes import BenchmarkError
from bench.report import ClosedLoop, Fact, Report

OPEN_RATE: Final = 200
_WARM_UP_SECONDS: Final = 2
_CALM_SECONDS: Final = 10.0
#: A target that reaches less than this share above the fixed rate falls behind it for ever.
_HEADROOM: Final = 1.1
_LONGEST_BATCH_SECONDS: Final = 0.3
_LEAST_BATCH_RATE: Final = 50_000
_LEAST_STREAM_RATE: Final = 40_000
_LARGEST_WORKER_MB: Final = 150
_LONGEST_BESIDE_STREAMS_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long."""

    rounds: int
    seconds: int
    lines: int
    with_peer: bool
    #: The size at which batches and streams are measured, None for none.
    bulk_at: int | None


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that runs while one size is measured."""

    service: Service
    total: int
    targets: tuple[Target, ...]
    peer: Peer | None


def measure(folder: Path, *, total: int, plan: Plan, report: Report, say: Callable[[str], None]) -> None:
    """Make the installation where it is missing, start everything, and add what is found to the report."""
    data = folder / f"people-{total}"
    say(f"{total:,} people: preparing")
    seconds = installation.fill(data, total=total, say=say)
    if seconds:
        say(f"  loaded in {seconds:.0f} s")
    with running(folder, data, total=total, plan=plan, say=say) as field:
        report.machine = machine.describe(field.service.url)
        correctness.demand_real_rows(field.service, total=total, say=say)
        if not report.correctness:
            report.correctness = correctness.compare(field.service, field.peer)
        closed = list(_closed(field, plan, report, say=say))
        report.closed += closed
        report.open += list(_open(field, plan, closed, say=say))
        if total == plan.bulk_at:
            for fact in _bulk(field, plan, say=say):
                say(f"  {fact.what}: {reports.number(fact.value)} {fact.unit}")
                report.facts.append(fact)


@contextlib.contextmanager
def running(folder: Path, data: Path, *, total: int, plan: Plan, say: Callable[[str], None]) -> Iterator[Field]:
    """Run the service, the bare routes, and the peer twice, while the block lasts."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(installation.running(data, log=folder / "service.log"))
        bare, pid = stack.enter_context(flask_server.running(service, log=folder / "flask.log"))
        targets = [
            Target(reports.SERVICE, "service", service.port, service.web_processes, service.company.api_key),
            Target(reports.EMPTY, "empty", bare, partial(processes.family, pid)),
            Target(reports.LOOKUP, "lookup", bare, partial(processes.family, pid)),
        ]
        asked = None
        if plan.with_peer:
            seconds = peer.prepare(service.postgres, folder / "peer", people=total)
            if seconds:
                say(f"  the peer's databases made in {seconds:.0f} s")
            names = ((peer.AS_SHIPPED, reports.PEER), (peer.WITH_INDEXES, reports.PEER_INDEXED))
            for database, name in names:
                asked = stack.enter_context(
                    peer.running(
                        service.postgres,
                        folder / "peer",
                        database=database,
                        workers=flask_server.workers(),
                        log=folder / f"{database}.log",
                    )
                )
                targets.append(Target(name, "peer", asked.port, partial(processes.family, asked.pid)))
        yield Field(service, total, tuple(targets), asked)


def _closed(field: Field, plan: Plan, report: Report, *, say: Callable[[str], None]) -> Iterator[ClosedLoop]:
    """Load every target in every round, each after a warm-up and when all that was asked before is worked off."""
    runs: dict[str, list[_Measured]] = {target.name: [] for target in field.targets}
    is_slow = dict.fromkeys(runs, False)
    late = []
    for index in range(plan.rounds):
        for target in field.targets:
            warm = closed_loop.run(target, people=field.total, seconds=_WARM_UP_SECONDS)
            is_slow[target.name] |= warm.rate * _WARM_UP_SECONDS < closed_loop.CONNECTIONS
            field.service.settle()
            found = _measured(field, target, seconds=plan.seconds, is_slow=is_slow[target.name])
            runs[target.name].append(found)
            seconds = field.service.settle()
            if target.name == reports.SERVICE:
                late.append(seconds)
            say(f"  round {index + 1}, {target.name}: {reports.number(found.run.rate)} requests/s")
    what = f"decision log complete after {plan.seconds} s of full load"
    report.facts.append(Fact(field.total, what, figures.spread(late).median, "s", figures.spread(late)))
    for name, measured in runs.items():
        middle = sorted(measured, key=lambda each: each.run.rate)[len(measured) // 2]
        yield ClosedLoop(
            contender=name,
            people=field.total,
            connections=closed_loop.FEW_CONNECTIONS if is_slow[name] else closed_loop.CONNECTIONS,
            rate=figures.spread([each.run.rate for each in measured]),
            p50=middle.run.p50,
            p99=middle.run.p99,
            own_cpu=figures.spread([each.own_cpu for each in measured]),
            database_cpu=figures.spread([each.database_cpu for each in measured]),
            refused=sum(each.run.refused for each in measured),
            broken=sum(each.run.broken for each in measured),
        )


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run, and the processor time that a request took in the contender and in the database, in µs."""

    run: Run
    own_cpu: float
    database_cpu: float


def _measured(field: Field, target: Target, *, seconds: int, is_slow: bool) -> _Measured:
    connections = closed_loop.CONNECTIONS
    if is_slow:
        connections, seconds = closed_loop.FEW_CONNECTIONS, max(seconds, closed_loop.FEW_CONNECTIONS_SECONDS)
    before = _cpu(field, target)
    run = closed_loop.run(target, people=field.total, seconds=seconds, connections=connections)
    after = _cpu(field, target)
    requests = max(1.0, run.rate * seconds)
    own_cpu, database_cpu = ((end - begin) * 1_000_000 / requests for begin, end in zip(before, after, strict=True))
    return _Measured(run, own_cpu, database_cpu)


def _cpu(field: Field, target: Target) -> tuple[float, float]:
    return processes.cpu_seconds(target.pids()), processes.cpu_seconds(field.service.database_processes())


def _open(
    field: Field, plan: Plan, closed: list[ClosedLoop], *, say: Callable[[str], None]
) -> Iterator[reports.OpenLoop]:
    """Ask every target at the fixed rate, but for those that the closed loop showed to be slower than that."""
    able = {each.contender: each.rate.median > OPEN_RATE * _HEADROOM for each in closed}
    times: dict[str, list[open_loop.Answers]] = {target.name: [] for target in field.targets}
    for _ in range(plan.rounds):
        for target in field.targets:
            if not able[target.name]:
                continue
            request = _requests(target, field.total)
            OpenLoop(target.port, rate=OPEN_RATE, seconds=1, request=request).run()
            loop = OpenLoop(target.port, rate=OPEN_RATE, seconds=plan.seconds, request=request)
            times[target.name].append(loop.run())
            field.service.settle()
    for name, found in times.items():
        if not found:
            yield reports.OpenLoop(name, field.total, OPEN_RATE, note="cannot keep up")
            continue
        p50 = figures.spread([each.percentile(0.5) for each in found])
        p99 = figures.spread([each.percentile(0.99) for each in found])
        faults = sum(each.refused + each.missing for each in found)
        say(f"  {OPEN_RATE} requests/s, {name}: p50 {p50.median:.2f} ms, p99 {p99.median:.2f} ms")
        yield reports.OpenLoop(name, field.total, OPEN_RATE, p50, p99, faults)


def _requests(target: Target, total: int) -> Callable[[int], bytes]:
    drawn = Random()  # noqa: S311 - which people are asked about is no secret.
    if target.kind == "service":
        return lambda _: bulk.check_request(drawn.randrange(total), credential=target.credential)
    if target.kind == "lookup":
        return lambda _: open_loop.get(f"/latest/{people.subject_hex(drawn.randrange(total))}")
    if target.kind == "peer":
        path = "/api/c15t/consents/check?type=" + peer.TYPE + "&externalId="
        return lambda _: open_loop.get(path + people.external_id(drawn.randrange(total)))
    return lambda _: open_loop.get("/empty")


def _bulk(field: Field, plan: Plan, *, say: Callable[[str], None]) -> Iterator[Fact]:
    """Measure what the service does beside single checks; what cannot be measured is said and stops nothing else."""
    service, total = field.service, field.total
    parts = (
        (_quiet(service, total), None),
        (_batches(service, plan, total), bulk.BATCH_PATH),
        (_streams(service, plan, total), bulk.STREAM_PATH),
    )
    for part, path in parts:
        try:
            service.settle()
            if path is None or bulk.has(service, path):
                yield from part
            else:
                say(f"  this build has no {path}")
        except (BenchmarkError, OSError, HTTPException) as error:
            say(f"  not measured: {error!r}")


def _quiet(service: Service, total: int) -> Iterator[Fact]:
    found = bulk.calm(service, total=total, seconds=_CALM_SECONDS)
    yield Fact(total, "checks at 100/s, p99", found.checks.percentile(0.99), "ms")
    yield Fact(total, "withdrawals at 10/s beside them, p99", found.withdrawals.percentile(0.99), "ms")


def _batches(service: Service, plan: Plan, total: int) -> Iterator[Fact]:
    took = bulk.batch_seconds(service, total=total, runs=plan.rounds)
    is_fast = took.median <= _LONGEST_BATCH_SECONDS
    yield Fact(total, "a batch of 10,000, mixed references", took.median, "s", took, "≤ 0.3 s", is_fast)
    service.settle()
    rate = bulk.batch_rate(service, total=total, runs=plan.rounds, at_once=flask_server.workers())
    is_fast = rate.median >= _LEAST_BATCH_RATE
    what = "decisions in batches, one for each worker at a time"
    yield Fact(total, what, rate.median, "/s", rate, "≥ 50,000/s", is_fast)


def _streams(service: Service, plan: Plan, total: int) -> Iterator[Fact]:
    run = bulk.stream(service, total=total, lines=plan.lines)
    late = service.settle()
    is_fast, is_small = run.rate >= _LEAST_STREAM_RATE, max(run.peaks) < _LARGEST_WORKER_MB
    yield Fact(total, f"stream of {run.lines:,} lines", run.rate, "lines/s", None, "≥ 40,000/s", is_fast)
    yield Fact(total, "peak memory of the worker that answered it", max(run.peaks), "MB", None, "< 150 MB", is_small)
    yield Fact(total, "peak memory of that worker just before", max(run.peaks_before), "MB")
    yield Fact(total, "decision log complete after that stream", late, "s")
    with bulk.stalled_streams(service, total=total) as let_in:
        beside = bulk.calm(service, total=total, seconds=_CALM_SECONDS)
    yield Fact(total, f"of {bulk.STALLED} streams that stop reading, let in", let_in, "")
    for name, found in (("checks at 100/s", beside.checks), ("withdrawals at 10/s", beside.withdrawals)):
        p99 = found.percentile(0.99)
        yield Fact(total, f"{name} beside them, p99", p99, "ms", None, "< 50 ms", p99 < _LONGEST_BESIDE_STREAMS_MS)
