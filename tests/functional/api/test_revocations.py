"""A recall is answered once it is durable, and from then on every check about its source says no."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.cli import worker as process
from consent_service.db.session import Database
from tests import builders
from tests.builders import NOON
from tests.functional.api.conftest import System, key_with

PATH = "/v1/revocations"


def recall(system: System, *, dry_run: bool = False, **source: object) -> dict[str, Any]:
    """Return the body of a recall."""
    named = source or {"form": system.form}
    return {**named, "reason": "The page had ticked the box.", "dry_run": dry_run}


class TestRecall:
    def test_every_check_after_it_says_no(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post(PATH, recall(system, form=system.form, form_version=1))

        assert answer.status_code == 201
        assert answer.json is not None
        assert (answer.json["status"], answer.json["count"]) == ("applying", 1)
        assert answer.json["consents"] == [{"purpose": "survey", "channel": "email", "count": 1}]
        decision = system.check()
        assert (decision["allowed"], decision["status"], decision["reason"]) == (False, "revoked", "consent_revoked")

    def test_a_dry_run_counts_and_writes_nothing(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post(PATH, recall(system, dry_run=True))

        assert answer.status_code == 200
        assert answer.json == {
            "revocation_id": None,
            "status": "dry_run",
            "count": 1,
            "consents": [{"purpose": "survey", "channel": "email", "count": 1}],
        }
        assert system.check()["allowed"] is True
        assert (system.get(PATH).json or {})["data"] == []

    def test_a_source_is_found_in_the_history_and_recalled_by_it(self, system: System) -> None:
        told = system.post("/v1/consents", {**system.report(), "import": "crm-2026-03"}).json or {}
        (entry,) = (system.get(f"/v1/subjects/{told['subject_id']}/history").json or {})["data"]
        assert entry["source"]["import"] == "crm-2026-03"
        assert (entry["source"]["form"], entry["source"]["form_version"]) == (system.form, 1)

        for name in ("api_key", "import"):
            answer = system.post(PATH, {**recall(system, dry_run=True), name: entry["source"][name]})

            assert (answer.status_code, (answer.json or {})["count"]) == (200, 1)

    def test_how_far_it_has_come_is_shown(self, system: System, worker_database: Database) -> None:
        system.post("/v1/consents", system.report())
        made = system.post(PATH, recall(system)).json or {}
        path = f"{PATH}/{made['revocation_id']}"

        before = system.get(path).json or {}
        process.Revoking()(worker_database, NOON)
        after = system.get(path).json or {}

        assert [(each["status"], each["count"], each["ended"]) for each in (before, after)] == [
            ("applying", 1, 0),
            ("applied", 1, 1),
        ]
        assert (before["applied_at"], before["form"], before["reason"]) == (
            None,
            system.form,
            "The page had ticked the box.",
        )
        assert (system.get(PATH).json or {})["data"] == [after]
        assert system.check()["reason"] == "consent_revoked"

    def test_a_repeated_call_recalls_once(self, system: System) -> None:
        first = system.post(PATH, recall(system), Idempotency_Key="one")
        second = system.post(PATH, recall(system), Idempotency_Key="one")

        assert first.json == second.json
        assert len((system.get(PATH).json or {})["data"]) == 1


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"form": None}, "/form"),
            ({"form": "frm_x"}, "/form"),
            ({"api_key": "crm"}, "/api_key"),
            ({"import": "CRM 2026"}, "/import"),
            ({"form_version": 0}, "/form_version"),
            ({"recorded_from": "yesterday"}, "/recorded_from"),
            ({"recorded_until": "2999-01-01T00:00:00Z"}, "/recorded_until"),
            ({"reason": ""}, "/reason"),
            ({"dry_run": "no"}, "/dry_run"),
            ({"purpose": "survey"}, "/purpose"),
        ],
    )
    def test_it_is_named_and_nothing_ends(self, system: System, changes: dict[str, object], pointer: str) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post(PATH, {**recall(system), **changes})

        assert answer.status_code == 422
        assert pointer in [each["pointer"] for each in (answer.json or {})["errors"]]
        assert system.check()["allowed"] is True

    @pytest.mark.parametrize("missing", ["dry_run", "reason", "form"])
    def test_nothing_has_a_default(self, system: System, missing: str) -> None:
        body = recall(system)
        del body[missing]

        assert system.post(PATH, body).status_code == 422

    def test_another_systems_form_and_key_are_unknown(self, system: System, other_system: System) -> None:
        nobodys = identifiers.new_id("key", at=NOON)

        assert system.post(PATH, recall(system, form=other_system.form)).status_code == 404
        assert system.post(PATH, recall(system, api_key=nobodys)).status_code == 404
        assert system.get(f"{PATH}/{identifiers.new_id('rvk', at=NOON)}").status_code == 404


class TestWhoMay:
    def test_a_key_for_withdrawals_ends_nobodys_but_the_persons_it_names(
        self, system: System, database: Database, controller: str
    ) -> None:
        system.post("/v1/consents", system.report())
        till = System(system.client, key_with(database, controller, "withdraw", "capture", "check"), system.form)

        assert till.post(PATH, recall(till)).status_code == 403
        assert system.check()["allowed"] is True

    def test_a_key_that_is_limited_recalls_within_its_limits(
        self, system: System, database: Database, controller: str
    ) -> None:
        with database.transaction(controller) as session:
            other_form = builders.a_form(session, key="other", offers=[("survey", "email")]).form_id
            of_form = System(system.client, a_limited_key(session, forms=[other_form]))
            of_purpose = System(system.client, a_limited_key(session, purposes=["survey"]))
        whole = system.post(PATH, recall(system)).json or {}

        assert of_form.post(PATH, recall(system)).status_code == 403
        assert of_form.post(PATH, {"import": "crm", "reason": "bought", "dry_run": False}).status_code == 403
        assert of_form.post(PATH, recall(system, form=other_form)).status_code == 201
        assert of_form.get(f"{PATH}/{whole['revocation_id']}").status_code == 403
        assert [each["form"] for each in (of_form.get(PATH).json or {})["data"]] == [other_form]
        assert of_purpose.post(PATH, recall(system)).status_code == 403
        assert of_purpose.get(PATH).status_code == 403


def a_limited_key(session: Session, *, forms: list[str] | None = None, purposes: list[str] | None = None) -> str:
    """Make a key of the registry that is limited to forms or purposes."""
    created = api_keys.create(
        session,
        name="limited",
        system="shop",
        scopes=["registry"],
        environment="live",
        forms=forms,
        purposes=purposes,
        actor=trail.SYSTEM,
        at=NOON,
    )
    return created.text
