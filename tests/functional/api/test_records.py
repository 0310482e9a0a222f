"""What is on record about a person, and only for those who may see it."""

from typing import Any

import pytest

from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.db.session import Database
from tests import builders
from tests.functional.api.conftest import KARI, System


def kari(system: System) -> dict[str, Any]:
    outcome: dict[str, Any] = system.post("/v1/consents", system.report()).get_json()
    return outcome


class TestConsent:
    def test_it_tells_the_whole_life_of_a_declaration(self, system: System) -> None:
        consent_id = kari(system)["consents"][0]["consent_id"]
        system.post("/v1/withdrawals", {"subject": KARI})

        record = system.get(f"/v1/consents/{consent_id}").json

        assert record is not None
        assert record["status"] == "withdrawn"
        assert record["status_term"] == "ConsentWithdrawn"
        assert record["given_at"] == "2026-03-03T12:00:00Z"
        assert [each["kind"] for each in record["entries"]] == ["given", "withdrawn"]

    def test_one_of_another_controller_does_not_exist(self, system: System, other_system: System) -> None:
        consent_id = kari(other_system)["consents"][0]["consent_id"]

        assert system.get(f"/v1/consents/{consent_id}").status_code == 404


class TestCurrent:
    def test_every_choice_is_listed_with_its_status(self, system: System) -> None:
        subject_id = kari(system)["subject_id"]

        listed = system.get(f"/v1/subjects/{subject_id}/consents").json

        assert listed is not None
        assert [(each["purpose"], each["channel"], each["status"]) for each in listed["data"]] == [
            ("survey", "email", "given")
        ]


class TestHistory:
    @pytest.mark.rule("API-05")
    def test_pages_follow_each_other_without_gap_or_repeat(self, system: System) -> None:
        subject_id = kari(system)["subject_id"]
        for _ in range(4):
            kari(system)
        path = f"/v1/subjects/{subject_id}/history"
        whole = system.get(path).get_json()["data"]

        seen, cursor = [], ""
        while True:
            answer = system.get(f"{path}?limit=2{cursor}")
            page = answer.get_json()
            seen += page["data"]
            if page["next_cursor"] is None:
                break
            assert f"cursor={page['next_cursor']}" in answer.headers["Link"]
            cursor = f"&cursor={page['next_cursor']}"

        assert len(whole) == 5
        assert seen == whole

    @pytest.mark.rule("API-05")
    def test_a_cursor_of_somebody_else_is_refused(self, system: System) -> None:
        for _ in range(2):
            kari(system)
        ola = system.post("/v1/consents", system.report(subject={"email": "ola@nordmann.example"})).get_json()
        first = system.get(f"/v1/subjects/{kari(system)['subject_id']}/history?limit=1").get_json()

        answer = system.get(f"/v1/subjects/{ola['subject_id']}/history?cursor={first['next_cursor']}")

        assert answer.status_code == 400

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "lmit=1", "cursor=%00"])
    def test_a_query_that_makes_no_sense_is_refused(self, system: System, query: str) -> None:
        answer = system.get(f"/v1/subjects/{kari(system)['subject_id']}/history?{query}")

        assert answer.status_code in {400, 422}


class TestLimitedKey:
    def test_it_sees_and_does_what_belongs_to_its_purposes(
        self, system: System, database: Database, controller: str
    ) -> None:
        outcome = kari(system)
        with database.transaction(controller) as session:
            text = api_keys.create(
                session,
                name="newsletter only",
                system="mailer",
                scopes=api_keys.SCOPES,
                environment="live",
                purposes=["newsletter"],
                forms=[],
                actor=trail.SYSTEM,
                at=builders.NOON,
            ).text
        limited = System(system.client, text, system.form)

        assert limited.get(f"/v1/subjects/{outcome['subject_id']}/consents").get_json()["data"] == []
        assert limited.get(f"/v1/consents/{outcome['consents'][0]['consent_id']}").status_code == 403
        assert limited.post("/v1/withdrawals", {"subject": KARI}).status_code == 403
        assert limited.post("/v1/withdrawals", {"subject": KARI, "purpose": "survey"}).status_code == 403
        assert limited.post("/v1/withdrawals", {"subject": KARI, "purpose": "newsletter"}).status_code == 200
        assert limited.post("/v1/consents", limited.report()).status_code == 403
