"""Every change leaves an entry in the same transaction, and the entry shows nothing about the person."""

import json
from collections import Counter

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.models import AuditEntry, AuditEntryAbout
from consent_service.consent.models import LedgerEntry
from consent_service.db.session import Database
from consent_service.vault import keys
from tests import builders
from tests.builders import KARI, NOON


class _HalfWayError(Exception):
    """Something breaks after the change and before the commit."""


def _give_and_break(database: Database, controller: str) -> None:
    with database.transaction(controller) as session:
        builders.a_given_consent(session)
        raise _HalfWayError


def _payload(session: Session, entry: AuditEntry, subject_id: str) -> dict[str, object]:
    place = {"table": "audit.entry", "column": "sealed", "row_id": entry.id}
    if entry.sealed_for == "subject":
        opened = keys.unseal_for_subject(session, entry.sealed, subject_id=subject_id, **place)
    else:
        opened = keys.unseal_for_controller(session, entry.sealed, **place)
    payload: dict[str, object] = json.loads(opened[32:])
    return payload


class TestTrail:
    @pytest.mark.rule("ACC-08")
    def test_each_ledger_entry_names_its_audit_entry(self, session: Session) -> None:
        builders.a_given_consent(session)

        row = session.execute(
            select(LedgerEntry.kind, AuditEntry.type).join(AuditEntry, AuditEntry.id == LedgerEntry.audit_entry_id)
        ).one()

        assert tuple(row) == ("given", "consent.given")

    @pytest.mark.rule("ACC-08")
    def test_it_answers_who_what_when_and_why(self, session: Session) -> None:
        given = builders.a_given_consent(session)
        assert given.subject_id is not None
        entry = session.scalars(select(AuditEntry).where(AuditEntry.type == "consent.given")).one()

        payload = _payload(session, entry, given.subject_id)

        assert entry.occurred_at == NOON
        assert payload["actor"] == "subject"
        assert payload["stream"] == f"subject:{given.subject_id}"
        assert {"consent", "purpose", "channel", "notice", "evidence", "legal_basis", "reason"} <= set(payload)

    @pytest.mark.rule("ACC-08")
    def test_change_and_entry_stand_or_fall_together(self, database: Database, controller: str) -> None:
        with pytest.raises(_HalfWayError):
            _give_and_break(database, controller)
        with database.transaction(controller) as session:
            left = [session.scalar(select(func.count()).select_from(model)) for model in (LedgerEntry, AuditEntry)]

        assert left == [0, 1]

    def test_each_entry_of_a_stream_names_the_one_before(self, session: Session) -> None:
        given = builders.a_given_consent(session)
        assert given.subject_id is not None
        rows = session.scalars(
            select(AuditEntry)
            .join(AuditEntryAbout, AuditEntryAbout.entry_id == AuditEntry.id)
            .where(AuditEntryAbout.subject_id == given.subject_id)
        ).all()
        by_number = sorted(
            ((_payload(session, row, given.subject_id), row.commit) for row in rows),
            key=lambda pair: str(pair[0]["number"]),
        )

        assert [payload["number"] for payload, _ in by_number] == list(range(1, len(rows) + 1))
        assert [payload["previous"] for payload, _ in by_number[1:]] == [commit.hex() for _, commit in by_number[:-1]]


class TestEntry:
    @pytest.mark.rule("LOG-08")
    def test_it_shows_an_id_a_type_a_time_and_a_commitment(self, session: Session) -> None:
        builders.a_given_consent(session, personal_fields=(("name", "Kari Nordmann"),))

        for row in session.scalars(select(AuditEntry)):
            shown = {name: value for name, value in vars(row).items() if name not in {"sealed", "_sa_instance_state"}}
            assert shown.pop("gap") is None
            assert set(shown) == {"controller_id", "id", "version", "type", "occurred_at", "commit", "sealed_for"}
            assert shown["type"] in trail.TYPES
            assert row.id == identifiers.from_uuid(identifiers.to_uuid(row.id, "aud"), "aud")
            assert len(row.commit) == 32

    @pytest.mark.rule("LOG-08")
    def test_equal_payloads_have_unlike_commitments(self, session: Session) -> None:
        """A commitment that could be computed from what it commits to would be a hash of personal data."""
        for _ in range(3):
            trail.record(
                session, type="api_key.revoked", at=NOON, actor=trail.SYSTEM, stream="api_key:one", payload={"a": KARI}
            )

        commits = Counter(session.scalars(select(AuditEntry.commit)))

        assert set(commits.values()) == {1}

    def test_a_type_that_nobody_documented_is_refused(self, session: Session) -> None:
        with pytest.raises(ValueError, match="documented"):
            trail.record(session, type="consent.guessed", at=NOON, actor=trail.SYSTEM, stream="subject:x", payload={})

    def test_the_database_itself_queues_it_for_the_log(
        self, database: Database, controller: str, superuser_url: str
    ) -> None:
        with database.transaction(controller) as session:
            builders.a_given_consent(session)
        with psycopg.connect(superuser_url) as connection:
            left_out = connection.execute(
                "SELECT id FROM audit.entry EXCEPT SELECT entry_id FROM audit.queue"
            ).fetchall()

        assert left_out == []


class TestSignup:
    @pytest.mark.rule("LOG-09")
    def test_its_entry_names_no_id_that_the_ledger_keeps(self, session: Session) -> None:
        """It is sealed for the controller, so it opens after the person's key is gone."""
        builders.a_given_consent(session)

        entry = session.scalars(select(AuditEntry).where(AuditEntry.type == "signup.requested")).one()
        whole = keys.unseal_for_controller(
            session, entry.sealed, table="audit.entry", column="sealed", row_id=entry.id
        ).decode(errors="replace")
        kept = session.execute(select(LedgerEntry.id, LedgerEntry.consent_id, LedgerEntry.subject_id)).one()
        assert "req_" in whole
        assert not any(each in whole for each in kept)
