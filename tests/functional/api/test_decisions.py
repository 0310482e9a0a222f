"""Why was this person contacted on 3 May? The decision log answers, from the moment of the answer on."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.cli import decision_mover
from consent_service.config import Settings
from consent_service.consent import merging
from consent_service.consent.spool import Spool
from consent_service.db.session import Database
from consent_service.subjects import identity
from tests.builders import NOON
from tests.decisions import CONSENT, ENTRY, KEY, an_answer, answer_chunk, answer_single
from tests.functional.api.conftest import System, key_with

MAY_3 = datetime.fromisoformat("2026-05-03T10:00:00Z")


@pytest.fixture
def spool(settings: Settings) -> Iterator[Spool]:
    """Return a spool in the folder that the web server reads, and leave nothing there."""
    spool = Spool(settings.spool_dir, rotate_seconds=3600)
    yield spool
    spool.close()
    for path in settings.spool_dir.glob("*.ready"):
        path.unlink()


def a_subject(database: Database, controller: str) -> str:
    with database.transaction(controller) as session:
        return identity.create(session, at=NOON, actor=trail.SYSTEM)


@pytest.fixture
def kari(database: Database, controller: str) -> str:
    return a_subject(database, controller)


def move(spool: Spool, database: Database) -> None:
    spool.rotate()
    decision_mover.move(database, spool.folder)


class TestShowDecision:
    @pytest.mark.parametrize("moved", [False, True])
    def test_it_shows_what_was_answered_and_on_what_that_rested(
        self, system: System, controller: str, kari: str, spool: Spool, worker_database: Database, *, moved: bool
    ) -> None:
        decision_id = answer_single(spool, controller, subject=kari)
        if moved:
            move(spool, worker_database)

        shown = system.get(f"/v1/decisions/{decision_id}")

        assert shown.status_code == 200
        assert shown.get_json() == {
            "decision_id": decision_id,
            "kind": "single",
            "asked_by": {"api_key_id": KEY, "system": None},
            "purpose": "newsletter",
            "channel": "email",
            "as_of": None,
            "known_at": None,
            "recipient": None,
            "min_evidence": "single_opt_in",
            "counts": {"allowed": 1, "denied": 0, "invalid": 0},
            "evaluated_at": "2026-03-02T12:00:00Z",
            "item": 0,
            "subject_id": kari,
            "allowed": True,
            "status": "given",
            "reason": "consent_given",
            "legal_basis": "consent",
            "consent_id": CONSENT,
            "ledger_entry_id": ENTRY,
            "notice_version": 3,
            "obligations": ["sender_identity"],
            "valid_until": "2026-03-02T16:00:00Z",
            "next_allowed_at": None,
        }

    def test_an_answer_about_nobody_is_shown_too(self, system: System, controller: str, spool: Spool) -> None:
        decision_id = answer_single(spool, controller, subject=None, allowed=False)

        shown = system.get(f"/v1/decisions/{decision_id}").get_json()

        assert (shown["subject_id"], shown["allowed"], shown["reason"]) == (None, False, "no_consent")

    @pytest.mark.parametrize("moved", [False, True])
    def test_a_stream_shows_its_counts_and_each_person_on_demand(
        self, system: System, controller: str, kari: str, spool: Spool, worker_database: Database, *, moved: bool
    ) -> None:
        stream, other = identifiers.new_id("dec", at=NOON), identifiers.new_id("sub")
        answer_chunk(spool, controller, stream, answers=[an_answer(0, subject=other)], counts=(1, 2, 0))
        answer_chunk(spool, controller, stream, answers=[an_answer(7, subject=kari)], counts=(2, 5, 1))
        if moved:
            move(spool, worker_database)

        whole = system.get(f"/v1/decisions/{stream}").get_json()
        person = system.get(f"/v1/decisions/{stream}?subject_id={kari}").get_json()
        nobody = system.get(f"/v1/decisions/{stream}?subject_id={identifiers.new_id('sub')}")

        assert whole["counts"] == {"allowed": 2, "denied": 5, "invalid": 1}
        assert (whole["kind"], whole["subject_id"], whole["allowed"]) == ("stream", None, None)
        assert (person["item"], person["allowed"], person["ledger_entry_id"]) == (7, True, ENTRY)
        assert (nobody.status_code, nobody.get_json()["code"]) == (404, "decision_unknown")

    @pytest.mark.parametrize("moved", [False, True])
    def test_another_controllers_is_not_found(
        self,
        system: System,
        other_system: System,
        controller: str,
        spool: Spool,
        worker_database: Database,
        *,
        moved: bool,
    ) -> None:
        decision_id = answer_single(spool, controller)
        if moved:
            move(spool, worker_database)

        assert system.get(f"/v1/decisions/{decision_id}").status_code == 200
        assert other_system.get(f"/v1/decisions/{decision_id}").status_code == 404

    def test_it_needs_its_scope(self, system: System, database: Database, controller: str, spool: Spool) -> None:
        decision_id = answer_single(spool, controller)
        checker = System(system.client, key_with(database, controller, "check"))

        assert checker.get(f"/v1/decisions/{decision_id}").status_code == 403
        assert checker.get(f"/v1/decisions?subject_id={identifiers.new_id('sub')}").status_code == 403

    def test_a_broken_line_hides_no_other(self, system: System, controller: str, spool: Spool) -> None:
        decision_id = answer_single(spool, controller)
        spool.append(f'["s1","{decision_id}"]\n'.encode())

        assert system.get(f"/v1/decisions/{decision_id}").status_code == 200


class TestListDecisions:
    def test_it_says_why_a_person_was_contacted_on_a_day(
        self, system: System, controller: str, kari: str, spool: Spool, worker_database: Database
    ) -> None:
        answer_single(spool, controller, subject=kari, at=MAY_3 - timedelta(days=1))
        wanted = answer_single(spool, controller, subject=kari, at=MAY_3)
        answer_single(spool, controller, subject=kari, at=MAY_3 + timedelta(days=1))
        answer_single(spool, controller, at=MAY_3)
        move(spool, worker_database)

        found = system.get(
            f"/v1/decisions?subject_id={kari}&from=2026-05-03T00:00:00Z&to=2026-05-04T00:00:00Z"
        ).get_json()

        assert [(each["decision_id"], each["reason"]) for each in found["data"]] == [(wanted, "consent_given")]
        assert found["next_cursor"] is None

    def test_it_can_be_limited_to_a_purpose_and_a_channel(
        self, system: System, controller: str, kari: str, spool: Spool, worker_database: Database
    ) -> None:
        survey = answer_single(spool, controller, subject=kari, purpose="survey")
        sms = answer_single(spool, controller, subject=kari, channel="sms")
        move(spool, worker_database)
        young = answer_single(spool, controller, subject=kari, channel="sms", at=NOON + timedelta(minutes=1))

        def ids(query: str) -> list[str]:
            answer = system.get(f"/v1/decisions?subject_id={kari}&{query}").get_json()
            return [each["decision_id"] for each in answer["data"]]

        assert ids("purpose=survey") == [survey]
        assert ids("channel=sms") == [young, sms]

    def test_pages_cross_from_the_spool_into_the_log_without_a_gap(
        self, system: System, controller: str, kari: str, spool: Spool, worker_database: Database
    ) -> None:
        answered = [
            answer_single(spool, controller, subject=kari, at=NOON + timedelta(minutes=minute)) for minute in range(4)
        ]
        move(spool, worker_database)
        answered += [
            answer_single(spool, controller, subject=kari, at=NOON + timedelta(minutes=minute)) for minute in (4, 5, 5)
        ]
        spool.rotate()

        pages, path = [], f"/v1/decisions?subject_id={kari}&limit=2"
        while path:
            answer = system.get(path)
            pages.append([each["decision_id"] for each in answer.get_json()["data"]])
            following = answer.headers.get("Link", "").partition(">")[0].removeprefix("<http://127.0.0.1:8000")
            path = following

        assert [len(page) for page in pages] == [2, 2, 2, 1]
        assert sorted(each for page in pages for each in page) == sorted(answered)
        assert [each for page in pages for each in page][2:] == answered[4::-1]

    def test_after_a_merge_the_survivor_has_what_the_duplicate_was_answered(
        self,
        system: System,
        database: Database,
        controller: str,
        kari: str,
        spool: Spool,
        worker_database: Database,
    ) -> None:
        duplicate = a_subject(database, controller)
        old = answer_single(spool, controller, subject=duplicate)
        move(spool, worker_database)
        young = answer_single(spool, controller, subject=duplicate, at=NOON + timedelta(minutes=1))
        with database.transaction(controller) as session:
            merge(session, survivor=kari, duplicate=duplicate)

        found = system.get(f"/v1/decisions?subject_id={kari}").get_json()

        assert [(each["decision_id"], each["subject_id"]) for each in found["data"]] == [
            (young, duplicate),
            (old, duplicate),
        ]

    def test_another_controllers_person_is_not_found(
        self, system: System, other_system: System, controller: str, kari: str, spool: Spool
    ) -> None:
        answer_single(spool, controller, subject=kari)

        assert len(system.get(f"/v1/decisions?subject_id={kari}").get_json()["data"]) == 1
        assert other_system.get(f"/v1/decisions?subject_id={kari}").status_code == 404

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "subject_id=kari",
            "subject_id={kari}&from=yesterday",
            "subject_id={kari}&from=2026-05-04T00:00:00Z&to=2026-05-03T00:00:00Z",
            "subject_id={kari}&channel=pigeon",
            "subject_id={kari}&limit=201",
            "subject_id={kari}&email=kari",
        ],
    )
    def test_a_question_that_makes_no_sense_is_refused(self, system: System, kari: str, query: str) -> None:
        assert system.get(f"/v1/decisions?{query.format(kari=kari)}").status_code == 422

    def test_a_cursor_of_another_list_is_refused(self, system: System, kari: str) -> None:
        assert system.get(f"/v1/decisions?subject_id={kari}&cursor=abc").status_code == 400


def merge(session: Session, *, survivor: str, duplicate: str) -> None:
    merging.merge(
        session,
        survivor_id=survivor,
        duplicate_id=duplicate,
        source="system",
        reason="the same person",
        actor=trail.SYSTEM,
        at=NOON,
    )
