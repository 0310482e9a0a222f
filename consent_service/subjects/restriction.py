"""Keep a person's data and do not use it (GDPR Art. 18): facts that are added, the latest of which holds."""

from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.subjects import locks
from consent_service.subjects.models import RestrictionFact


def restrict(session: Session, *, subject_id: str, reason: str, actor: Actor, at: datetime) -> bool:
    """Restrict processing from now on; every check says no. Returns whether this changed anything."""
    return _record(session, subject_id=subject_id, kind="restricted", reason=reason, actor=actor, at=at)


def lift(session: Session, *, subject_id: str, reason: str, actor: Actor, at: datetime) -> bool:
    """Lift the restriction. Returns whether this changed anything."""
    return _record(session, subject_id=subject_id, kind="lifted", reason=reason, actor=actor, at=at)


def is_restricted(session: Session, *, subject_id: str, at: datetime, known_at: datetime | None = None) -> bool:
    """Say whether processing was restricted at a moment, as far as was known at `known_at`."""
    limit = at if known_at is None else min(at, known_at)
    kind = session.scalar(
        select(RestrictionFact.kind)
        .where(
            RestrictionFact.controller_id == controller_of(session),
            RestrictionFact.subject_id == subject_id,
            RestrictionFact.recorded_at <= limit,
        )
        .order_by(RestrictionFact.recorded_at.desc())
        .limit(1)
    )
    return kind == "restricted"


def _record(session: Session, *, subject_id: str, kind: str, reason: str, actor: Actor, at: datetime) -> bool:
    locks.lock_subject(session, subject_id)
    if is_restricted(session, subject_id=subject_id, at=at) == (kind == "restricted"):
        return False
    entry = trail.record(
        session,
        type="subject.restricted" if kind == "restricted" else "subject.restriction_lifted",
        at=at,
        actor=actor,
        stream=f"subject:{subject_id}",
        payload={"subject": subject_id, "reason": reason},
        subject_id=subject_id,
    )
    session.execute(
        insert(RestrictionFact).values(
            controller_id=controller_of(session),
            subject_id=subject_id,
            recorded_at=at,
            kind=kind,
            audit_entry_id=entry,
        )
    )
    return True
