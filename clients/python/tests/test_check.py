"""A check that cannot be asked, answered or read is a no; only a mistake of the caller is an error."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients.python.tests.conftest import KEY
from clients.python.tests.servers import (
    Handler,
    Talk,
    a_no,
    a_problem,
    a_yes,
    always,
    raw,
    running,
    text,
)
from consent_client import (
    ConsentClient,
    Decision,
    Email,
    InvalidRequestError,
    KeyRefusedError,
    RequestRefusedError,
)

KARI = Email("kari@nordlys.example")
ClientOf = Callable[[Handler], ConsentClient]
MISSING = object()


def ask(client: ConsentClient, **more: Any) -> Decision:  # noqa: ANN401 - passed on
    """Ask the question that all these tests ask."""
    return client.check(KARI, "newsletter", "email", **more)


def demand_unavailable(decision: Decision) -> None:
    """Accept nothing but the no that the client says by itself."""
    assert decision.allowed is False
    assert not decision
    assert decision.reason == "unavailable"
    assert decision.failure
    assert "nordlys" not in repr(decision)


class TestAnAnswer:
    def test_that_is_yes_is_read_whole(self, client_of: ClientOf) -> None:
        decision = ask(client_of(always(a_yes())))

        assert decision.allowed is True
        assert decision
        assert (decision.status, decision.reason, decision.legal_basis) == ("given", "consent_given", "consent")
        assert (decision.notice_version, decision.language) == (3, "nb")
        assert decision.obligations == ("sender_identity",)
        assert decision.decision_id == "dec_00000000000000000000000001"
        assert decision.valid_until is not None
        assert decision.valid_until > datetime.now(UTC)
        decision.demand_current()

    def test_that_is_no_says_why(self, client_of: ClientOf) -> None:
        decision = ask(client_of(always(a_no("consent_withdrawn"))))

        assert not decision
        assert decision.reason == "consent_withdrawn"
        assert decision.failure is None

    @pytest.mark.parametrize(
        ("sent", "read"), [("e30.e30.c2ln", "e30.e30.c2ln"), ("<p>", None), (7, None), (None, None)]
    )
    def test_brings_its_signed_statement(self, client_of: ClientOf, sent: object, read: str | None) -> None:
        decision = ask(client_of(always(a_yes(statement=sent))))

        assert decision
        assert decision.statement == read
        assert "c2ln" not in repr(decision)

    def test_is_asked_for_with_the_key_and_the_whole_question(self, client_of: ClientOf) -> None:
        heard: list[tuple[bytes, str | None, dict[str, Any]]] = []

        def listen(talk: Talk) -> None:
            body = talk.receive() or b""
            assert talk.request is not None
            heard.append((talk.request.target, talk.header("Authorization"), json.loads(body)))
            talk.answer(a_yes())

        moment = datetime(2026, 11, 20, 12, tzinfo=UTC)
        ask(client_of(listen), as_of=moment, known_at=moment, recipient="trykkeriet", min_evidence="double_opt_in")

        question = {
            "subject": {"email": "kari@nordlys.example"},
            "purpose": "newsletter",
            "channel": "email",
            "as_of": "2026-11-20T12:00:00+00:00",
            "known_at": "2026-11-20T12:00:00+00:00",
            "recipient": "trykkeriet",
            "min_evidence": "double_opt_in",
        }
        assert heard == [(b"/v1/checks", f"Bearer {KEY}", question)]

    def test_uses_the_connection_of_the_one_before(self, client_of: ClientOf) -> None:
        connections: list[Talk] = []

        def count(talk: Talk) -> None:
            connections.append(talk)
            always(a_yes())(talk)

        client = client_of(count)
        answers = [ask(client) for _ in range(3)]

        assert all(answers)
        assert len(connections) == 1

    def test_is_asked_for_again_where_a_resting_connection_was_closed(self, client_of: ClientOf) -> None:
        connections: list[Talk] = []

        def close_the_first_when_asked_again(talk: Talk) -> None:
            connections.append(talk)
            if len(connections) > 1:
                return always(a_yes())(talk)
            assert talk.receive() is not None
            talk.answer(a_yes())
            talk.receive()
            return talk.reset()

        client = client_of(close_the_first_when_asked_again)

        assert all(ask(client) for _ in range(2))
        assert len(connections) == 2


class TestAServiceThatFails:
    @pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 404, 408, 429, 500, 502, 503, 504])
    def test_is_a_no_whatever_its_body_says(self, client_of: ClientOf, status: int) -> None:
        elsewhere = {"Location": "https://elsewhere.example/v1/checks"}

        demand_unavailable(ask(client_of(always(a_yes(), status=status, headers=elsewhere))))

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: no\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 999999 OK\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x16\x03\x01" * 100,
            b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 2**17 + b"\r\n\r\n",
        ],
    )
    def test_by_saying_what_is_no_answer_is_a_no(self, client_of: ClientOf, said: bytes) -> None:
        demand_unavailable(ask(client_of(raw(said))))

    def test_by_cutting_the_answer_short_is_a_no(self, client_of: ClientOf) -> None:
        body = json.dumps(a_yes()).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n"

        demand_unavailable(ask(client_of(raw(head.encode() + body))))

    def test_by_resetting_the_connection_is_a_no(self, client_of: ClientOf) -> None:
        def reset(talk: Talk) -> None:
            talk.receive()
            talk.reset()

        demand_unavailable(ask(client_of(reset)))

    def test_by_not_listening_is_a_no(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

        with ConsentClient(f"http://127.0.0.1:{port}", KEY) as client:
            demand_unavailable(ask(client))

    def test_by_having_no_name_is_a_no(self) -> None:
        with ConsentClient("https://nowhere.invalid", KEY, timeout=2) as client:
            demand_unavailable(ask(client))

    def test_by_saying_nothing_is_a_no_in_time(self, serve: Callable[[Handler], str]) -> None:
        def say_nothing(talk: Talk) -> None:
            while talk.receive() is not None:
                pass

        with ConsentClient(serve(say_nothing), KEY, timeout=0.1) as client:
            demand_unavailable(ask(client))

    def test_by_dripping_is_a_no_in_time(self, serve: Callable[[Handler], str]) -> None:
        def drip(talk: Talk) -> None:
            talk.receive()
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                talk.send(b" ")

        with ConsentClient(serve(drip), KEY, timeout=0.3) as client:
            demand_unavailable(ask(client))


class TestABody:
    @pytest.mark.parametrize(
        "changes",
        [
            {"allowed": 1},
            {"allowed": "true"},
            {"allowed": None},
            {"allowed": [True]},
            {"reason": None},
            {"reason": ""},
            {"reason": "kari@nordlys.example"},
            {"status": 7},
            {"decision_id": None},
            {"decision_id": ""},
            {"valid_until": None},
            {"valid_until": "2020-01-01T00:00:00Z"},
            {"valid_until": "2999-01-01T00:00:00"},
            {"valid_until": 32503680000},
            {"evaluated_at": None},
            {"evaluated_at": "2999-01-01T00:00:00Z"},
            {"purpose": "sms_offers"},
            {"channel": "sms"},
            {"obligations": None},
            {"obligations": "sender_identity"},
            {"subject_id": "kari@nordlys.example"},
            {"notice_version": True},
            {"expires_at": "soon"},
        ],
    )
    def test_with_one_part_wrong_is_a_no(self, client_of: ClientOf, changes: dict[str, object]) -> None:
        demand_unavailable(ask(client_of(always(a_yes(**changes)))))

    @pytest.mark.parametrize("name", ["allowed", "reason", "decision_id", "valid_until", "evaluated_at", "obligations"])
    def test_with_one_part_missing_is_a_no(self, client_of: ClientOf, name: str) -> None:
        body = a_yes()
        del body[name]

        demand_unavailable(ask(client_of(always(body))))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"true",
            b"[]",
            b"[" * 100_000,
            b"\xff\xfe",
            b"{'allowed': true}",
            b'{"allowed": NaN}',
            b"1" * 9999,
        ],
    )
    def test_that_is_no_object_is_a_no(self, client_of: ClientOf, body: bytes) -> None:
        demand_unavailable(ask(client_of(always(body))))

    def test_that_says_yes_and_no_is_a_no(self, client_of: ClientOf) -> None:
        both = json.dumps(a_yes()).replace('"allowed": true', '"allowed": false, "allowed": true').encode()

        demand_unavailable(ask(client_of(always(both))))

    def test_of_another_kind_is_a_no(self, client_of: ClientOf) -> None:
        demand_unavailable(ask(client_of(always(a_yes(), media_type="text/html"))))


class TestAMistakeOfTheCaller:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InvalidRequestError),
            (401, KeyRefusedError),
            (403, KeyRefusedError),
            (404, RequestRefusedError),
            (413, InvalidRequestError),
            (415, InvalidRequestError),
            (422, InvalidRequestError),
        ],
    )
    def test_is_raised(self, client_of: ClientOf, status: int, kind: type[RequestRefusedError]) -> None:
        errors = [{"pointer": "/subject/email", "code": "invalid", "detail": "An address is expected here."}]
        problem = a_problem(status, "invalid_input", errors=errors)
        client = client_of(always(problem, status=status, media_type="application/problem+json"))

        with pytest.raises(kind) as raised:
            ask(client)

        assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, "invalid_input", "5b1c0f")
        assert [(each.pointer, each.code) for each in raised.value.problems] == [("/subject/email", "invalid")]
        assert str(raised.value) == f"{status} invalid_input; /subject/email: invalid"

    def test_is_none_unless_the_service_itself_says_so(self, client_of: ClientOf) -> None:
        demand_unavailable(ask(client_of(always(b"<h1>401</h1>", status=401, media_type="text/html"))))
        demand_unavailable(ask(client_of(always({}, status=401, media_type="application/problem+json"))))
        demand_unavailable(ask(client_of(always(a_problem(401, "key_unknown"), status=401))))

    def test_repeats_nothing_of_a_problem_that_repeats_the_address(self, client_of: ClientOf) -> None:
        errors = [
            {"pointer": "/kari@nordlys.example", "code": "kari@nordlys.example", "detail": "kari@nordlys.example"}
        ]
        problem = a_problem(422, "invalid_input", errors=errors, instance="kari@nordlys.example")
        client = client_of(always(problem, status=422, media_type="application/problem+json"))

        with pytest.raises(InvalidRequestError) as raised:
            ask(client)

        assert "nordlys" not in repr(raised.value) + str(raised.value)
        assert raised.value.problems == ()
        assert raised.value.request_id is None

    def test_is_half_a_character(self, client_of: ClientOf) -> None:
        heard = []

        def refuse(talk: Talk) -> None:
            heard.append(json.loads(talk.receive() or b""))
            talk.answer(a_problem(422, "invalid_input"), status=422, media_type="application/problem+json")

        with pytest.raises(InvalidRequestError):
            client_of(refuse).check(Email("\ud800@nordlys.example"), "newsletter", "email")

        assert heard[0]["subject"] == {"email": "\ud800@nordlys.example"}

    def test_is_a_moment_without_a_zone(self, client_of: ClientOf) -> None:
        with pytest.raises(ValueError, match="zone"):
            ask(client_of(always(a_yes())), as_of=datetime(2026, 11, 20, 12))  # noqa: DTZ001 - the mistake


class TestTheRule:
    """Whatever bytes the service answers, a yes comes only of a well-formed one."""

    @given(said=st.binary(max_size=300), head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", None]))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_bytes_at_all_make_a_yes(self, said: bytes, head: bytes | None) -> None:
        length = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(said)

        with running(raw((length if head is None else head) + said)) as url, ConsentClient(url, KEY) as client:
            demand_unavailable(ask(client))

    @given(
        parts=st.fixed_dictionaries(
            {
                "status": st.sampled_from([200, 200, 200, 201, 202, 302, 500, 503]),
                "media_type": st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain"]),
                "allowed": st.sampled_from([True, True, False, 1, 1.0, "true", "yes", None, MISSING]),
                "reason": st.sampled_from(["consent_given", "existing_customer", "", "A reason", 5, None, MISSING]),
                "decision_id": st.sampled_from(["dec_1", "dec_1", "", " ", 1, None, MISSING]),
                "hours_left": st.sampled_from([4, 4, 30, 0, -1, None, MISSING]),
                "more": st.dictionaries(st.sampled_from(["statement", "later"]), st.none() | st.text()),
            }
        )
    )
    @settings(max_examples=150, deadline=None)
    def test_a_yes_has_every_part(self, parts: dict[str, Any]) -> None:
        left, now = parts["hours_left"], datetime.now(UTC)
        until = text(now + timedelta(hours=left)) if isinstance(left, int) else left
        told = {name: parts[name] for name in ("allowed", "reason", "decision_id")} | {"valid_until": until}
        body = {name: value for name, value in {**a_yes(), **told, **parts["more"]}.items() if value is not MISSING}
        is_yes = (
            parts["status"] == 200
            and parts["media_type"].startswith("application/json")
            and parts["allowed"] is True
            and parts["reason"] in {"consent_given", "existing_customer"}
            and parts["decision_id"] == "dec_1"
            and left in {4, 30}
        )

        answer = always(body, status=parts["status"], media_type=parts["media_type"])
        with running(answer) as url, ConsentClient(url, KEY) as client:
            decision = ask(client)

        assert decision.allowed is is_yes
        assert bool(decision) is is_yes
