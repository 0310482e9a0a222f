"""A recall meets acts that run beside it, and the ledger is given its entries afterwards, each once."""

from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.cli import worker as process
from consent_service.consent import records, reporting, revocation, revoking
from consent_service.consent.models import LedgerEntry
from consent_service.consent.revocation import Extent
from consent_service.consent.revoking import Batch, Place
from consent_service.consent.sources import Source
from consent_service.db.session import Database
from consent_service.errors import (
    SourceRecalledError,
)
from consent_service.registry.forms import FormVersion
from tests.acts import Stage, meanwhile, together
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS
from tests.functional.consent.recalls import HOUR, MINUTE, SECOND, a_report, entries, multiply, recall, report, status


class TestActsThatMeetIt:
    def test_a_report_that_began_before_and_commits_while_it_waits_is_covered(
        self, stage: Stage, club: FormVersion, leaked: str, superuser_url: str
    ) -> None:
        """Also where the clock of the node that took the report is ahead of ours."""
        with stage.act() as session:
            reporting.record_reported(
                session, report=a_report(club), actor=trail.Actor("api_key", leaked), at=NOON + 2 * SECOND
            )
            with meanwhile(superuser_url, lambda: recall(stage, api_key_id=leaked, at=NOON + SECOND)) as recalled:
                session.commit()

        assert recalled.result().extent.recorded_until == NOON + 2 * SECOND
        assert stage.check("club", at=NOON + HOUR).reason == "consent_revoked"

    def test_a_report_that_waits_for_it_is_refused(
        self, stage: Stage, club: FormVersion, leaked: str, superuser_url: str
    ) -> None:
        with stage.act() as session:
            revocation.record(
                session,
                extent=Extent(Source(api_key_id=leaked)),
                reason="leaked",
                actor=trail.SYSTEM,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: report(stage, club, leaked, at=NOON)) as reported:
                session.commit()

        assert isinstance(reported.exception(), SourceRecalledError)
        assert not stage.check("club", at=NOON + HOUR).allowed

    def test_a_confirmation_that_waits_for_it_is_refused(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        link = stage.link(stage.sign_up(form, NEWS))

        with stage.act() as session:
            revocation.record(
                session,
                extent=Extent(Source(form_id=form.form_id)),
                reason="ticked beforehand",
                actor=trail.SYSTEM,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: stage.confirm(link, at=NOON + 2 * SECOND)) as confirmed:
                session.commit()

        assert isinstance(confirmed.exception(), SourceRecalledError)
        assert not stage.check(at=NOON + HOUR).allowed

    def test_a_withdrawal_does_not_wait_for_it(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)

        with stage.act() as session:
            revocation.record(
                session,
                extent=Extent(Source(api_key_id=leaked)),
                reason="leaked",
                actor=trail.SYSTEM,
                at=NOON + SECOND,
            )
            (outcome,) = together(lambda: stage.withdraw(purpose="club", channel="email", at=NOON + 2 * SECOND))

        assert len(outcome.withdrawn) == 1


class TestTheLedgerAfterwards:
    def test_each_consent_gets_its_entry_once(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        people = [f"kunde{number}@kunde.example" for number in range(12)]
        for who in people:
            report(stage, club, leaked, who=who)
        recorded = recall(stage, api_key_id=leaked)

        together(*[lambda: process.Revoking()(stage.database, NOON + HOUR)] * 2)
        process.Revoking()(stage.database, NOON + HOUR)

        assert entries(stage) == len(people)
        assert {status(stage, who=who, at=NOON + 2 * HOUR) for who in people} == {"revoked"}
        with stage.act() as session:
            shown = revocation.get(session, revocation_id=recorded.id)
        assert (shown.status, shown.counted, shown.ended, shown.applied_at) == ("applied", 12, 12, NOON + HOUR)

    def test_the_entry_is_of_the_same_declaration_and_counts_from_the_recall(
        self, stage: Stage, club: FormVersion, leaked: str
    ) -> None:
        report(stage, club, leaked)
        recorded = recall(stage, api_key_id=leaked)

        process.Revoking()(stage.database, NOON + HOUR)

        with stage.act() as session:
            given, revoked = session.scalars(
                select(LedgerEntry).where(LedgerEntry.controller_id == stage.controller_id).order_by(LedgerEntry.seq)
            ).all()
        assert (given.kind, revoked.kind, revoked.consent_id) == ("given", "revoked", given.consent_id)
        assert (revoked.effective_at, revoked.recorded_at) == (NOON + MINUTE, NOON + HOUR)
        assert (revoked.reason, revoked.actor) == (f"recalled:{recorded.id}", "system")

    def test_what_died_half_way_is_done_to_the_end(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        for number in range(8):
            report(stage, club, leaked, who=f"kunde{number}@kunde.example")
        recorded = recall(stage, api_key_id=leaked)

        def die(after: Place | None) -> None:
            with stage.act() as session:
                batch(session, after)
                raise KeyboardInterrupt

        def batch(session: Session, after: Place | None = None) -> Batch:
            return revoking.apply_batch(session, revocation_id=recorded.id, after=after, at=NOON + HOUR, limit=3)

        with stage.act() as session:
            first = batch(session)
        with pytest.raises(KeyboardInterrupt):
            die(first.next_place)
        assert (first.ended, entries(stage)) == (3, 3)
        process.Revoking()(stage.database, NOON + HOUR)

        assert entries(stage) == 8

    def test_the_worker_may_do_it(
        self, stage: Stage, club: FormVersion, leaked: str, worker_database: Database
    ) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked)

        process.Revoking()(worker_database, NOON + HOUR)

        assert entries(stage) == 1
        assert "apply_revocations" in {job.name for job in process.JOBS}

    def test_two_recalls_of_one_consent_end_it_once(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked)
        recall(stage, form_id=club.form_id, at=NOON + 2 * MINUTE)

        process.Revoking()(stage.database, NOON + HOUR)

        with stage.act() as session:
            found = revocation.list_all(session)
        assert [(each.status, each.counted, each.ended) for each in found] == [("applied", 1, 1), ("applied", 0, 0)]


class TestTwoThousandConsents:
    def test_end_at_once_with_a_constant_number_of_statements(
        self, stage: Stage, club: FormVersion, leaked: str, superuser_url: str
    ) -> None:
        report(stage, club, leaked, decision=("club", "web", True))
        multiply(superuser_url, stage.controller_id, 2_000)
        statements: list[str] = []
        engine = stage.database.engine
        before = entries(stage, "given")

        def note(*arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's signature
            statements.append(arguments[2])

        event.listen(engine, "before_cursor_execute", note)
        recorded = recall(stage, api_key_id=leaked)
        event.remove(engine, "before_cursor_execute", note)

        assert before == recorded.counted == 2_000
        assert len(statements) < 40
        assert entries(stage) == 0
        with stage.act() as session:
            everybody = session.scalars(
                select(LedgerEntry.subject_id).where(LedgerEntry.controller_id == stage.controller_id)
            ).all()
            standing = [
                each.status
                for subject_id in everybody[::100]
                for each in records.current(session, subject_id=subject_id, at=NOON + HOUR)
            ]
            still = revocation.preview(session, extent=Extent(Source(form_id=club.form_id)), at=NOON + HOUR)
        assert standing == ["revoked"] * 20
        assert still == ()
