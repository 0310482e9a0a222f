"""A batch answers for everybody who was asked about, in order, and no for everybody about whom nothing clear came."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from clients.python.tests.servers import Handler, Talk, a_batch, a_problem, always, an_item
from consent_client import ConsentClient, Email, ExternalId, InvalidRequestError, Phone, SubjectId, SubjectReference

ClientOf = Callable[[Handler], ConsentClient]


def people(count: int) -> Iterator[SubjectReference]:
    """Yield references of every kind."""
    for number in range(count):
        match number % 4:
            case 0:
                yield Email(f"kunde-{number}@nordlys.example")
            case 1:
                yield Phone(f"+47900{number:05}")
            case 2:
                yield ExternalId(str(number), system="crm", contact_point=Email(f"kunde-{number}@nordlys.example"))
            case _:
                yield SubjectId(f"sub_{number:026}", contact_point=Phone("90000000", region="NO"))


#: Half a character, a NUL, and one without end.
UNSENDABLE = [Email("\ud800@nordlys.example"), Email("kari\0@nordlys.example"), Email("a" * 10_000_000)]


class Counter:
    """Says yes to every second one, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, talk: Talk) -> None:
        while (body := talk.receive()) is not None:
            self.asked.append(json.loads(body))
            subjects = self.asked[-1]["subjects"]
            results = [an_item(each["correlation_id"], allowed=n % 2 == 0) for n, each in enumerate(subjects)]
            talk.answer(a_batch(results))


class TestABatch:
    def test_answers_in_the_order_asked(self, client_of: ClientOf) -> None:
        service = Counter()

        decisions = client_of(service).check_batch(people(5), "newsletter", "email")

        assert [decision.allowed for decision in decisions] == [True, False, True, False, True]
        assert [decision.reason for decision in decisions[:2]] == ["consent_given", "no_consent"]
        [asked] = service.asked
        assert (asked["purpose"], asked["channel"]) == ("newsletter", "email")
        assert asked["subjects"][1:4] == [
            {"phone": "+4790000001", "correlation_id": "1"},
            {
                "external_id": "2",
                "system": "crm",
                "contact_point": {"email": "kunde-2@nordlys.example"},
                "correlation_id": "2",
            },
            {"id": f"sub_{3:026}", "contact_point": {"phone": "90000000", "region": "NO"}, "correlation_id": "3"},
        ]
        decisions[0].demand_current()

    def test_of_more_than_the_service_takes_is_divided(self, client_of: ClientOf) -> None:
        service = Counter()

        decisions = client_of(service).check_batch(people(20_001), "newsletter", "email")

        assert [len(asked["subjects"]) for asked in service.asked] == [10_000, 10_000, 1]
        assert len(decisions) == 20_001
        assert sum(decision.allowed for decision in decisions) == 10_001

    def test_of_long_references_is_divided_by_their_size(self, client_of: ClientOf) -> None:
        service, long = Counter(), "a" * 15_000

        decisions = client_of(service).check_batch([Email(f"{n}{long}") for n in range(300)], "newsletter", "email")

        assert [len(asked["subjects"]) for asked in service.asked] == [259, 41]
        assert len(decisions) == 300

    @pytest.mark.parametrize("reference", UNSENDABLE, ids=["half", "nul", "endless"])
    def test_names_nobody_where_a_reference_would_spoil_it(self, client_of: ClientOf, reference: Email) -> None:
        service, before, after = Counter(), Email("åse@nordlys.example"), Email("ørjan@nordlys.example")

        decisions = client_of(service).check_batch([before, reference, after], "newsletter", "email")

        assert service.asked[0]["subjects"] == [
            {"email": "åse@nordlys.example", "correlation_id": "0"},
            {"correlation_id": "1"},
            {"email": "ørjan@nordlys.example", "correlation_id": "2"},
        ]
        assert [bool(decision) for decision in decisions] == [True, False, True]

    def test_does_not_tell_obligations(self, client_of: ClientOf) -> None:
        [decision] = client_of(Counter()).check_batch(people(1), "newsletter", "email")

        assert decision.obligations is None

    def test_of_nobody_asks_nothing(self, client_of: ClientOf) -> None:
        service = Counter()

        assert client_of(service).check_batch([], "newsletter", "email") == []
        assert service.asked == []

    def test_about_the_past_is_history(self, client_of: ClientOf) -> None:
        service = Counter()

        [decision] = client_of(service).check_batch(
            people(1), "newsletter", "email", as_of=datetime(2026, 3, 3, tzinfo=UTC)
        )

        assert service.asked[0]["as_of"] == "2026-03-03T00:00:00+00:00"
        assert decision.allowed
        assert decision.valid_until is None


class TestAPartThatFails:
    def test_is_a_no_for_everybody_in_it_and_for_nobody_else(self, client_of: ClientOf) -> None:
        service = Counter()

        def fail_the_second(talk: Talk) -> None:
            while (body := talk.receive()) is not None:
                subjects = json.loads(body)["subjects"]
                service.asked.append({})
                if len(service.asked) == 2:
                    talk.answer(a_problem(503, "unavailable"), status=503, media_type="application/problem+json")
                else:
                    talk.answer(a_batch([an_item(each["correlation_id"]) for each in subjects]))

        decisions = client_of(fail_the_second).check_batch(people(25_000), "newsletter", "email")

        assert [bool(decision) for decision in decisions] == [True] * 10_000 + [False] * 10_000 + [True] * 5_000
        assert {decision.reason for decision in decisions[10_000:20_000]} == {"unavailable"}

    @pytest.mark.parametrize(
        "body",
        [
            a_batch([]),
            a_batch([an_item("0")]),
            a_batch([an_item("0"), an_item("1"), an_item("2")]),
            a_batch([an_item("1"), an_item("0")]),
            a_batch([an_item(0), an_item(1)]),
            a_batch([an_item("0"), an_item("0")]),
            a_batch([an_item("0"), an_item("1")], decision_id=None),
            a_batch([an_item("0"), an_item("1")], evaluated_at=None),
            a_batch([an_item("0"), an_item("1")], valid_until="2020-01-01T00:00:00Z"),
            {**a_batch([]), "results": None},
        ],
    )
    def test_by_an_answer_for_others_is_a_no_for_all(self, client_of: ClientOf, body: dict[str, object]) -> None:
        decisions = client_of(always(body)).check_batch(people(2), "newsletter", "email")

        assert [(each.allowed, each.reason) for each in decisions] == [(False, "unavailable")] * 2

    @pytest.mark.parametrize(
        "changes",
        [
            {"allowed": "true"},
            {"reason": None},
            {"valid_until": "2020-01-01T00:00:00Z"},
            {"valid_until": "soon"},
            {"subject_id": "kari@nordlys.example"},
        ],
    )
    def test_in_one_answer_is_a_no_in_its_place(self, client_of: ClientOf, changes: dict[str, object]) -> None:
        body = a_batch([an_item("0"), {**an_item("1"), **changes}, an_item("2")])

        decisions = client_of(always(body)).check_batch(people(3), "newsletter", "email")

        assert [bool(each) for each in decisions] == [True, False, True]

    def test_in_reading_a_question_loses_its_name_and_nothing_else(self, client_of: ClientOf) -> None:
        lost = an_item(None, allowed=False, reason="invalid_reference")

        decisions = client_of(always(a_batch([an_item("0"), lost, an_item("2")]))).check_batch(people(3), "n", "email")
        mixed_up = client_of(always(a_batch([an_item("0"), lost, an_item("1")]))).check_batch(people(3), "n", "email")
        nameless = client_of(always(a_batch([an_item("0"), an_item(None)]))).check_batch(people(2), "n", "email")

        assert [decision.reason for decision in decisions] == ["consent_given", "invalid_reference", "consent_given"]
        assert {decision.reason for decision in mixed_up + nameless} == {"unavailable"}

    def test_by_being_asked_wrongly_is_raised(self, client_of: ClientOf) -> None:
        problem = always(a_problem(422, "invalid_input"), status=422, media_type="application/problem+json")

        with pytest.raises(InvalidRequestError):
            client_of(problem).check_batch(people(2), "newsletter", "email")
