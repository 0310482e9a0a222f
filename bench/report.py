"""Writes what was measured as Markdown tables, and as JSON for programs; pure."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import figures
from bench.closed_loop import CONNECTIONS
from bench.correctness import Comparison
from bench.figures import Spread

SERVICE = "this service"
EMPTY = "empty Flask route"
LOOKUP = "bare look-up in Flask"
PEER = "peer, as shipped"
PEER_INDEXED = "peer, two indexes added"
LARGEST_SLOWDOWN = 0.15
LARGEST_P50_MS = 5.0
LARGEST_P99_MS = 25.0


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A contender under full load at one size.

    Requests/s of all runs; times in ms of the run in the middle; processor time of a request in µs, in the contender's
    own processes and in the database's.
    """

    contender: str
    people: int
    connections: int
    rate: Spread
    p50: float
    p99: float
    own_cpu: Spread
    database_cpu: Spread
    refused: int
    broken: int


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """A contender at a fixed rate at one size; times in ms. `note` says why there are none."""

    contender: str
    people: int
    rate: float
    p50: Spread | None = None
    p99: Spread | None = None
    refused: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of the service alone."""

    people: int
    what: str
    value: float
    unit: str
    spread: Spread | None = None
    goal: str = ""
    is_reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that the service is meant to reach."""

    what: str
    wanted: str
    measured: str
    is_reached: bool


@dataclass(slots=True)
class Report:
    """Everything that one run of the benchmark found."""

    machine: dict[str, str]
    peer: dict[str, str]
    rounds: int
    seconds: int
    closed: list[ClosedLoop] = field(default_factory=list)
    open: list[OpenLoop] = field(default_factory=list)
    correctness: tuple[Comparison, ...] = ()
    facts: list[Fact] = field(default_factory=list)


def as_json(report: Report) -> str:
    """Write the report for a program."""
    return json.dumps(_without_infinity(dataclasses.asdict(report)), indent=2, allow_nan=False) + "\n"


def as_markdown(report: Report) -> str:
    """Write the report for a person."""
    parts = [
        _machine_list(report.machine | report.peer),
        _section("Closed loop, requests/s: median (least to most)", _closed_table(report)),
        _section("Times under that load at each size, ms: p50 / p99", _times_table(report)),
        _section("Processor time of a request, µs: in its own processes + in the database's", _cpu_table(report)),
        _section("This service's rate against the others", _ratio_table(report)),
        _section("Open loop, ms from the moment at which a request was meant to leave", _open_table(report)),
        _section("What they answer", _correctness_table(report.correctness)),
        _section("This service alone", _facts_table(report.facts)),
        _section("Goals", _goals_table(report)),
    ]
    return "\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; a bar inside a cell would end it and is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def number(value: float) -> str:
    """Write a figure with the digits that mean something."""
    if math.isinf(value):
        return "never"
    if value >= 100:  # noqa: PLR2004 - from here on the digits after the point are noise.
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above.


def spread(value: Spread) -> str:
    """Write the median with the extremes behind it."""
    return f"{number(value.median)} ({number(value.low)} to {number(value.high)})"


def ratios(report: Report) -> dict[tuple[str, int], float]:
    """Return the service's rate over each other contender's, by contender and size."""
    own = {each.people: each.rate.median for each in report.closed if each.contender == SERVICE}
    return {
        (each.contender, each.people): figures.ratio(own[each.people], each.rate.median)
        for each in report.closed
        if each.contender != SERVICE and each.people in own
    }


def goals(report: Report) -> list[Goal]:
    """Set what was measured at the largest size beside the goals of the single check."""
    sizes = _sizes(report)
    if not sizes:
        return []
    largest, found = sizes[-1], ratios(report)
    wanted = ((EMPTY, 0.5, "≥ 50 %"), (LOOKUP, 0.8, "≥ 80 %"), (PEER_INDEXED, 4.0, "≥ 4 ×"))
    reached = [
        Goal(
            f"rate of the {name}, {largest:,} people", text, _share(found[name, largest]), found[name, largest] >= least
        )
        for name, least, text in wanted
        if (name, largest) in found
    ]
    own = {each.people: each.rate.median for each in report.closed if each.contender == SERVICE}
    if len(own) > 1:
        slower = figures.slowdown(own[sizes[0]], own[largest])
        what = f"growth from {sizes[0]:,} to {largest:,} people"
        reached.append(Goal(what, "≤ 15 % slower", f"{slower:.1%} slower", slower <= LARGEST_SLOWDOWN))
    for each in report.open:
        if each.contender == SERVICE and each.people == largest:
            what = f"open loop at {each.rate:g}/s, {largest:,} people"
            reached.append(_time_goal(f"{what}, p50", "≤ 5 ms", each.p50, LARGEST_P50_MS))
            reached.append(_time_goal(f"{what}, p99", "≤ 25 ms", each.p99, LARGEST_P99_MS))
    return reached


def _time_goal(what: str, wanted: str, measured: Spread | None, most: float) -> Goal:
    if measured is None:
        return Goal(what, wanted, "cannot keep up", is_reached=False)
    return Goal(what, wanted, f"{number(measured.median)} ms", measured.median <= most)


def _goals_table(report: Report) -> str:
    rows = [[each.what, each.wanted, each.measured, _reached(each.is_reached)] for each in goals(report)]
    return table(["what", "goal", "measured", "reached"], rows) if rows else ""


def _without_infinity(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out.
    """Write *never* as null: JSON has no infinity."""
    if isinstance(value, dict):
        return {name: _without_infinity(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(each) for each in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def _section(title: str, body: str) -> str:
    return f"### {title}\n\n{body}" if body else ""


def _machine_list(machine: dict[str, str]) -> str:
    lines = "".join(f"- {name}: {value}\n" for name, value in machine.items())
    return _section("Machine", lines)


def _sizes(report: Report) -> list[int]:
    return sorted({each.people for each in report.closed})


def _by_contender(report: Report, cell: Any) -> str:  # noqa: ANN401 - a function of one measurement.
    sizes = _sizes(report)
    found = {(each.contender, each.people): each for each in report.closed}
    names = list(dict.fromkeys(each.contender for each in report.closed))
    rows = [[name, *(cell(found[name, size]) if (name, size) in found else "" for size in sizes)] for name in names]
    return table(["contender", *(f"{size:,} people" for size in sizes)], rows) if rows else ""


def _closed_table(report: Report) -> str:
    return _by_contender(report, _rate_cell)


def _rate_cell(each: ClosedLoop) -> str:
    faults = each.refused + each.broken
    few = f", {each.connections} connections" if each.connections != CONNECTIONS else ""
    return spread(each.rate) + few + (f", {faults} not answered well" if faults else "")


def _times_table(report: Report) -> str:
    return _by_contender(report, lambda each: f"{number(each.p50)} / {number(each.p99)}")


def _cpu_table(report: Report) -> str:
    return _by_contender(report, lambda each: f"{number(each.own_cpu.median)} + {number(each.database_cpu.median)}")


def _ratio_table(report: Report) -> str:
    sizes, found = _sizes(report), ratios(report)
    names = list(dict.fromkeys(name for name, _ in found))
    rows = [[name, *(_share(found.get((name, size))) for size in sizes)] for name in names]
    own = {each.people: each.rate.median for each in report.closed if each.contender == SERVICE}
    if len(own) > 1:
        least = own[min(own)]
        rows.append([f"itself at {min(own):,} people", *(f"{figures.ratio(own[size], least):.0%}" for size in sizes)])
    return table(["of the rate of", *(f"{size:,} people" for size in sizes)], rows) if rows else ""


def _share(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 2:  # noqa: PLR2004 - shares read as per cent, multiples do not.
        return f"{value:.1f} ×"
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"  # noqa: PLR2004 - a share of nothing says nothing.


def _open_table(report: Report) -> str:
    rows = [
        [
            each.contender,
            f"{each.people:,}",
            f"{each.rate:g}/s",
            spread(each.p50) if each.p50 else each.note,
            spread(each.p99) if each.p99 else each.note,
            str(each.refused),
        ]
        for each in report.open
    ]
    return table(["contender", "people", "rate", "p50", "p99", "not answered well"], rows) if rows else ""


def _correctness_table(comparisons: Sequence[Comparison]) -> str:
    rows = []
    for each in comparisons:
        theirs = "not asked" if each.peer is None else _answer(each.peer.text, is_right=each.peer.is_right)
        rows.append([each.question, _answer(each.service.text, is_right=each.service.is_right), theirs])
    return table(["after", "this service", "peer"], rows) if rows else ""


def _answer(text: str, *, is_right: bool) -> str:
    return f"{text}: {'right' if is_right else 'wrong'}"


def _reached(value: bool | None) -> str:  # noqa: FBT001 - a value to be written.
    return "" if value is None else "yes" if value else "no"


def _facts_table(facts: Sequence[Fact]) -> str:
    rows = [
        [
            each.what,
            f"{each.people:,}",
            f"{spread(each.spread) if each.spread else number(each.value)} {each.unit}",
            each.goal,
            _reached(each.is_reached),
        ]
        for each in facts
    ]
    return table(["what", "people", "measured", "goal", "reached"], rows) if rows else ""
