"""A check answers no unless everything says yes."""

import pytest

from consent_service.db.session import Database
from tests.functional.api.conftest import KARI, System, key_with


class TestCheck:
    @pytest.mark.rule("ACC-01")
    def test_a_person_never_seen_is_a_no(self, system: System) -> None:
        answer = system.post("/v1/checks", {"subject": KARI, "purpose": "survey", "channel": "email"})

        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["allowed"] is False
        assert answer.json["reason"] == "no_consent"
        assert answer.json["subject_id"] is None
        assert answer.json["decision_id"].startswith("dec_")

    @pytest.mark.rule("ACC-01")
    def test_a_purpose_that_nobody_knows_is_a_no(self, system: System) -> None:
        assert system.check(purpose="nothing")["reason"] == "purpose_unknown"

    @pytest.mark.rule("ACC-01")
    def test_a_channel_that_nobody_knows_is_a_no(self, system: System) -> None:
        assert system.check(channel="pigeon")["reason"] == "channel_not_offered"

    def test_a_reported_yes_is_a_yes_with_what_it_rests_on(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        decision = system.check()

        assert decision["allowed"] is True
        assert decision["status"] == "given"
        assert decision["reason"] == "consent_given"
        assert decision["notice_version"] == 1
        assert decision["language"] == "nb"
        assert decision["given_at"] == "2026-03-03T12:00:00Z"
        assert decision["obligations"] == ["sender_identity"]

    def test_the_past_is_asked_like_the_present(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        before = system.check(as_of="2026-03-03T11:00:00Z")
        after = system.check(as_of="2026-03-03T13:00:00Z")

        assert (before["allowed"], after["allowed"]) == (False, True)

    def test_the_future_cannot_be_asked(self, system: System) -> None:
        answer = system.post(
            "/v1/checks", {"subject": KARI, "purpose": "survey", "channel": "email", "as_of": "2999-01-01T00:00:00Z"}
        )

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["pointer"] == "/as_of"

    @pytest.mark.rule("API-07")
    def test_nobody_keeps_the_answer(self, system: System) -> None:
        answer = system.post("/v1/checks", {"subject": KARI, "purpose": "survey", "channel": "email"})

        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.rule("API-03")
    def test_it_tells_what_is_left_of_the_budget(self, system: System) -> None:
        answer = system.post("/v1/checks", {"subject": KARI, "purpose": "survey", "channel": "email"})

        assert answer.headers["RateLimit-Policy"] == '"check";q=5000;w=1'
        assert answer.headers["RateLimit"].startswith('"check";r=')

    def test_another_controller_learns_nothing(self, system: System, other_system: System) -> None:
        system.post("/v1/consents", system.report())

        assert other_system.check()["reason"] == "no_consent"

    def test_a_key_for_checks_can_do_nothing_else(self, system: System, database: Database, controller: str) -> None:
        checker = System(system.client, key_with(database, controller, "check"))

        assert checker.check()["allowed"] is False
        assert checker.post("/v1/subjects/lookup", KARI).status_code == 403
