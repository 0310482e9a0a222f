"""A call that is sent twice has one effect."""

from contextvars import Context

import psycopg
import pytest

from consent_service.admission import idempotency
from consent_service.crypto import api_secrets
from consent_service.db.session import Database
from consent_service.vault import keys
from tests import builders
from tests.functional.api.conftest import KARI, System


class TestIdempotencyKey:
    @pytest.mark.rule("API-02")
    @pytest.mark.parametrize("key", ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"])
    def test_the_same_call_gets_the_same_answer(self, system: System, key: str) -> None:
        first = system.post("/v1/consents", system.report(), Idempotency_Key=key)

        second = system.post("/v1/consents", system.report(), Idempotency_Key=key)

        assert second.status_code == first.status_code == 201
        assert second.data == first.data
        assert second.headers["Idempotent-Replay"] == "true"
        assert "Idempotent-Replay" not in first.headers

    @pytest.mark.rule("API-02")
    def test_the_same_key_with_another_body_is_422(self, system: System) -> None:
        system.post("/v1/consents", system.report(), Idempotency_Key="a")

        answer = system.post("/v1/consents", system.report(language="en"), Idempotency_Key="a")

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["code"] == "idempotency_mismatch"

    @pytest.mark.rule("API-02")
    def test_the_same_key_on_another_route_is_another_call(self, system: System) -> None:
        system.post("/v1/withdrawals", {"subject": KARI}, Idempotency_Key="a")

        answer = system.post("/v1/objections", {"subject": KARI}, Idempotency_Key="a")

        assert answer.status_code == 201

    def test_a_refused_call_is_not_remembered(self, system: System) -> None:
        system.post("/v1/consents", system.report(language="fi"), Idempotency_Key="a")

        assert system.post("/v1/consents", system.report(), Idempotency_Key="a").status_code == 201

    @pytest.mark.rule("API-02")
    def test_a_call_that_still_runs_is_409(self, system: System, database: Database, controller: str) -> None:
        parsed = api_secrets.parse_api_key(system.key)
        with database.transaction(controller) as session:
            idempotency.begin(
                session,
                api_key_id=parsed.key_id,
                scope="POST /v1/withdrawals",
                key_hash=keys.request_hash(session, b"a"),
                body_hash=b"",
                at=builders.NOON,
            )
            # The call comes from elsewhere: this test's own transaction is not the caller's.
            answer = Context().run(system.post, "/v1/withdrawals", {"subject": KARI}, Idempotency_Key="a")

        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "idempotency_in_flight"

    @pytest.mark.rule("API-02")
    def test_neither_key_nor_answer_stands_in_the_database(self, system: System, superuser_url: str) -> None:
        system.post("/v1/consents", system.report(), Idempotency_Key=KARI["email"])

        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute("SELECT idempotency_record::text FROM idempotency_record").fetchall()
        assert len(rows) == 1
        assert KARI["email"].encode().hex() not in rows[0][0]
        assert b"subject_id".hex() not in rows[0][0]

    @pytest.mark.parametrize("key", ["", '""', '"a', "a b", "x" * 256, "å"])
    def test_a_key_that_is_none_is_400(self, system: System, key: str) -> None:
        answer = system.post("/v1/withdrawals", {"subject": KARI}, Idempotency_Key=key)

        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["code"] == "idempotency_key_invalid"
