"""Gives the ledger its entries after a recall: one for each series whose last word still is a yes of that source.

Checks say no without them, from the row of the recall alone. The entries make the ledger say so by itself, person by
person, with an entry in the audit log each. What dies half-way is done again from the start; nothing is ended twice,
because each entry is looked at once more under the lock of its person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import counting, ledger, revocation
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import LedgerEntry, Revocation
from consent_service.db.session import controller_of
from consent_service.errors import KeyDestroyedError
from consent_service.subjects import locks

#: How many yeses one batch looks at, and how many people it holds until it commits.
LOOKED_AT: Final = 1_000
ENDED: Final = 50


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come through the yeses of a source."""

    recorded_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did: how many consents it ended, and where the next one goes on; None when all is done."""

    ended: int
    next_place: Place | None


def list_unfinished(session: Session) -> tuple[str, ...]:
    """List the recalls whose entries are not all in the ledger, oldest first."""
    return tuple(
        session.scalars(
            select(Revocation.id)
            .where(Revocation.controller_id == controller_of(session), Revocation.applied_at.is_(None))
            .order_by(Revocation.id)
        )
    )


def apply_batch(
    session: Session, *, revocation_id: str, after: Place | None, at: datetime, limit: int = ENDED
) -> Batch:
    """End the next consents of a recall, or say that all is done; the caller commits and calls again.

    Leaves a recall alone that another process works on. A batch that finds nothing more marks the recall as applied.
    """
    row = session.scalar(
        select(Revocation)
        .where(
            Revocation.controller_id == controller_of(session),
            Revocation.id == revocation_id,
            Revocation.applied_at.is_(None),
        )
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return Batch(0, None)
    seen = _look(session, row, after)
    found = [entry_id for entry_id, _, is_latest in seen if is_latest][:limit]
    ended = _end(session, row, found, at)
    if len(found) == limit:
        return Batch(ended, next(place for entry_id, place, _ in seen if entry_id == found[-1]))
    if len(seen) == LOOKED_AT:
        return Batch(ended, seen[-1][1])
    _finish(session, row, at)
    return Batch(ended, None)


def _look(session: Session, row: Revocation, after: Place | None) -> list[tuple[str, Place, bool]]:
    """Return the next yeses of the source in the order in which they were recorded, and whether each is a last word."""
    query = select(LedgerEntry.id, LedgerEntry.recorded_at, LedgerEntry.seq, counting.is_latest()).where(
        LedgerEntry.controller_id == controller_of(session), revocation.condition(revocation.extent_of(row))
    )
    if after is not None:
        query = query.where(tuple_(LedgerEntry.recorded_at, LedgerEntry.seq) > tuple_(after.recorded_at, after.seq))
    rows = session.execute(query.order_by(LedgerEntry.recorded_at, LedgerEntry.seq).limit(LOOKED_AT))
    return [(entry_id, Place(recorded_at, seq), is_latest) for entry_id, recorded_at, seq, is_latest in rows]


def _end(session: Session, row: Revocation, entry_ids: Sequence[str], at: datetime) -> int:
    """End these, as far as they still are the last word once their people are held."""
    own = (LedgerEntry.controller_id == controller_of(session), LedgerEntry.id.in_(entry_ids))
    for subject_id in session.scalars(
        select(LedgerEntry.subject_id).where(*own).distinct().order_by(LedgerEntry.subject_id)
    ).all():
        locks.lock_subject(session, subject_id)
    entries = session.scalars(
        select(LedgerEntry).where(*own, counting.is_latest()).order_by(LedgerEntry.subject_id, LedgerEntry.seq)
    ).all()
    return sum(_end_one(session, row, entry, at) for entry in entries)


def _end_one(session: Session, row: Revocation, entry: LedgerEntry, at: datetime) -> bool:
    try:
        ledger.append(
            session,
            series=Series(entry.subject_id, entry.contact_point_id, entry.purpose_id, entry.channel),
            act=Act(
                kind="revoked",
                consent_id=entry.consent_id,
                legal_basis=entry.legal_basis,
                evidence_grade=entry.evidence_grade,
                occurred_at=row.recorded_at,
                reason=revocation.ledger_reason(row.id),
            ),
            actor=trail.SYSTEM,
            at=at,
        )
    except KeyDestroyedError:
        # Erased since: nothing can be written about them any more, and every check says no.
        return False
    return True


def _finish(session: Session, row: Revocation, at: datetime) -> None:
    reason = revocation.ledger_reason(row.id)
    ended = session.scalar(
        select(func.count()).where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.kind == "revoked",
            LedgerEntry.reason == reason,
        )
    )
    session.execute(
        update(Revocation)
        .where(Revocation.controller_id == controller_of(session), Revocation.id == row.id)
        .values(applied_at=at)
    )
    trail.record(
        session,
        type="revocation.applied",
        at=at,
        actor=trail.SYSTEM,
        stream=f"revocation:{row.id}",
        payload={"revocation": row.id, "ended": ended},
    )
