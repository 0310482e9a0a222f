"""The subject objects to direct marketing: no balancing and no override until they ask again (GDPR Art. 21)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import ledger, withdrawal
from consent_service.consent.models import Objection
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import controller_of
from consent_service.registry import purposes
from consent_service.subjects.identity import SubjectReference


@dataclass(frozen=True, slots=True)
class RecordedObjection:
    """An objection that holds from now on; for an address that nobody is known under, without a subject."""

    objection_id: str
    subject_id: str | None
    recorded_at: datetime


def object_to(
    session: Session, *, reference: SubjectReference, scope: Scope, reason: str, actor: Actor, at: datetime
) -> RecordedObjection:
    """Record an objection to all direct marketing, to a channel, or to a purpose; it counts from now.

    What waits for confirmation within its scope is cancelled. Raises PurposeUnknownError, InvalidInputError, and
    SubjectUnknownError as a withdrawal does; an unknown address is suppressed instead.
    """
    purpose = purposes.get(session, key=scope.purpose) if scope.purpose is not None else None
    purpose_id = purpose.id if purpose is not None else None
    withdrawal.demand_channel(scope.channel)
    found = withdrawal.hold(session, reference)
    withdrawal.cancel_requests(session, reference=reference, found=found, purpose=purpose, scope=scope, at=at)
    if found is None:
        contact = withdrawal.address_of_unknown(reference)
        stop = withdrawal.suppress(session, contact, purpose=purpose, channel=scope.channel, actor=actor, at=at)
        return RecordedObjection(stop, None, at)
    if reference.contact_point is not None and found.point is None:
        # The address is not theirs, or no longer: the no still means that nothing is sent there.
        withdrawal.suppress(
            session, reference.contact_point, purpose=purpose, channel=scope.channel, actor=actor, at=at
        )
    objection_id = identifiers.new_id("obj", at=at)
    recorded_at = ledger.moment_after(session, subject_id=found.subject_id, at=at)
    _insert(session, objection_id, found.subject_id, purpose_id, scope, reason, actor, recorded_at)
    return RecordedObjection(objection_id, found.subject_id, recorded_at)


def channels_without_purpose(session: Session, *, subject_ids: Iterable[str]) -> frozenset[str | None]:
    """Return the channels on which any of these people objected to all marketing; None where that was all of them."""
    return frozenset(
        session.scalars(
            select(Objection.channel)
            .where(
                Objection.controller_id == controller_of(session),
                Objection.subject_id.in_(list(subject_ids)),
                Objection.purpose_id.is_(None),
            )
            .distinct()
        )
    )


def _insert(
    session: Session,
    objection_id: str,
    subject_id: str,
    purpose_id: str | None,
    scope: Scope,
    reason: str,
    actor: Actor,
    at: datetime,
) -> None:
    audit_id = trail.record(
        session,
        type="objection.recorded",
        at=at,
        actor=actor,
        stream=f"subject:{subject_id}",
        payload={
            "objection": objection_id,
            "subject": subject_id,
            "purpose": purpose_id,
            "channel": scope.channel,
            "reason": reason,
        },
        subject_id=subject_id,
    )
    session.execute(
        insert(Objection).values(
            controller_id=controller_of(session),
            id=objection_id,
            subject_id=subject_id,
            purpose_id=purpose_id,
            channel=scope.channel,
            recorded_at=at,
            audit_entry_id=audit_id,
        )
    )
