"""Nothing is sent on a no, on a yes that is over, or on what held at another time."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from clients.python.tests.servers import Handler, Talk, a_no, a_yes, always, text
from consent_client import (
    ConsentClient,
    Decision,
    DecisionDeniedError,
    DecisionExpiredError,
    Email,
    SendingRefusedError,
    SubjectId,
)
from consent_client.moments import Moment

ClientOf = Callable[[Handler], ConsentClient]
KARI = SubjectId("sub_00000000000000000000000001", contact_point=Email("kari@nordlys.example"))


def a_decision(client_of: ClientOf, body: dict[str, object]) -> Decision:
    """Return the answer to a check."""
    return client_of(always(body)).check(KARI, "newsletter", "email")


def asked_earlier(decision: Decision, by: timedelta) -> Decision:
    """Return the decision as if it had been asked for that long ago by the steady clock, while the wall clock stood."""
    return replace(decision, asked=Moment(at=decision.asked.at, steady=decision.asked.steady - by.total_seconds()))


class TestSending:
    @pytest.mark.rule("API-15")
    def test_is_done_on_a_yes_for_now(self, client_of: ClientOf) -> None:
        client, sent = client_of(always(a_yes())), []

        with client.sending(client.check(KARI, "newsletter", "email")):
            sent.append("the newsletter")

        assert sent == ["the newsletter"]

    @pytest.mark.rule("API-15")
    def test_is_refused_on_a_no(self, client_of: ClientOf) -> None:
        client, sent = client_of(always(a_no("objected"))), []

        with (
            pytest.raises(DecisionDeniedError, match="objected"),
            client.sending(client.check(KARI, "newsletter", "email")),
        ):
            sent.append("the newsletter")

        assert sent == []

    @pytest.mark.rule("API-15")
    def test_is_refused_once_the_time_is_over(self, client_of: ClientOf) -> None:
        decision = a_decision(client_of, a_yes())

        with time_machine.travel(datetime.now(UTC) + timedelta(hours=5)), pytest.raises(DecisionExpiredError):
            decision.demand_current()

    @pytest.mark.rule("API-15")
    @pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=400)])
    def test_is_refused_then_also_by_a_clock_that_was_set_back(self, client_of: ClientOf, back: timedelta) -> None:
        decision = asked_earlier(a_decision(client_of, a_yes()), timedelta(hours=4, seconds=1))

        with time_machine.travel(datetime.now(UTC) - back), pytest.raises(DecisionExpiredError):
            decision.demand_current()

    @pytest.mark.rule("API-15")
    def test_is_refused_after_a_day_whatever_the_service_said(self, client_of: ClientOf) -> None:
        decision = a_decision(client_of, a_yes(valid_until="2999-01-01T00:00:00Z"))

        asked_earlier(decision, timedelta(hours=23)).demand_current()
        with pytest.raises(DecisionExpiredError):
            asked_earlier(decision, timedelta(hours=24)).demand_current()

    def test_is_refused_where_the_steady_clock_began_anew(self, client_of: ClientOf) -> None:
        decision = asked_earlier(a_decision(client_of, a_yes()), timedelta(seconds=-60))

        with pytest.raises(DecisionExpiredError):
            decision.demand_current()

    @pytest.mark.parametrize("name", ["as_of", "known_at"])
    def test_is_refused_on_what_held_at_another_time(self, client_of: ClientOf, name: str) -> None:
        client, moment = client_of(always(a_yes())), datetime.now(UTC) - timedelta(days=1)

        decision = client.check(
            KARI,
            "newsletter",
            "email",
            as_of=moment if name == "as_of" else None,
            known_at=moment if name == "known_at" else None,
        )

        assert decision.allowed
        assert decision.valid_until is None
        with pytest.raises(DecisionExpiredError):
            decision.demand_current()

    def test_is_planned_no_later_than_the_answer_holds(self, client_of: ClientOf) -> None:
        decision = a_decision(client_of, a_yes())

        decision.demand_current(at=datetime.now(UTC) + timedelta(hours=3))
        with pytest.raises(DecisionExpiredError):
            decision.demand_current(at=datetime.now(UTC) + timedelta(hours=5))

    def test_is_not_made_lawful_by_naming_an_earlier_moment(self, client_of: ClientOf) -> None:
        decision = asked_earlier(a_decision(client_of, a_yes()), timedelta(hours=4, minutes=30))

        with pytest.raises(DecisionExpiredError):
            decision.demand_current(at=datetime.now(UTC) - timedelta(hours=1))

    def test_is_refused_by_errors_of_one_family_that_name_the_decision(self, client_of: ClientOf) -> None:
        with pytest.raises(SendingRefusedError) as refused:
            a_decision(client_of, a_no()).demand_current()

        assert refused.value.decision_id == "dec_00000000000000000000000001"


class TestADecision:
    @pytest.mark.parametrize("keep", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_cannot_be_kept(self, client_of: ClientOf, keep: Callable[[Decision], object]) -> None:
        with pytest.raises(TypeError, match="ask again"):
            keep(a_decision(client_of, a_yes()))

    def test_is_asked_for_every_time(self, client_of: ClientOf) -> None:
        said = iter([a_yes(), a_no("consent_withdrawn")])

        def say_the_next(talk: Talk) -> None:
            while talk.receive() is not None:
                talk.answer(next(said))

        client = client_of(say_the_next)
        answers = [client.check(KARI, "newsletter", "email").reason for _ in range(2)]

        assert answers == ["consent_given", "consent_withdrawn"]

    def test_ends_when_a_clock_that_runs_ahead_says_so(self, client_of: ClientOf) -> None:
        body = a_yes(valid_until=text(datetime.now(UTC) + timedelta(hours=4)))

        with time_machine.travel(datetime.now(UTC) + timedelta(hours=4, minutes=1)):
            decision = a_decision(client_of, body)

        assert (decision.allowed, decision.reason) == (False, "unavailable")
