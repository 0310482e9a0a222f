"""Answers for what a sender told the person: the right to object, and what GDPR Art. 14 demands.

A check names what the sender still owes the person; a report that it was delivered ends that (GDPR Art. 21(4)).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import reporting
from consent_service.consent.models import NoticeDelivery
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError, SubjectUnknownError
from consent_service.subjects import identity, locks
from consent_service.subjects.identity import SubjectReference

NOTICES: Final = ("objection", "article_14")


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A notice that reached a person."""

    delivery_id: str
    subject_id: str
    notice: str
    delivered_at: datetime
    recorded_at: datetime


def record(
    session: Session, *, reference: SubjectReference, notice: str, delivered_at: datetime, actor: Actor, at: datetime
) -> RecordedDelivery:
    """Record that a notice was delivered to a person at a moment that is not in the future.

    Raises InvalidInputError with everything that is wrong, and SubjectUnknownError where nobody is known under the
    reference. Writes an audit entry.
    """
    _demand_valid(notice, delivered_at, at)
    found = identity.find_subject(session, reference)
    if found is None:
        raise SubjectUnknownError
    locks.lock_subject(session, found.subject_id)
    delivery_id = identifiers.new_id("ntd", at=at)
    delivered_at = min(delivered_at, at)
    audit_id = trail.record(
        session,
        type="notice_delivery.recorded",
        at=at,
        actor=actor,
        stream=f"subject:{found.subject_id}",
        payload={
            "delivery": delivery_id,
            "subject": found.subject_id,
            "notice": notice,
            "delivered_at": delivered_at.isoformat(),
        },
        subject_id=found.subject_id,
    )
    session.execute(
        insert(NoticeDelivery).values(
            controller_id=controller_of(session),
            id=delivery_id,
            subject_id=found.subject_id,
            notice=notice,
            delivered_at=delivered_at,
            recorded_at=at,
            audit_entry_id=audit_id,
        )
    )
    return RecordedDelivery(delivery_id, found.subject_id, notice, delivered_at, at)


def _demand_valid(notice: str, delivered_at: datetime, at: datetime) -> None:
    problems = []
    if notice not in NOTICES:
        problems.append(FieldProblem("/notice", "not_a_choice", f"Expected one of: {', '.join(NOTICES)}."))
    if delivered_at > at + reporting.CLOCK_TOLERANCE:
        problems.append(FieldProblem("/delivered_at", "in_the_future", "The notice has not reached anybody yet."))
    if problems:
        raise InvalidInputError(tuple(problems))
