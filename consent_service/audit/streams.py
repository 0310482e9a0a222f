"""Knows how far each stream of entries has come, under its lock: for the next entry, and for what is said only once."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from consent_service.audit import openings
from consent_service.audit.models import AuditEntry, AuditStreamHead
from consent_service.audit.openings import SealedEntry
from consent_service.db.session import controller_of


class Head(NamedTuple):
    """How many entries a stream has, and the commitment of the last; empty where there is none yet."""

    number: int
    commit: bytes


def lock(session: Session, *, stream: str) -> Head:
    """Lock a stream until commit and return its head; whoever else writes to it waits."""
    head = session.execute(
        upsert(AuditStreamHead)
        .values(controller_id=controller_of(session), stream=stream, number=0, commit=b"")
        .on_conflict_do_update(index_elements=["controller_id", "stream"], set_={"number": AuditStreamHead.number})
        .returning(AuditStreamHead.number, AuditStreamHead.commit)
    ).one()
    return Head(head.number, head.commit)


def move(session: Session, *, stream: str, to: Head) -> None:
    """Move the head of a stream on; only the pen of the log does, under the lock."""
    session.execute(
        update(AuditStreamHead)
        .where(AuditStreamHead.controller_id == controller_of(session), AuditStreamHead.stream == stream)
        .values(number=to.number, commit=to.commit)
    )


def list_begun(session: Session, *, streams: Collection[str]) -> frozenset[str]:
    """Return which of these streams have an entry, without waiting for anybody."""
    return frozenset(
        session.scalars(
            select(AuditStreamHead.stream).where(
                AuditStreamHead.controller_id == controller_of(session),
                AuditStreamHead.stream.in_(streams),
                AuditStreamHead.number > 0,
            )
        )
    )


def read_last(session: Session, *, head: Head, type: str) -> dict[str, Any] | None:  # noqa: A002 - the log's own word
    """Open the last entry of a stream that is not about a person, and is of this type; None where it is not.

    It is found by its commitment, so this is for small logs alone.
    """
    row = session.execute(
        select(AuditEntry.id, AuditEntry.sealed_for, AuditEntry.commit, AuditEntry.sealed).where(
            AuditEntry.controller_id == controller_of(session),
            AuditEntry.type == type,
            AuditEntry.commit == head.commit,
        )
    ).one_or_none()
    if row is None:
        return None
    entry = SealedEntry(row.id, row.sealed_for, None, row.commit, row.sealed)
    return openings.open_entries(session, (entry,))[row.id].payload
