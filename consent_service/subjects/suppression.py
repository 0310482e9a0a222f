"""Addresses that must not be used, remembered as a keyed hash that belongs to nobody and outlives erasure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.models import Suppression
from consent_service.vault import keys


@dataclass(frozen=True, slots=True)
class SuppressionFact:
    """A stop for an address: for one purpose or channel, or for all where None."""

    purpose_id: str | None
    channel: str | None
    kind: str
    recorded_at: datetime

    def covers(self, *, purpose_id: str, channel: str) -> bool:
        """Say whether the stop holds for this purpose on this channel."""
        return self.purpose_id in {None, purpose_id} and self.channel in {None, channel}


def address_hash(session: Session, contact: ContactValue) -> bytes:
    """Return the hash under which an address is remembered."""
    return keys.suppression_hash(session, kind=contact.kind, value=contact.normal)


def suppress(
    session: Session,
    *,
    hashed: bytes,
    purpose_id: str | None,
    channel: str | None,
    kind: Literal["objected", "erased"],
    actor: Actor,
    at: datetime,
) -> str:
    """Add a stop and return its id (`obj_…`). The audit entry names the scope and not the address."""
    suppression_id = identifiers.new_id("obj", at=at)
    entry = trail.record(
        session,
        type="suppression.recorded",
        at=at,
        actor=actor,
        stream=f"suppression:{suppression_id}",
        payload={"suppression": suppression_id, "purpose": purpose_id, "channel": channel, "kind": kind},
    )
    session.execute(
        insert(Suppression).values(
            controller_id=controller_of(session),
            id=suppression_id,
            address_hash=hashed,
            purpose_id=purpose_id,
            channel=channel,
            kind=kind,
            recorded_at=at,
            audit_entry_id=entry,
        )
    )
    return suppression_id


def list_for(session: Session, *, hashed: bytes, until: datetime | None = None) -> tuple[SuppressionFact, ...]:
    """List the stops of an address, up to a moment where one is given, oldest first."""
    query = (
        select(Suppression.purpose_id, Suppression.channel, Suppression.kind, Suppression.recorded_at)
        .where(Suppression.controller_id == controller_of(session), Suppression.address_hash == hashed)
        .order_by(Suppression.recorded_at)
    )
    rows = session.execute(query if until is None else query.where(Suppression.recorded_at <= until))
    return tuple(SuppressionFact(*row) for row in rows)
