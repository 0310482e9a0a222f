"""Acts in the order in which they count, never without proof, and no second place where a state could be kept."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import ledger
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import LedgerEntry
from consent_service.registry.forms import FormVersion
from consent_service.subjects import identity
from tests.acts import KARI, Stage, contact, together
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def moments(stage: Stage) -> list[tuple[str, datetime]]:
    with stage.act() as session:
        rows = session.execute(
            select(LedgerEntry.kind, LedgerEntry.effective_at)
            .where(LedgerEntry.channel == "email")
            .order_by(LedgerEntry.purpose_id, LedgerEntry.effective_at, LedgerEntry.seq)
        )
        return [(row.kind, row.effective_at) for row in rows]


@pytest.fixture
def only_form(stage: Stage, form: FormVersion) -> FormVersion:
    """Ask for one purpose on one channel, so that there is one series."""
    del form
    return stage.form(NEWS, key="only")


class TestMoment:
    def test_an_act_on_a_node_behind_counts_just_after_the_last(self, stage: Stage, only_form: FormVersion) -> None:
        stage.give(only_form, NEWS, at=NOON + HOUR)

        stage.withdraw(purpose="newsletter", channel="email", at=NOON)
        stage.give(only_form, NEWS, at=NOON)

        assert moments(stage) == [
            ("given", NOON + HOUR),
            ("withdrawn", NOON + HOUR + MICROSECOND),
            ("given", NOON + HOUR + 2 * MICROSECOND),
        ]

    @pytest.mark.rule("ACC-12")
    def test_acts_that_meet_have_one_order(self, stage: Stage, only_form: FormVersion) -> None:
        stage.give(only_form, NEWS)

        together(*[lambda: stage.withdraw(purpose="newsletter", channel="email", at=NOON)] * 4)

        effective = [at for _, at in moments(stage)]
        assert effective == [NOON + step * MICROSECOND for step in range(5)]

    @pytest.mark.parametrize(
        ("start", "months", "end"),
        [
            (datetime(2026, 3, 2, 12, tzinfo=NOON.tzinfo), 24, datetime(2028, 3, 2, 12, tzinfo=NOON.tzinfo)),
            (datetime(2024, 2, 29, tzinfo=NOON.tzinfo), 12, datetime(2025, 2, 28, tzinfo=NOON.tzinfo)),
            (datetime(2026, 8, 31, tzinfo=NOON.tzinfo), 6, datetime(2027, 2, 28, tzinfo=NOON.tzinfo)),
            (datetime(2026, 12, 31, tzinfo=NOON.tzinfo), 1, datetime(2027, 1, 31, tzinfo=NOON.tzinfo)),
        ],
    )
    def test_a_month_ends_no_later_than_its_last_day(self, start: datetime, months: int, end: datetime) -> None:
        assert ledger.add_months(start, months) == end


class TestProof:
    @pytest.fixture
    def written(self, stage: Stage, only_form: FormVersion) -> LedgerEntry:
        """Return an entry that was written with all its proof."""
        stage.give(only_form, NEWS)
        with stage.act() as session:
            return session.scalars(select(LedgerEntry)).one()

    def series_and_act(self, written: LedgerEntry) -> tuple[Series, Act]:
        series = Series(written.subject_id, written.contact_point_id, written.purpose_id, written.channel)
        act = Act(
            kind="given",
            consent_id=written.consent_id,
            legal_basis="consent",
            evidence_grade="double_opt_in",
            occurred_at=NOON,
            reason="test",
            notice_id=written.notice_id,
            language="nb",
            evidence_id=written.evidence_id,
        )
        return series, act

    @pytest.mark.rule("CAP-09")
    @pytest.mark.parametrize("missing", ["evidence_id", "notice_id", "language"])
    @pytest.mark.parametrize("kind", ["given", "renewed"])
    def test_the_database_refuses_a_yes_without_it(
        self, stage: Stage, written: LedgerEntry, kind: str, missing: str
    ) -> None:
        series, act = self.series_and_act(written)
        unproved: dict[str, Any] = {"kind": kind, missing: None}

        with pytest.raises(IntegrityError, match="given_is_proved"), stage.act() as session:
            ledger.append(session, series=series, act=replace(act, **unproved), actor=trail.SYSTEM, at=NOON)

    def test_the_database_refuses_an_address_channel_without_an_address(
        self, stage: Stage, written: LedgerEntry
    ) -> None:
        series, act = self.series_and_act(written)

        with pytest.raises(IntegrityError, match="contact_channel_has_point"), stage.act() as session:
            ledger.append(session, series=replace(series, contact_point_id=None), act=act, actor=trail.SYSTEM, at=NOON)

    def test_a_no_needs_none(self, stage: Stage, written: LedgerEntry) -> None:
        series, act = self.series_and_act(written)
        bare = replace(act, kind="revoked", evidence_id=None, notice_id=None, language=None)

        with stage.act() as session:
            ledger.append(session, series=series, act=bare, actor=trail.SYSTEM, at=NOON + HOUR)

        assert stage.check(at=NOON + HOUR).reason == "consent_revoked"


class TestState:
    def test_no_column_of_any_table_holds_a_status(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            found = connection.execute(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema IN ('public', 'vault', 'audit')"
                " AND (column_name IN ('status', 'allowed', 'is_active', 'opted_in', 'consent')"
                "      OR data_type = 'boolean')"
            ).fetchall()

        # Booleans are settings, flags of an act, or what a check once answered; an export's status is how far its file
        # is. No person's status is among them.
        assert {table for table, _ in found} <= {
            "controller",
            "customer_relation",
            "export",
            "decision",
            "decision_answer",
            "former_purpose_settings",
            "idempotency_record",
            "ledger_entry",
            "notice_publication",
            "purpose",
            "reservation_match",
        }


class TestTwoAddresses:
    def test_a_yes_does_not_follow_the_person_to_another(self, stage: Stage, only_form: FormVersion) -> None:
        subject_id = stage.give(only_form, NEWS).subject_id
        assert subject_id is not None
        with stage.act() as session:
            attach(session, subject_id, "kari@arbeid.example")

        assert stage.check().allowed
        assert stage.check(who="kari@arbeid.example").reason == "contact_point_not_confirmed"
        assert stage.check(who=KARI).allowed


def attach(session: Session, subject_id: str, address: str) -> None:
    identity.attach_point(session, subject_id=subject_id, contact=contact(address), verified_at=NOON, at=NOON)
