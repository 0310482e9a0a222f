"""Reads the ledger for people and papers: entries with the names of what they refer to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from consent_service.consent import facts, rules
from consent_service.consent.ledger import Series
from consent_service.consent.models import LedgerEntry
from consent_service.consent.rules import Entry
from consent_service.consent.sources import Source
from consent_service.db.session import controller_of
from consent_service.registry import notices, purposes
from consent_service.subjects import members


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """One entry of the ledger, with the names of what it refers to."""

    id: str
    seq: int
    consent_id: str
    subject_id: str
    contact_point_id: str | None
    purpose_id: str
    purpose: str
    channel: str
    kind: str
    legal_basis: str
    notice_id: str | None
    notice_version: int | None
    language: str | None
    evidence_id: str | None
    evidence_grade: str
    occurred_at: datetime
    confirmed_at: datetime | None
    effective_at: datetime
    recorded_at: datetime
    expires_at: datetime | None
    reason: str
    actor: str
    source: Source

    @property
    def series(self) -> Series:
        """Return what the entry holds for."""
        return Series(self.subject_id, self.contact_point_id, self.purpose_id, self.channel)


def of_declaration(session: Session, *, consent_id: str, at: datetime) -> tuple[RecordedEntry, ...]:
    """List what a declaration has in the ledger at a moment, in the order in which it counts."""
    return _read(
        session,
        _entries(session, LedgerEntry.consent_id == consent_id, at).order_by(LedgerEntry.effective_at, LedgerEntry.seq),
    )


def find_audit_entry(session: Session, *, consent_id: str) -> str | None:
    """Find the audit entry of the newest act by which a declaration was given, or else of its newest act.

    None while it only waits for confirmation, and once erasure has cut the tie.
    """
    return session.scalar(
        select(LedgerEntry.audit_entry_id)
        .where(LedgerEntry.controller_id == controller_of(session), LedgerEntry.consent_id == consent_id)
        .order_by(
            LedgerEntry.kind.in_(tuple(rules.GIVEN)).desc(), LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc()
        )
        .limit(1)
    )


def find_ending(session: Session, *, given: RecordedEntry, at: datetime) -> RecordedEntry | None:
    """Find the act that ended a yes: the first no of its series after it, whatever declaration that belongs to.

    A no of another record of the same person ends it too, and counts from the merge where it is older (WD-12).
    """
    own = _read(
        session,
        _entries(session, and_(facts.in_series(given.series), LedgerEntry.kind.not_in(tuple(rules.GIVEN))), at)
        .where(tuple_(LedgerEntry.effective_at, LedgerEntry.seq) > tuple_(given.effective_at, given.seq))
        .order_by(LedgerEntry.effective_at, LedgerEntry.seq)
        .limit(1),
    )
    found = (*own, *_noes_of_others(session, given, at))
    return min(found, key=lambda entry: (entry.effective_at, entry.seq), default=None)


def latest_of_subject(session: Session, *, subject_id: str, at: datetime) -> tuple[RecordedEntry, ...]:
    """List the entry of each series of a person that counts at a moment, under any of their ids."""
    series = (LedgerEntry.purpose_id, LedgerEntry.channel, LedgerEntry.contact_point_id, LedgerEntry.subject_id)
    return _read(
        session,
        _entries(session, _about(session, subject_id), at)
        .ext(distinct_on(*series))
        .order_by(*series, LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc()),
    )


def newest_of_subject(
    session: Session, *, subject_id: str, before: tuple[datetime, int] | None, limit: int
) -> tuple[RecordedEntry, ...]:
    """List entries about a person by when they were recorded, newest first, from `before` (recorded_at, seq) on."""
    query = _all(session).where(_about(session, subject_id))
    if before is not None:
        query = query.where(tuple_(LedgerEntry.recorded_at, LedgerEntry.seq) < tuple_(*before))
    return _read(session, query.order_by(LedgerEntry.recorded_at.desc(), LedgerEntry.seq.desc()).limit(limit))


def log_entries_of(session: Session, *, entries: Iterable[RecordedEntry]) -> Mapping[str, str | None]:
    """Return by id the entry of the audit log that each was written with; None after an erasure cut them apart."""
    rows = session.execute(
        select(LedgerEntry.id, LedgerEntry.audit_entry_id).where(
            LedgerEntry.controller_id == controller_of(session), LedgerEntry.id.in_([each.id for each in entries])
        )
    )
    return {row.id: row.audit_entry_id for row in rows}


def status_of(session: Session, entry: RecordedEntry, *, at: datetime) -> str:
    """Say what the status is at a moment where this entry is the last one that counts."""
    known = Entry(
        kind=entry.kind,
        consent_id=entry.consent_id,
        effective_at=entry.effective_at,
        occurred_at=entry.occurred_at,
        confirmed_at=entry.confirmed_at,
        expires_at=entry.expires_at,
        legal_basis=entry.legal_basis,
        evidence_grade=entry.evidence_grade,
        notice_number=entry.notice_version,
        language=entry.language,
        ledger_entry_id=entry.id,
    )
    return facts.status_after(session, known, purpose_id=entry.purpose_id, at=at)


_Found = Select[LedgerEntry]


def _noes_of_others(session: Session, given: RecordedEntry, at: datetime) -> list[RecordedEntry]:
    """List what other records of the person say against a yes, with the moment from which each counts against it.

    Of what was said before the merge only the last word of each series counts, and from the merge on.
    """
    joined = {each: moment for each, moment in members.joined_at(session, given.subject_id).items() if moment <= at}
    if not joined:
        return []
    same = and_(LedgerEntry.purpose_id == given.purpose_id, LedgerEntry.channel == given.channel)
    rows = _entries(session, and_(LedgerEntry.subject_id.in_(tuple(joined)), same), at)
    said = _read(session, rows.order_by(LedgerEntry.effective_at, LedgerEntry.seq))
    last_before = {entry.series: entry for entry in said if entry.effective_at <= joined[entry.subject_id]}
    counting = (
        replace(entry, effective_at=max(entry.effective_at, joined[entry.subject_id]))
        for entry in said
        if entry.effective_at > joined[entry.subject_id] or last_before[entry.series] is entry
    )
    return [entry for entry in counting if entry.kind not in rules.GIVEN and entry.effective_at >= given.effective_at]


def _about(session: Session, subject_id: str) -> ColumnElement[bool]:
    return LedgerEntry.subject_id.in_(members.ids_of(session, subject_id))


def _entries(session: Session, where: ColumnElement[bool], at: datetime) -> _Found:
    return _all(session).where(where, LedgerEntry.effective_at <= at, LedgerEntry.recorded_at <= at)


def _all(session: Session) -> _Found:
    return select(LedgerEntry).where(LedgerEntry.controller_id == controller_of(session))


def _read(session: Session, query: _Found) -> tuple[RecordedEntry, ...]:
    rows = session.scalars(query).all()
    keys = {purpose.id: purpose.key for purpose in purposes.list_all(session)}
    numbers = notices.numbers_of(session, notice_ids={row.notice_id for row in rows if row.notice_id is not None})
    return tuple(_recorded(row, keys[row.purpose_id], numbers.get(row.notice_id or "")) for row in rows)


def _recorded(row: LedgerEntry, purpose: str, notice_number: int | None) -> RecordedEntry:
    return RecordedEntry(
        id=row.id,
        seq=row.seq,
        consent_id=row.consent_id,
        subject_id=row.subject_id,
        contact_point_id=row.contact_point_id,
        purpose_id=row.purpose_id,
        purpose=purpose,
        channel=row.channel,
        kind=row.kind,
        legal_basis=row.legal_basis,
        notice_id=row.notice_id,
        notice_version=notice_number,
        language=row.language,
        evidence_id=row.evidence_id,
        evidence_grade=row.evidence_grade,
        occurred_at=row.occurred_at,
        confirmed_at=row.confirmed_at,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        expires_at=row.expires_at,
        reason=row.reason,
        actor=row.actor,
        source=Source(row.form_id, row.form_version, row.api_key_id, row.import_label),
    )
