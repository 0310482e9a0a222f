"""A call that is sent twice has one effect."""

import pytest

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

    @pytest.mark.parametrize("key", ["", '""', '"a', "a b", "x" * 256, "å"])
    def test_a_key_that_is_none_is_400(self, system: System, key: str) -> None:
        answer = system.post("/v1/withdrawals", {"subject": KARI}, Idempotency_Key=key)

        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["code"] == "idempotency_key_invalid"
