"""Answers for what kind of recipient an address reaches: a person, unless somebody classified it on record.

Markedsføringsloven § 15 protects people, at their address at work too; only a company's generic address falls outside.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError, SuppressedError
from consent_service.subjects import members, reported_points, suppression
from consent_service.subjects.identity import FoundSubject, SubjectReference
from consent_service.subjects.models import RecipientKindFact

KINDS: Final = ("natural_person", "company")

_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Classification:
    """What a contact point was classified as, and from when that counts."""

    subject_id: str
    contact_point_id: str
    recipient_kind: str
    recorded_at: datetime


def classify(
    session: Session, *, reference: SubjectReference, recipient_kind: str, reason: str, actor: Actor, at: datetime
) -> Classification:
    """Classify the contact point that a reference names as a company's, or as a person's again.

    The latest classification holds. An address that nobody is known under is recorded, unverified, with a new subject.
    Raises InvalidInputError without a contact point, a kind of ours or a reason, SubjectUnknownError for an id of
    nobody, and SuppressedError where the address must not be recorded anew. Writes an audit entry with the reason.
    """
    _demand_valid(recipient_kind, reason)
    found = reported_points.hold(session, reference)
    _demand_recordable(session, reference, found)
    point = reported_points.record(session, reference=reference, found=found, actor=actor, at=at)
    recorded_at = _moment_after(session, point.id, at)
    # The reason may speak of a person: it stands in the sealed audit entry alone.
    entry = trail.record(
        session,
        type="recipient_kind.recorded",
        at=at,
        actor=actor,
        stream=f"subject:{point.subject_id}",
        payload={
            "subject": point.subject_id,
            "contact_point": point.id,
            "recipient_kind": recipient_kind,
            "reason": reason,
        },
        subject_id=point.subject_id,
    )
    session.execute(
        insert(RecipientKindFact).values(
            controller_id=controller_of(session),
            contact_point_id=point.id,
            recorded_at=recorded_at,
            kind=recipient_kind,
            audit_entry_id=entry,
        )
    )
    return Classification(members.survivor_of(session, point.subject_id), point.id, recipient_kind, recorded_at)


def _demand_valid(recipient_kind: str, reason: str) -> None:
    problems = []
    if recipient_kind not in KINDS:
        problems.append(FieldProblem("/recipient_kind", "not_a_choice", f"Expected one of: {', '.join(KINDS)}."))
    if not reason.strip():
        problems.append(FieldProblem("/reason", "missing", "Say how this is known."))
    if problems:
        raise InvalidInputError(tuple(problems))


def _demand_recordable(session: Session, reference: SubjectReference, found: FoundSubject | None) -> None:
    if found is not None and found.point is not None:
        return
    hashed = suppression.address_hash(session, reported_points.named_point(reference))
    if any(stop.purpose_id is None for stop in suppression.list_for(session, hashed=hashed)):
        raise SuppressedError


def _moment_after(session: Session, point_id: str, at: datetime) -> datetime:
    """Return the moment from which a classification counts: clocks of nodes cannot reorder facts."""
    last = session.scalar(
        select(func.max(RecipientKindFact.recorded_at)).where(
            RecipientKindFact.controller_id == controller_of(session), RecipientKindFact.contact_point_id == point_id
        )
    )
    return at if last is None else max(at, last + _STEP)
