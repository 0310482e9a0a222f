"""Thousands asked about in one call are each answered in their place, and as a single check would answer them."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from consent_service.accounts import api_keys
from consent_service.api.many_asking import LONGEST_LINE_BYTES
from consent_service.api.many_checks import MOST_ITEMS, STREAM_MEDIA_TYPE
from consent_service.audit import trail
from consent_service.db.session import Database
from tests import builders
from tests.builders import NOON
from tests.functional.api.conftest import KARI, System, key_with

OLA = {"email": "ola@nordmann.example"}
BATCH = "/v1/checks/batch"


def batch(system: System, *items: object, **said: object) -> dict[str, Any]:
    """Return the answer to a batch about the survey by e-mail."""
    answer = system.post(BATCH, {"purpose": "survey", "channel": "email", "subjects": list(items), **said})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.get_json()
    return document


def errors_of(answer: TestResponse) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(error["pointer"], error["code"]) for error in answer.get_json()["errors"]]


def send(system: System, body: bytes, *, query: str = "purpose=survey&channel=email", kind: str = "") -> TestResponse:
    """Send a stream."""
    return system.client.post(
        f"/v1/checks/stream?{query}",
        data=body,
        headers={"Authorization": f"Bearer {system.key}", "Content-Type": kind or STREAM_MEDIA_TYPE},
    )


def stream(system: System, body: bytes, *, query: str = "purpose=survey&channel=email") -> list[dict[str, Any]]:
    """Return the lines of the answer to a stream."""
    answer = send(system, body, query=query)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.data.splitlines()]


def lines(items: Iterable[object]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def answers(results: Iterable[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return [(result["correlation_id"], result["reason"]) for result in results]


class TestBatch:
    @pytest.mark.rule("ACC-01")
    def test_it_answers_in_the_order_that_was_sent(self, system: System) -> None:
        told = system.post("/v1/consents", system.report()).get_json()

        answer = batch(
            system,
            {**OLA, "correlation_id": "1"},
            {**KARI, "correlation_id": "2"},
            {"phone": "+4740000001", "correlation_id": "3"},
            {"id": told["subject_id"], "contact_point": KARI, "correlation_id": "4"},
            {"id": told["subject_id"], "correlation_id": "5"},
            {"external_id": "4711", "contact_point": KARI, "correlation_id": "6"},
        )

        assert answers(answer["results"]) == [
            ("1", "no_consent"),
            ("2", "consent_given"),
            ("3", "contact_point_required"),
            ("4", "consent_given"),
            ("5", "contact_point_required"),
            ("6", "no_consent"),
        ]
        assert answer["counts"] == {"allowed": 2, "denied": 4, "invalid": 0}

    def test_a_yes_is_good_until_the_earliest_of_them(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = batch(system, KARI, OLA)

        assert answer["valid_until"] == answer["results"][0]["valid_until"]
        assert "valid_until" not in answer["results"][1]
        assert batch(system, OLA)["valid_until"] is None

    @pytest.mark.parametrize(
        "item",
        [
            {},
            {"email": "nobody"},
            {"email": "kari@nordmann.example", "phone": "+4740000001"},
            {"email": "kari@nordmann.example", "name": "Kari"},
            {"email": None},
            {"email": "kari@nordmann.example", "contact_point": {"email": "kari@nordmann.example"}},
            {"id": "con_0000000000000000000000000"},
            "kari@nordmann.example",
            None,
            7,
            ["kari@nordmann.example"],
        ],
    )
    def test_a_broken_item_is_a_no_in_its_place(self, system: System, item: object) -> None:
        system.post("/v1/consents", system.report())

        answer = batch(system, KARI, item, KARI)

        assert [result["allowed"] for result in answer["results"]] == [True, False, True]
        assert answer["results"][1]["reason"] == "invalid_reference"
        assert answer["counts"] == {"allowed": 2, "denied": 0, "invalid": 1}

    @pytest.mark.parametrize("correlation_id", ["", "x" * 201, 7, None, ["1"]])
    def test_a_correlation_id_that_is_none_is_no_item(self, system: System, correlation_id: object) -> None:
        answer = batch(system, {**KARI, "correlation_id": correlation_id})

        assert answers(answer["results"]) == [(None, "invalid_reference")]

    def test_a_correlation_id_may_stand_twice(self, system: System) -> None:
        answer = batch(system, {**KARI, "correlation_id": "1"}, {**OLA, "correlation_id": "1"}, KARI)

        assert [result["correlation_id"] for result in answer["results"]] == ["1", "1", None]

    def test_addresses_may_be_written_with_escapes(self, system: System) -> None:
        answer = system.client.post(
            BATCH,
            data=rb'{"purpose":"survey","channel":"email","subjects":[{"email":"k\u00e6ri@nordmann.example"},'
            rb'{"email":"kari\u0040nordmann.example"}]}',
            headers={"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"},
        )

        assert answer.status_code == 200
        assert answers(answer.get_json()["results"]) == [(None, "no_consent"), (None, "no_consent")]

    @pytest.mark.parametrize(
        "body",
        [
            b'{"purpose":"survey","purpose":"survey","channel":"email","subjects":[{"email":"ola@nordmann.example"}]}',
            b'{"purpose":"survey","channel":"email","subjects":[{"email":"a@b.example","email":"c@b.example"}]}',
            b'{"purpose":"survey","channel":"email","subjects":[{"email":"a@b.example","\\u0065mail":"c@b.example"}]}',
            b'{"purpose":"survey","channel":"email","subjects":[',
            b"[]",
            b"",
        ],
    )
    def test_a_body_that_is_no_object_with_each_key_once_is_refused(self, system: System, body: bytes) -> None:
        answer = system.client.post(
            BATCH,
            data=body,
            headers={"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"},
        )

        assert answer.status_code in {400, 422}

    def test_an_item_of_a_thousand_brackets_is_a_no_in_its_place(self, system: System) -> None:
        answer = system.client.post(
            BATCH,
            data=b'{"purpose":"survey","channel":"email","subjects":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
            headers={"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"},
        )

        assert answers(answer.get_json()["results"]) == [(None, "invalid_reference")]

    def test_ten_thousand_are_answered_and_one_more_is_not(self, system: System) -> None:
        people = [{"email": f"person{number}@nordmann.example"} for number in range(MOST_ITEMS)]

        answer = batch(system, *people)
        one_more = system.post(BATCH, {"purpose": "survey", "channel": "email", "subjects": [*people, OLA]})

        assert answer["counts"] == {"allowed": 0, "denied": MOST_ITEMS, "invalid": 0}
        assert len(answer["results"]) == MOST_ITEMS
        assert errors_of(one_more) == [("/subjects", "item_count")]

    def test_an_empty_batch_is_refused(self, system: System) -> None:
        answer = system.post(BATCH, {"purpose": "survey", "channel": "email", "subjects": []})

        assert errors_of(answer) == [("/subjects", "item_count")]

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            ({"as_of": "2999-01-01T00:00:00Z"}, ("/as_of", "in_the_future")),
            ({"porpoise": "survey"}, ("/porpoise", "unknown_field")),
            ({"subjects": KARI}, ("/subjects", "not_a_list")),
            ({"purpose": ""}, ("/purpose", "length")),
        ],
    )
    def test_what_cannot_be_is_pointed_at(
        self, system: System, said: dict[str, object], error: tuple[str, str]
    ) -> None:
        answer = system.post(BATCH, {"purpose": "survey", "channel": "email", "subjects": [KARI], **said})

        assert errors_of(answer) == [error]

    def test_a_body_of_five_megabytes_is_refused(self, system: System) -> None:
        answer = system.post(
            BATCH, {"purpose": "survey", "channel": "email", "subjects": [{"email": "x" * (5 * 1024 * 1024)}]}
        )

        assert answer.status_code == 413

    @pytest.mark.rule("ACC-01")
    def test_an_unknown_purpose_or_channel_is_a_no_for_everybody(self, system: System) -> None:
        by_purpose = batch(system, KARI, {}, purpose="nothing")
        by_channel = batch(system, KARI, {}, channel="pigeon")

        assert [result["reason"] for result in by_purpose["results"]] == ["purpose_unknown", "invalid_reference"]
        assert [result["reason"] for result in by_channel["results"]] == ["channel_not_offered", "invalid_reference"]

    def test_the_past_is_asked_like_the_present(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        before = batch(system, KARI, as_of="2026-03-03T11:00:00Z")
        after = batch(system, KARI, as_of="2026-03-03T13:00:00Z")

        assert (before["counts"]["allowed"], after["counts"]["allowed"]) == (0, 1)
        assert after["valid_until"] is None

    def test_another_controller_learns_nothing(self, system: System, other_system: System) -> None:
        system.post("/v1/consents", system.report())

        assert answers(batch(other_system, KARI)["results"]) == [(None, "no_consent")]

    def test_a_key_needs_the_scope_and_the_purpose(self, system: System, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            limited = api_keys.create(
                session,
                name="letters",
                system="letters",
                scopes=("check",),
                purposes=("newsletter",),
                environment="live",
                actor=trail.SYSTEM,
                at=NOON,
            )
        asked = {"purpose": "survey", "channel": "email", "subjects": [KARI]}

        by_scope = System(system.client, key_with(database, controller, "capture")).post(BATCH, asked)
        by_purpose = System(system.client, limited.text).post(BATCH, asked)

        assert [answer.get_json()["code"] for answer in (by_scope, by_purpose)] == [
            "scope_missing",
            "purpose_not_allowed",
        ]

    def test_a_withdrawal_counts_in_the_next_batch(self, system: System) -> None:
        system.post("/v1/consents", system.report())
        before = batch(system, KARI)

        system.post("/v1/withdrawals", {"subject": KARI})

        assert answers(before["results"]) == [(None, "consent_given")]
        assert batch(system, KARI)["results"][0]["allowed"] is False

    def test_a_notice_published_a_moment_ago_counts(self, system: System, database: Database, controller: str) -> None:
        system.post("/v1/consents", system.report())
        before = batch(system, KARI)

        with database.transaction(controller) as session:
            content = builders.a_notice(purpose="survey", edition=2)
            builders.a_published_notice(session, purpose="survey", content=content)

        assert answers(before["results"]) == [(None, "consent_given")]
        assert answers(batch(system, KARI)["results"]) == [(None, "notice_superseded")]


class TestStream:
    @pytest.mark.rule("ACC-01")
    def test_it_answers_line_by_line(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        found = stream(system, lines([{**OLA, "correlation_id": "a"}, {**KARI, "correlation_id": "b"}, {}]))

        assert answers(found) == [("a", "no_consent"), ("b", "consent_given"), (None, "invalid_reference")]
        assert [result["allowed"] for result in found] == [False, True, False]

    def test_its_headers_say_when_and_under_which_id(self, system: System) -> None:
        answer = send(system, lines([KARI]))

        assert answer.mimetype == STREAM_MEDIA_TYPE
        assert answer.headers["Decision-Id"].startswith("dec_")
        assert answer.headers["Evaluated-At"] < answer.headers["Valid-Until"]
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "line",
        [
            b"{",
            b"nonsense",
            b"null",
            b"\xff\xfe",
            b'{"email": "kari@nordmann.example"',
            b'{"email": "a@b.example", "email": "c@b.example"}',
            b'{"email": "a@b.example", "\\u0065mail": "c@b.example"}',
            b'{"email": "a\\u0000@b.example"}',
            b"[" * 1_000 + b"]" * 1_000,
            b'{"x":' * 1_000 + b"1" + b"}" * 1_000,
            b'{"email": "' + b"x" * LONGEST_LINE_BYTES + b'"}',
            b'{"email": "' + b"x" * 10 * 1024 * 1024 + b'"}',
        ],
        ids=[
            "open",
            "word",
            "null",
            "bytes",
            "cut",
            "twice",
            "twice escaped",
            "nul",
            "deep",
            "deeper",
            "long",
            "10 MB",
        ],
    )
    def test_a_broken_line_is_a_no_in_its_place(self, system: System, line: bytes) -> None:
        system.post("/v1/consents", system.report())

        found = stream(system, lines([KARI]) + line + b"\n" + lines([KARI]))

        assert [result["allowed"] for result in found] == [True, False, True]
        assert found[1]["reason"] == "invalid_reference"

    def test_a_last_line_needs_no_end_even_if_it_is_too_long(self, system: System) -> None:
        plain = stream(system, lines([OLA]) + b'{"email": "kari@nordmann.example"}')
        long = stream(system, lines([OLA]) + b"x" * (3 * LONGEST_LINE_BYTES))

        assert [result["reason"] for result in plain] == ["no_consent", "no_consent"]
        assert [result["reason"] for result in long] == ["no_consent", "invalid_reference"]

    def test_blank_lines_and_carriage_returns_count_for_nothing(self, system: System) -> None:
        found = stream(system, b"\n\r\n" + lines([OLA]) + b'  \n{"email": "kari@nordmann.example"}\r\n\n')

        assert [result["reason"] for result in found] == ["no_consent", "no_consent"]

    def test_nothing_sent_is_nothing_answered(self, system: System) -> None:
        assert stream(system, b"") == []

    def test_more_than_one_chunk_keeps_its_order(self, system: System) -> None:
        sent = [{"email": f"person{number}@nordmann.example", "correlation_id": str(number)} for number in range(6_000)]

        found = stream(system, lines(sent))

        assert [result["correlation_id"] for result in found] == [item["correlation_id"] for item in sent]

    def test_the_past_is_asked_like_the_present(self, system: System) -> None:
        system.post("/v1/consents", system.report())
        query = "purpose=survey&channel=email&as_of=2026-03-03T1{}:00:00Z"

        before = stream(system, lines([KARI]), query=query.format(1))
        after = stream(system, lines([KARI]), query=query.format(3))

        assert (before[0]["allowed"], after[0]["allowed"]) == (False, True)

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("purpose=survey", ("/channel", "missing")),
            ("purpose=survey&channel=email&as_of=2999-01-01T00:00:00Z", ("/as_of", "in_the_future")),
            ("purpose=survey&channel=email&porpoise=survey", ("/porpoise", "unknown_field")),
        ],
    )
    def test_a_query_that_cannot_be_is_pointed_at(self, system: System, query: str, error: tuple[str, str]) -> None:
        assert errors_of(send(system, lines([KARI]), query=query)) == [error]

    def test_another_kind_of_body_is_refused(self, system: System) -> None:
        answer = send(system, lines([KARI]), kind="text/csv")

        assert (answer.status_code, answer.get_json()["code"]) == (415, "media_type_unsupported")
