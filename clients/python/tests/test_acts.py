"""What a person said is recorded once, and whoever reports it learns whether it was."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from clients.python.tests.conftest import KEY
from clients.python.tests.servers import Handler, Talk, a_problem, always
from consent_client import (
    Choice,
    ConsentClient,
    Email,
    Evidence,
    OutcomeUnknownError,
    Phone,
    RequestRefusedError,
)
from consent_client.acts import Repeater
from consent_client.endpoints import read
from consent_client.transport import Transport

ClientOf = Callable[[Handler], ConsentClient]
KARI = Email("kari@nordlys.example")
CONSENT = {"consent_id": "con_1", "purpose": "newsletter", "channel": "email"}
WITHDRAWN = {"withdrawn": [{**CONSENT, "withdrawn_at": "2026-11-22T12:00:00Z"}], "unchanged": []}
CAPTURED = {
    "subject_id": None,
    "consents": [{**CONSENT, "status": "requested", "confirmation": "email"}],
    "decided_at": "2026-11-22T12:00:00Z",
}
EVIDENCE = Evidence(method="point_of_sale", act="button_pressed", occurred_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
PROBLEM = "application/problem+json"


class Ledger:
    """Keeps what it was told, and fails as often as it should before it answers."""

    def __init__(self, *failures: Handler, answer: dict[str, Any]) -> None:
        self.failures = list(failures)
        self.answer = answer
        self.heard: list[tuple[str | None, dict[str, Any]]] = []

    def __call__(self, talk: Talk) -> None:
        while (body := talk.receive()) is not None:
            self.heard.append((talk.header("Idempotency-Key"), json.loads(body)))
            if self.failures:
                self.failures.pop(0)(talk)
            else:
                talk.answer(self.answer)


def answering(status: int, code: str = "unavailable", *, retry_after: str | None = None) -> Handler:
    """Return a failure that the service names."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return lambda talk: talk.answer(a_problem(status, code), status=status, media_type=PROBLEM, headers=headers)


#: Answers after which nobody knows whether something was recorded, or after which it is worth trying again.
FAILURES: dict[str, Handler] = {
    "reset": Talk.reset,
    "cut short": lambda talk: talk.send(b"HTTP/1.1 "),
    "half a body": lambda talk: talk.answer(b"{"),
    "another kind": lambda talk: talk.answer(b"<p>", media_type="text/html"),
    "a proxy's 404": lambda talk: talk.answer(b"<p>", status=404, media_type="text/html"),
    "429": answering(429),
    "500": answering(500),
    "503": answering(503, retry_after="0"),
    "still running": answering(409, "idempotency_in_flight"),
}


def capture(client: ConsentClient, **more: Any) -> Any:  # noqa: ANN401 - passed on
    """Report that Kari pressed the button."""
    choices = [Choice("newsletter", "email", granted=True)]
    return client.capture(KARI, form="frm_1", language="nb", choices=choices, evidence=EVIDENCE, **more)


class TestCapture:
    def test_reports_all_that_was_said(self, client_of: ClientOf) -> None:
        ledger = Ledger(answer=CAPTURED)

        outcome = capture(
            client_of(ledger),
            form_version=4,
            additional_contact_points=[Phone("90000000", region="NO")],
            personal_fields={"name": "Kari"},
        )

        [(key, body)] = ledger.heard
        assert body == {
            "subject": {"email": "kari@nordlys.example"},
            "form": "frm_1",
            "form_version": 4,
            "language": "nb",
            "decisions": [{"purpose": "newsletter", "channel": "email", "granted": True}],
            "evidence": {
                "method": "point_of_sale",
                "act": "button_pressed",
                "occurred_at": "2026-11-22T12:00:00+00:00",
            },
            "additional_contact_points": [{"phone": "90000000", "region": "NO"}],
            "personal_fields": {"name": "Kari"},
        }
        assert outcome.idempotency_key == key
        assert outcome.subject_id is None
        assert [(each.status, each.confirmation) for each in outcome.consents] == [("requested", "email")]

    def test_that_only_the_person_can_undo_is_refused(self, client_of: ClientOf) -> None:
        ledger = Ledger(answering(409, "objected"), answer=CAPTURED)

        with pytest.raises(RequestRefusedError) as refused:
            capture(client_of(ledger))

        assert refused.value.code == "objected"
        assert len(ledger.heard) == 1


class TestWithdraw:
    def test_says_what_it_withdrew(self, client_of: ClientOf) -> None:
        ledger = Ledger(answer=WITHDRAWN)

        outcome = client_of(ledger).withdraw(KARI, purpose="newsletter", reason="told the till", evidence=EVIDENCE)

        [(_, body)] = ledger.heard
        assert (body["purpose"], body["reason"]) == ("newsletter", "told the till")
        assert "channel" not in body
        assert [each.consent_id for each in outcome.withdrawn] == ["con_1"]
        assert outcome.unchanged == ()

    @pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
    def test_is_repeated_with_its_key_until_it_is_certain(self, client_of: ClientOf, failure: Handler) -> None:
        def fail(talk: Talk) -> None:
            failure(talk)
            talk.socket.close()

        ledger = Ledger(fail, fail, answer=WITHDRAWN)

        outcome = client_of(ledger).withdraw(KARI)

        assert len(ledger.heard) == 3
        assert {key for key, _ in ledger.heard} == {outcome.idempotency_key}
        assert len({json.dumps(body) for _, body in ledger.heard}) == 1

    def test_that_never_becomes_certain_can_be_repeated_later(self, client_of: ClientOf) -> None:
        ledger = Ledger(*[answering(503)] * 4, answer=WITHDRAWN)
        client = client_of(ledger)

        with pytest.raises(OutcomeUnknownError) as unknown:
            client.withdraw(KARI)
        outcome = client.withdraw(KARI, idempotency_key=unknown.value.idempotency_key)

        assert len(ledger.heard) == 5
        assert {key for key, _ in ledger.heard} == {outcome.idempotency_key}
        assert "nordlys" not in str(unknown.value) + repr(unknown.value)

    @pytest.mark.parametrize("body", [{}, {"withdrawn": None, "unchanged": []}, {"withdrawn": [{}], "unchanged": []}])
    def test_whose_answer_is_strange_is_not_certain(self, client_of: ClientOf, body: dict[str, object]) -> None:
        with pytest.raises(OutcomeUnknownError):
            client_of(always(body)).withdraw(KARI)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    def test_that_is_refused_is_not_repeated(self, client_of: ClientOf, status: int) -> None:
        ledger = Ledger(answering(status, "invalid_input"), answer=WITHDRAWN)

        with pytest.raises(RequestRefusedError):
            client_of(ledger).withdraw(KARI)

        assert len(ledger.heard) == 1

    def test_has_another_key_than_the_one_before(self, client_of: ClientOf) -> None:
        client = client_of(always(WITHDRAWN))

        assert client.withdraw(KARI).idempotency_key != client.withdraw(KARI).idempotency_key


class TestPatience:
    def test_waits_as_long_as_it_was_told_and_no_longer_than_it_wants(self, serve: Callable[[Handler], str]) -> None:
        failures = [answering(503), answering(503, retry_after="5"), answering(503, retry_after="3600")]
        waited: list[float] = []
        transport = Transport(read(serve(Ledger(*failures, answer=WITHDRAWN)), KEY, tls=None))

        Repeater(transport, timeout=2, waits=(0.2, 1.0, 3.0), sleep=waited.append).perform("/v1/x", {}, key="k")

        transport.close()
        assert waited == [0.2, 5.0, 10.0]


class TestObjectTo:
    def test_says_what_was_recorded(self, client_of: ClientOf) -> None:
        answer = {"objection_id": "obj_1", "subject_id": None, "recorded_at": "2026-11-22T12:00:00Z"}
        ledger = Ledger(answering(503), answer=answer)

        outcome = client_of(ledger).object_to(KARI, channel="phone")

        assert outcome.objection_id == "obj_1"
        assert ledger.heard[0] == ledger.heard[1]
        assert ledger.heard[0][1] == {"subject": {"email": "kari@nordlys.example"}, "channel": "phone"}
