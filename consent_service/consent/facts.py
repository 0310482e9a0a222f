"""What the ledger says of a series to whoever acts on it: its latest entry, and what status that leaves."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from consent_service.consent import rules, sources
from consent_service.consent.ledger import Series
from consent_service.consent.models import LedgerEntry
from consent_service.consent.rules import Entry, Facts
from consent_service.db.session import controller_of
from consent_service.registry import notices

_STEP: Final = timedelta(microseconds=1)


def is_given(session: Session, *, series: Series, at: datetime, until: datetime | None = None) -> bool:
    """Say whether a consent stands in a series at a moment, so that another yes renews it.

    `until` leaves out what counts from a later moment.
    """
    latest = latest_entry(session, where=in_series(series), until=until)
    return latest is not None and status_after(session, latest, purpose_id=series.purpose_id, at=at) in rules.GIVEN


def status_after(session: Session, entry: Entry, *, purpose_id: str, at: datetime) -> str:
    """Say what the status is at a moment where this entry is the last one that counts."""
    if entry.kind in rules.GIVEN and entry.ledger_entry_id is not None:
        recalled_at = sources.recalled_at(session, entry_id=entry.ledger_entry_id, until=at)
        if recalled_at is not None:
            return "revoked"
    superseded = _superseded_by(session, purpose_id, entry, at)
    stand_in = Facts(purpose_known=True, offer=None, point_required=False, latest=entry, superseded_by=superseded)
    return rules.status_of(stand_in, at=at)


def latest_entry(
    session: Session, *, where: ColumnElement[bool], until: datetime | None = None, known_at: datetime | None = None
) -> Entry | None:
    """Return the latest entry by (effective_at, seq), of those that count at `until` and were known at `known_at`.

    A yes of a source that was recalled by then is returned as revoked.
    """
    row = session.execute(
        select(LedgerEntry)
        .where(LedgerEntry.controller_id == controller_of(session), where, *_counts(until, known_at))
        .order_by(LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc())
        .limit(1)
    ).scalar_one_or_none()
    if row is None:
        return None
    entry = to_entry(session, row)
    if entry.kind not in rules.GIVEN:
        return entry
    limits = [limit for limit in (until, known_at) if limit is not None]
    recalled_at = sources.recalled_at(session, entry_id=row.id, until=min(limits, default=None))
    if recalled_at is None:
        return entry
    # The ledger says so itself as soon as the worker has come by.
    return replace(entry, kind="revoked", effective_at=max(recalled_at, entry.effective_at + _STEP))


def to_entry(session: Session, row: LedgerEntry) -> Entry:
    """Return what the rules need of a ledger row."""
    notice = notices.get(session, notice_id=row.notice_id) if row.notice_id is not None else None
    return Entry(
        kind=row.kind,
        consent_id=row.consent_id,
        effective_at=row.effective_at,
        occurred_at=row.occurred_at,
        confirmed_at=row.confirmed_at,
        expires_at=row.expires_at,
        legal_basis=row.legal_basis,
        evidence_grade=row.evidence_grade,
        notice_number=None if notice is None else notice.number,
        language=row.language,
        recipients=() if notice is None else tuple(notice.content.recipients),
    )


def in_series(series: Series) -> ColumnElement[bool]:
    """Return the condition that selects the entries of one series."""
    point = LedgerEntry.contact_point_id
    return and_(
        LedgerEntry.subject_id == series.subject_id,
        point.is_(None) if series.contact_point_id is None else point == series.contact_point_id,
        LedgerEntry.purpose_id == series.purpose_id,
        LedgerEntry.channel == series.channel,
    )


def _counts(until: datetime | None, known_at: datetime | None) -> list[ColumnElement[bool]]:
    limits = ((LedgerEntry.effective_at, until), (LedgerEntry.recorded_at, known_at))
    return [column <= limit for column, limit in limits if limit is not None]


def _superseded_by(session: Session, purpose_id: str, latest: Entry, at: datetime) -> int | None:
    """Return the notice version that was published as a material change and took effect after the consent's own."""
    if latest.notice_number is None:
        return None
    return notices.first_material_after(session, purpose_id=purpose_id, number=latest.notice_number, at=at)
