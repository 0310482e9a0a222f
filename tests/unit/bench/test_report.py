"""The tables that a run of the benchmark prints."""

import json
import math

from bench import report
from bench.correctness import Answer, Comparison
from bench.figures import Spread
from bench.report import ClosedLoop, Fact, OpenLoop, Report


def a_run(contender: str, people: int, rate: float, *, refused: int = 0, connections: int = 32) -> ClosedLoop:
    return ClosedLoop(
        contender,
        people,
        connections,
        Spread(rate, rate - 1, rate + 1),
        p50=1.5,
        p99=12.25,
        own_cpu=Spread(150.0, 149.0, 151.0),
        database_cpu=Spread(60.0, 59.0, 61.0),
        refused=refused,
        broken=0,
    )


def a_report(*closed: ClosedLoop) -> Report:
    return Report(machine={"cores": "2"}, peer={}, rounds=1, seconds=1, closed=list(closed))


class TestTable:
    def test_a_bar_in_a_cell_does_not_end_it(self) -> None:
        assert report.table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"


class TestMarkdown:
    def test_every_contender_has_a_line_with_all_sizes(self) -> None:
        found = a_report(a_run(report.SERVICE, 1000, 2000.0), a_run(report.SERVICE, 100_000, 1900.0))

        text = report.as_markdown(found)

        assert "| this service | 2,000 (1,999 to 2,001) | 1,900 (1,899 to 1,901) |" in text

    def test_a_size_that_was_not_measured_stays_empty(self) -> None:
        found = a_report(
            a_run(report.SERVICE, 1000, 2000.0), a_run(report.SERVICE, 100_000, 1900.0), a_run(report.PEER, 1000, 500.0)
        )

        text = report.as_markdown(found)

        assert "| peer, as shipped | 500 (499 to 501) |  |" in text

    def test_requests_that_were_not_answered_well_stand_beside_the_rate(self) -> None:
        text = report.as_markdown(a_report(a_run(report.SERVICE, 1000, 2000.0, refused=7)))

        assert "2,000 (1,999 to 2,001), 7 not answered well" in text

    def test_who_was_asked_over_fewer_connections_is_told_apart(self) -> None:
        text = report.as_markdown(a_report(a_run(report.PEER, 1000, 5.0, connections=2)))

        assert "| peer, as shipped | 5.00 (4.00 to 6.00), 2 connections |" in text

    def test_the_service_is_set_against_the_others(self) -> None:
        found = a_report(
            a_run(report.SERVICE, 1000, 2000.0),
            a_run(report.EMPTY, 1000, 4000.0),
            a_run(report.PEER_INDEXED, 1000, 500.0),
        )

        text = report.as_markdown(found)

        assert "| empty Flask route | 50% |" in text
        assert "| peer, two indexes added | 4.0 × |" in text

    def test_growth_is_set_against_the_smallest_size(self) -> None:
        found = a_report(a_run(report.SERVICE, 1000, 2000.0), a_run(report.SERVICE, 100_000, 1800.0))

        assert "| itself at 1,000 people | 100% | 90% |" in report.as_markdown(found)

    def test_processor_time_is_told_apart(self) -> None:
        assert "| this service | 150 + 60.0 |" in report.as_markdown(a_report(a_run(report.SERVICE, 1000, 2000.0)))

    def test_who_cannot_keep_up_has_no_times(self) -> None:
        found = a_report(a_run(report.PEER, 1000, 40.0))
        found.open.append(OpenLoop(report.PEER, 1000, 200, note="cannot keep up"))

        assert "| peer, as shipped | 1,000 | 200/s | cannot keep up | cannot keep up | 0 |" in report.as_markdown(found)

    def test_a_wrong_answer_is_called_wrong(self) -> None:
        found = a_report()
        found.correctness = (Comparison("a refusal", Answer("no", is_right=True), Answer("yes", is_right=False)),)

        assert "| a refusal | no: right | yes: wrong |" in report.as_markdown(found)

    def test_a_table_without_rows_is_left_out(self) -> None:
        text = report.as_markdown(a_report())

        assert "Closed loop" not in text
        assert "- cores: 2" in text


class TestGoals:
    def test_they_are_judged_at_the_largest_size(self) -> None:
        found = a_report(
            a_run(report.SERVICE, 1000, 2000.0),
            a_run(report.EMPTY, 1000, 2000.0),
            a_run(report.SERVICE, 100_000, 1600.0),
            a_run(report.EMPTY, 100_000, 4000.0),
        )

        reached = {goal.what: goal.is_reached for goal in report.goals(found)}

        assert reached == {
            "rate of the empty Flask route, 100,000 people": False,
            "growth from 1,000 to 100,000 people": False,
        }

    def test_times_within_their_limits_reach_them(self) -> None:
        found = a_report(a_run(report.SERVICE, 1000, 2000.0))
        found.open.append(OpenLoop(report.SERVICE, 1000, 200, p50=Spread(4.9, 4.0, 5.1), p99=Spread(25.1, 20.0, 30.0)))

        assert [goal.is_reached for goal in report.goals(found)] == [True, False]

    def test_who_cannot_keep_up_reaches_none(self) -> None:
        found = a_report(a_run(report.SERVICE, 1000, 100.0))
        found.open.append(OpenLoop(report.SERVICE, 1000, 200, note="cannot keep up"))

        assert [goal.is_reached for goal in report.goals(found)] == [False, False]


class TestJson:
    def test_what_was_never_answered_is_null(self) -> None:
        found = a_report()
        found.facts.append(Fact(1000, "checks, p99", math.inf, "ms"))

        assert json.loads(report.as_json(found))["facts"][0]["value"] is None
        assert "| checks, p99 | 1,000 | never ms |" in report.as_markdown(found)

    def test_it_holds_every_figure(self) -> None:
        found = a_report(a_run(report.SERVICE, 1000, 2000.0))
        found.facts.append(Fact(1000, "a batch", 0.25, "s"))

        document = json.loads(report.as_json(found))

        assert document["closed"][0]["rate"] == {"median": 2000.0, "low": 1999.0, "high": 2001.0}
        assert document["facts"][0]["value"] == 0.25
