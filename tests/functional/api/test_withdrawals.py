"""A withdrawal is answered once it is durable, and from then on every check says no."""

import pytest

from tests.functional.api.conftest import KARI, System


class TestWithdrawal:
    def test_every_check_after_it_says_no(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post("/v1/withdrawals", {"subject": KARI, "purpose": "survey"})

        assert answer.status_code == 200
        assert answer.json is not None
        assert [(each["purpose"], each["channel"]) for each in answer.json["withdrawn"]] == [("survey", "email")]
        assert answer.json["unchanged"] == []
        assert system.check()["reason"] == "consent_withdrawn"

    def test_a_second_one_changes_nothing_and_says_since_when(self, system: System) -> None:
        system.post("/v1/consents", system.report())
        first = system.post("/v1/withdrawals", {"subject": KARI, "purpose": "survey"}).json

        second = system.post("/v1/withdrawals", {"subject": KARI, "purpose": "survey"}).json

        assert first is not None
        assert second is not None
        assert second["withdrawn"] == []
        assert second["unchanged"][0]["withdrawn_at"] == first["withdrawn"][0]["withdrawn_at"]

    def test_an_address_that_nobody_knows_gets_the_same_answer(self, system: System) -> None:
        answer = system.post("/v1/withdrawals", {"subject": KARI})

        assert answer.status_code == 200
        assert answer.json == {"withdrawn": [], "unchanged": []}
        assert system.check()["reason"] == "suppressed"

    @pytest.mark.parametrize(
        "body",
        [
            {"subject": KARI, "purpos": "survey"},
            {"subject": {**KARI, "name": "Kari"}},
            {"subject": KARI, "channel": "pigeon"},
            {"subject": KARI, "purpose": None},
            {"subject": {}},
            {},
        ],
    )
    def test_a_misspelt_field_never_means_all(self, system: System, body: dict[str, object]) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post("/v1/withdrawals", body)

        assert answer.status_code == 422
        assert system.check()["allowed"] is True

    def test_a_misspelt_purpose_never_means_all(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post("/v1/withdrawals", {"subject": KARI, "purpose": "survye"})

        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["code"] == "purpose_unknown"
        assert system.check()["allowed"] is True


class TestObjection:
    def test_it_stops_what_consent_allowed(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post("/v1/objections", {"subject": KARI})

        assert answer.status_code == 201
        assert system.check()["reason"] == "objected"

    def test_an_act_reported_later_does_not_lift_it(self, system: System) -> None:
        system.post("/v1/consents", system.report())
        system.post("/v1/objections", {"subject": KARI})

        answer = system.post("/v1/consents", system.report())

        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "objected"
