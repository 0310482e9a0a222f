"""Receipts of real declarations: what each state says, and that an earlier receipt stays as it was."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import receipt, records
from consent_service.db.session import Database
from consent_service.errors import ConsentUnknownError
from consent_service.registry import recipients
from consent_service.registry.forms import ShownForm
from tests import builders
from tests.builders import NOON
from tests.functional.consent import acts

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "schemas" / "consent-receipt.schema.json").read_text("utf-8")
)
BASE = "https://consent.example"
DAY = timedelta(days=1)
LATER = NOON + DAY


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    with database.transaction(controller) as session:
        yield session


@pytest.fixture
def shown(session: Session) -> ShownForm:
    return a_shown_form(session)


def a_shown_form(session: Session) -> ShownForm:
    recipients.create(
        session,
        key="post",
        legal_name="Post og Brev AS",
        role="processor",
        country="NO",
        agreement="2026-01",
        actor=trail.SYSTEM,
        at=NOON,
    )
    builders.a_published_purpose(session, valid_for_months=24, recipients=("post",))
    return acts.shown_form(session, builders.a_form(session))


def build(session: Session, consent_id: str, *, at: Any = LATER) -> dict[str, Any]:  # noqa: ANN401 - a datetime
    return receipt.build(session, consent_id=consent_id, public_url=BASE, at=at)


def states(document: dict[str, Any]) -> list[str]:
    record = document["dpv:hasRecordOfActivity"][0]
    return [state["@type"][0].removeprefix("dpv:") for state in record["dpv:hasConsentStatus"]]


class TestBuild:
    @pytest.mark.rule("REC-01")
    def test_a_confirmed_consent_has_a_whole_receipt(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        document = build(session, consent_id)

        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        record = document["dpv:hasRecordOfActivity"][0]
        assert consent_id in record["dpv:hasIdentifier"]
        assert states(document) == ["ConsentRequested", "ConsentGiven"]
        assert record["dpv:hasEntity"][1]["dpv:hasName"] == "Post og Brev AS"
        assert record["dpv:hasProcess"][0]["dpv:hasConsentControl"]["dpv:isExercisedAt"] == {
            "@id": f"{BASE}/p?controller=nordlys"
        }

    @pytest.mark.rule("REC-03")
    def test_what_waits_is_only_requested(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.sign_up(session, shown)

        document = build(session, consent_id)

        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        assert states(document) == ["ConsentRequested"]

    @pytest.mark.rule("REC-03")
    def test_derived_states_stand_where_they_happened(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=LATER)
        in_three_years = NOON.replace(year=2029)

        changed = build(session, consent_id, at=LATER)
        expired = build(session, consent_id, at=in_three_years)
        acts.take_back(session, at=in_three_years)
        withdrawn = build(session, consent_id, at=in_three_years)

        assert states(changed) == ["ConsentRequested", "ConsentGiven", "ConsentInvalidated"]
        assert states(expired) == [*states(changed), "ConsentExpired"]
        assert states(withdrawn) == [*states(expired), "ConsentWithdrawn"]
        jsonschema.Draft202012Validator(SCHEMA).validate(withdrawn)

    def test_a_withdrawal_before_its_end_is_the_end(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)

        document = build(session, consent_id, at=NOON.replace(year=2029))

        assert states(document) == ["ConsentRequested", "ConsentGiven", "ConsentWithdrawn"]

    def test_a_choice_on_a_mailed_page_was_never_waiting(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.choose(session, shown, at=LATER)

        document = build(session, consent_id)

        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        assert states(document) == ["ConsentGiven"]

    @pytest.mark.rule("REC-02")
    def test_a_later_receipt_leaves_the_earlier_one_as_it_was(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        first = build(session, consent_id, at=LATER)
        acts.take_back(session, at=LATER + DAY)
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=LATER + 2 * DAY)

        second = build(session, consent_id, at=LATER + 3 * DAY)

        assert second["dct:identifier"] != first["dct:identifier"]
        assert build(session, consent_id, at=LATER) == first
        assert build(session, consent_id, at=LATER + 9 * DAY) == second

    @pytest.mark.rule("REC-05")
    def test_it_holds_nothing_by_which_the_person_is_known(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""

        text = json.dumps(build(session, consent_id)).lower()

        assert subject_id
        for known in (acts.EMAIL, "kari", subject_id, "sub_", "cpt_", acts.IP):
            assert known.lower() not in text

    @pytest.mark.rule("REC-05")
    def test_the_pseudonym_is_the_same_in_all_receipts_of_a_controller_and_in_no_others(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        found = []
        for each in (controller, other_controller):
            with database.transaction(each) as session:
                shown = a_shown_form(session)
                one = acts.a_given_consent(session, shown)
                other = acts.a_given_consent(session, shown, at=LATER)
                documents = [build(session, one, at=LATER + DAY), build(session, other, at=LATER + DAY)]
                found += [d["dpv:hasRecordOfActivity"][0]["dpv:hasDataSubject"]["@id"] for d in documents]

        assert found[0] == found[1]
        assert found[2] == found[3]
        assert found[0] != found[2]

    def test_a_withdrawal_that_ended_nothing_has_no_receipt(self, session: Session, shown: ShownForm) -> None:
        acts.a_given_consent(session, shown)
        builders.a_published_purpose(session, key="survey")
        withdrawn = acts.take_back(session, at=LATER).withdrawn
        consent_id = next(each.consent_id for each in withdrawn if each.purpose == "survey")

        with pytest.raises(ConsentUnknownError):
            build(session, consent_id)

    def test_a_request_that_expired_has_no_receipt(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.sign_up(session, shown)

        with pytest.raises(ConsentUnknownError):
            build(session, consent_id, at=NOON + 8 * DAY)
