"""Ties tests to the rules of law that they prove, and keeps long tests for `--long`.

`tests/rules.tsv` lists the rules with their severity. A test names those it proves by `@pytest.mark.rule("CAP-01")`,
and `--rules` prints after the run which of them have a test that passed, and none that failed.
"""

import csv
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

RULES_FILE: Final = Path(__file__).with_name("rules.tsv")
SEVERITIES: Final = ("must", "should", "diff", "note")
PROPERTY: Final = "rule"

Found = pytest.Item | pytest.Collector | list[pytest.Item | pytest.Collector] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of law or protocol: its id, how binding it is, and what it says."""

    id: str
    severity: str
    says: str


@cache
def read_rules() -> dict[str, Rule]:
    """Return every rule by its id."""
    with RULES_FILE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        rules = {row["rule"]: Rule(row["rule"], row["severity"], row["says"]) for row in rows}
    assert {rule.severity for rule in rules.values()} <= set(SEVERITIES)
    return rules


@dataclass(slots=True)
class Outcomes:
    """Which rules had tests that passed, and which had tests that did not."""

    passed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    broken: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def proved(self) -> set[str]:
        """Return the ids of rules with a passing test and no failing one."""
        return set(self.passed) - set(self.broken)


OUTCOMES: Final = pytest.StashKey[Outcomes]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rules` and `--long`."""
    group = parser.getgroup("consent service")
    group.addoption("--rules", action="store_true", help="say after the run which rules of law have passing tests")
    group.addoption("--long", action="store_true", help="run the tests that take minutes, too")


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the outcomes of this run."""
    config.stash[OUTCOMES] = Outcomes()


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> Generator[None, Found, Found]:
    """Note on each test the rules that it names; one that does not exist is an error of the file."""
    found = yield
    if isinstance(found, pytest.Collector) and _is_long(obj) and not collector.config.getoption("--long"):
        # Making its tests can take long already, and every run would wait for that.
        return None
    known = read_rules()
    for item in found if isinstance(found, list) else [found]:
        if not isinstance(item, pytest.Item):
            continue
        for rule in _rules_of(item):
            if rule not in known:
                raise collector.CollectError(f"{item.nodeid} names the rule {rule}, which is not in {RULES_FILE.name}")
            # Properties travel with the report, so that they arrive from the processes of pytest-xdist too.
            item.user_properties.append((PROPERTY, rule))
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests unless they were asked for."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class Recorder:
    """Takes down how the tests of each rule went."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a passed call, and anything that failed or was skipped."""
        rules = [str(value) for name, value in report.user_properties if name == PROPERTY]
        for rule in rules:
            if report.outcome != "passed":
                self.outcomes.broken[rule].add(report.nodeid)
            elif report.when == "call":
                self.outcomes.passed[rule].add(report.nodeid)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to reports, in the process that prints them."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Recorder(session.config.stash[OUTCOMES]), "rule-recorder")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print, by severity, the rules that are proved and those that are not."""
    if not config.getoption("--rules"):
        return
    outcomes, rules = config.stash[OUTCOMES], read_rules()
    proved = outcomes.proved()
    for severity in SEVERITIES:
        of_severity = [rule for rule in rules.values() if rule.severity == severity]
        count = sum(rule.id in proved for rule in of_severity)
        terminalreporter.section(f"{severity}: {count} of {len(of_severity)} rules proved")
        for rule in of_severity:
            if rule.id in proved:
                tests = len(outcomes.passed[rule.id])
                terminalreporter.line(f"  {rule.id:<8} {rule.says} ({tests} test{'s' * (tests > 1)})")
        broken = [rule.id for rule in of_severity if rule.id in outcomes.broken]
        if broken:
            terminalreporter.line(f"  broken: {', '.join(broken)}")
        missing = [rule.id for rule in of_severity if rule.id not in proved and rule.id not in outcomes.broken]
        if missing:
            terminalreporter.line(f"  not proved: {', '.join(missing)}")


def _is_long(obj: object) -> bool:
    marks = getattr(obj, "pytestmark", ())
    return any(mark.name == "long" for mark in marks)


def _rules_of(item: pytest.Item) -> list[str]:
    named = [marker.args for marker in item.iter_markers(PROPERTY)]
    return [str(rule) for rules in named for rule in rules or ("(none)",)]
