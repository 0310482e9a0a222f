"""Who somebody is: masked by default, in clear only for a reason that is written down."""

from sqlalchemy import select

from consent_service.audit.models import AuditEntry
from consent_service.db.session import Database
from tests.functional.api.conftest import KARI, System


def kari(system: System) -> str:
    outcome = system.post("/v1/consents", system.report()).json
    assert outcome is not None
    return str(outcome["subject_id"])


class TestSubject:
    def test_it_is_found_by_its_address(self, system: System) -> None:
        subject_id = kari(system)

        assert system.post("/v1/subjects/lookup", KARI).json == {"subject_id": subject_id}

    def test_nobody_is_404(self, system: System) -> None:
        answer = system.post("/v1/subjects/lookup", KARI)

        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["code"] == "subject_unknown"

    def test_it_is_shown_masked(self, system: System) -> None:
        answer = system.get(f"/v1/subjects/{kari(system)}")

        assert answer.json is not None
        assert answer.json["contact_points"][0]["masked"] == "k•••@n•••.example"
        assert "nordmann" not in answer.text

    def test_clear_values_need_a_reason_and_leave_an_entry(
        self, system: System, database: Database, controller: str
    ) -> None:
        subject_id = kari(system)

        refused = system.post(f"/v1/subjects/{subject_id}/reveal", {})
        shown = system.post(f"/v1/subjects/{subject_id}/reveal", {"reason": "She called."})

        assert refused.status_code == 422
        assert shown.json is not None
        assert shown.json["contact_points"] == [{"kind": "email", "value": KARI["email"]}]
        with database.transaction(controller) as session:
            types = session.scalars(select(AuditEntry.type)).all()
        assert types.count("subject.revealed") == 1

    def test_a_repeated_look_shows_the_id_alone(self, system: System) -> None:
        path = f"/v1/subjects/{kari(system)}/reveal"
        system.post(path, {"reason": "She called."}, Idempotency_Key="a")

        again = system.post(path, {"reason": "She called."}, Idempotency_Key="a")

        assert again.headers["Idempotent-Replay"] == "true"
        assert "nordmann" not in again.text

    def test_a_restriction_stops_every_check_until_it_is_lifted(self, system: System) -> None:
        path = f"/v1/subjects/{kari(system)}/restriction"

        system.post(path, {"restricted": True, "reason": "Disputed."})
        restricted = system.check()
        system.post(path, {"restricted": False, "reason": "Settled."})

        assert restricted["reason"] == "restricted"
        assert system.check()["allowed"] is True
