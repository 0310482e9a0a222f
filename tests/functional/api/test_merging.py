"""Two records are one person: both are reached by either name, and nobody is made one by mistake."""

from typing import Any

import pytest
from sqlalchemy import select

from consent_service.audit.models import AuditEntry
from consent_service.db.session import Database
from tests import builders
from tests.functional.api.conftest import KARI, System, key_with

KARIS_OTHER = {"email": "kari@work.example"}
TILL = {"external_id": "7931", "system": "till"}


def known(system: System, subject: dict[str, Any], **changes: object) -> str:
    """Have a system report a yes to the survey; return the id of the person it made."""
    outcome = system.post("/v1/consents", {**system.report(subject=subject), **changes}).json
    assert outcome is not None
    return str(outcome["subject_id"])


def merge(system: System, survivor: str, duplicate: str, **headers: str) -> dict[str, Any]:
    answer = system.post(
        f"/v1/subjects/{survivor}/merges", {"duplicate": duplicate, "reason": "One card, two tills."}, **headers
    )
    body: dict[str, Any] = answer.get_json()
    return {**body, "status": answer.status_code}


def standing(system: System, subject_id: str) -> list[tuple[str, str, str]]:
    listed = system.get(f"/v1/subjects/{subject_id}/consents").json
    assert listed is not None
    return sorted((each["purpose"], each["channel"], each["status"]) for each in listed["data"])


@pytest.fixture
def pair(system: System) -> tuple[str, str]:
    """Let Kari be known under two addresses, and by the till's number under the second."""
    second = known(system, TILL, additional_contact_points=[KARIS_OTHER])
    return known(system, KARI), second


class TestMerging:
    def test_every_name_of_either_means_the_one_that_goes_on(self, system: System, pair: tuple[str, str]) -> None:
        survivor, duplicate = pair

        merged = merge(system, survivor, duplicate)

        assert (merged["status"], merged["subject_id"], merged["duplicate"]) == (201, survivor, duplicate)
        for name in ({"id": duplicate}, {"id": survivor}, KARI, KARIS_OTHER, TILL):
            assert system.post("/v1/subjects/lookup", name).json == {"subject_id": survivor}

    def test_it_is_written_down_with_its_reason_sealed(
        self, system: System, pair: tuple[str, str], database: Database, controller: str
    ) -> None:
        merge(system, *pair)

        with database.transaction(controller) as session:
            types = session.scalars(select(AuditEntry.type)).all()
        assert types.count("subject.merged") == 1

    def test_a_repeated_call_is_answered_as_the_first(self, system: System, pair: tuple[str, str]) -> None:
        first = merge(system, *pair, Idempotency_Key="a")

        assert merge(system, *pair, Idempotency_Key="a") == first
        assert merge(system, *pair)["code"] == "already_merged"

    def test_a_record_is_merged_once_and_merges_form_no_chain(self, system: System, pair: tuple[str, str]) -> None:
        survivor, duplicate = pair
        third = known(system, {"email": "kari@third.example"})
        merge(system, survivor, duplicate)

        assert merge(system, third, duplicate)["code"] == "already_merged"
        assert merge(system, duplicate, third)["code"] == "already_merged"
        assert merge(system, third, survivor)["code"] == "already_merged"
        assert merge(system, survivor, third)["status"] == 201

    def test_nobody_is_merged_with_herself_or_without_a_reason(self, system: System, pair: tuple[str, str]) -> None:
        survivor, duplicate = pair

        herself = system.post(f"/v1/subjects/{survivor}/merges", {"duplicate": survivor, "reason": "Odd."})
        silent = system.post(f"/v1/subjects/{survivor}/merges", {"duplicate": duplicate, "reason": " "})

        assert (herself.status_code, silent.status_code) == (422, 422)
        assert herself.json is not None
        assert herself.json["errors"][0]["pointer"] == "/duplicate"

    def test_another_controllers_person_is_nobody(self, system: System, other_system: System) -> None:
        ours, theirs = known(system, KARI), known(other_system, KARI)

        assert merge(system, ours, theirs)["status"] == 404
        assert merge(system, theirs, ours)["status"] == 404

    @pytest.mark.parametrize("scope", ["subjects:read", "capture"])
    def test_a_key_without_the_scope_merges_nobody(
        self, system: System, pair: tuple[str, str], database: Database, controller: str, scope: str
    ) -> None:
        other = System(system.client, key_with(database, controller, scope))

        assert merge(other, *pair)["status"] == 403


class TestAMergedPerson:
    def test_shows_the_contact_points_of_both(self, system: System, pair: tuple[str, str]) -> None:
        merge(system, *pair)

        for name in pair:
            shown = system.get(f"/v1/subjects/{name}").json
            assert shown is not None
            assert (shown["subject_id"], shown["duplicates"]) == (pair[0], [pair[1]])
            assert len(shown["contact_points"]) == 2

    def test_is_revealed_whole_though_each_value_has_its_own_key(self, system: System, pair: tuple[str, str]) -> None:
        merge(system, *pair)

        clear = system.post(f"/v1/subjects/{pair[1]}/reveal", {"reason": "She called."}).json

        assert clear is not None
        assert clear["subject_id"] == pair[0]
        assert {each["value"] for each in clear["contact_points"]} == {KARI["email"], KARIS_OTHER["email"]}
        assert clear["external_ids"] == [{"system": "till", "value": "7931"}]

    def test_has_the_choices_and_the_history_of_both(self, system: System, pair: tuple[str, str]) -> None:
        merge(system, *pair)

        for name in pair:
            history = system.get(f"/v1/subjects/{name}/history").json
            assert history is not None
            assert len(history["data"]) == 2
            assert standing(system, name) == [("survey", "email", "given")] * 2

    def test_stands_as_withdrawn_where_one_record_withdrew_before(self, system: System, pair: tuple[str, str]) -> None:
        system.post("/v1/withdrawals", {"subject": KARI, "purpose": "survey"})

        merged = merge(system, *pair)

        assert standing(system, pair[0]) == [("survey", "email", "withdrawn")] * 2
        given = system.get(f"/v1/subjects/{pair[0]}/history").json
        assert given is not None
        ids = [each["consent_id"] for each in given["data"] if each["kind"] == "given"]
        records = [system.get(f"/v1/consents/{each}").get_json() for each in ids]
        assert [(each["status"], each["subject_id"]) for each in records] == [("withdrawn", pair[0])] * 2
        assert merged["merged_at"] in {each["withdrawn_at"] for each in records}

    def test_withdraws_at_every_point_of_both(self, system: System, pair: tuple[str, str]) -> None:
        merge(system, *pair)

        ended = system.post("/v1/withdrawals", {"subject": KARI}).json

        assert ended is not None
        of_survey = [each for each in ended["withdrawn"] if each["purpose"] == "survey"]
        assert len(of_survey) == 2
        assert standing(system, pair[1]).count(("survey", "email", "withdrawn")) == 2

    def test_withdraws_too_what_reaches_no_contact_point(
        self, system: System, database: Database, controller: str
    ) -> None:
        with database.transaction(controller) as session:
            builders.a_published_purpose(session, key="profiling", channels=("web",), double_opt_in=False)
            form = builders.a_form(session, key="web", offers=[("profiling", "web")])
        yes = [{"purpose": "profiling", "channel": "web", "granted": True}]
        survivor = known(system, KARI)
        duplicate = known(system, TILL, form=form.form_id, decisions=yes)
        merge(system, survivor, duplicate)

        def check() -> dict[str, Any]:
            return system.check(purpose="profiling", channel="web", subject={"id": survivor})

        assert check()["reason"] == "consent_given"
        system.post("/v1/withdrawals", {"subject": {"id": survivor}})

        assert check()["reason"] == "consent_withdrawn"
        assert ("profiling", "web", "withdrawn") in standing(system, duplicate)
        assert ("profiling", "web", "given") not in standing(system, duplicate)

    def test_a_new_act_on_the_duplicates_address_joins_its_series(self, system: System, pair: tuple[str, str]) -> None:
        merge(system, *pair)

        again = known(system, KARIS_OTHER)

        assert again == pair[0]
        assert standing(system, again) == [("survey", "email", "given"), ("survey", "email", "renewed")]

    def test_is_restricted_where_either_was_and_freed_of_both(self, system: System, pair: tuple[str, str]) -> None:
        survivor, duplicate = pair
        system.post(f"/v1/subjects/{duplicate}/restriction", {"restricted": True, "reason": "Disputed."})

        merge(system, survivor, duplicate)
        restricted = system.get(f"/v1/subjects/{survivor}").json
        stopped = system.check()
        system.post(f"/v1/subjects/{survivor}/restriction", {"restricted": False, "reason": "Settled."})

        assert restricted is not None
        assert restricted["restricted"] is True
        assert stopped["reason"] == "restricted"
        assert system.check()["allowed"] is True
