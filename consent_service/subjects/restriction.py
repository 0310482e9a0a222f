"""Keep a person's data and do not use it (GDPR Art. 18): facts that are added, the latest of which holds."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Row, insert, select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.subjects import locks, members
from consent_service.subjects.models import RestrictionFact

_STEP: Final = timedelta(microseconds=1)


def restrict(session: Session, *, subject_id: str, reason: str, actor: Actor, at: datetime) -> bool:
    """Restrict processing from now on; every check says no. Returns whether this changed anything."""
    return _record(session, subject_id=subject_id, kind="restricted", reason=reason, actor=actor, at=at)


def lift(session: Session, *, subject_id: str, reason: str, actor: Actor, at: datetime) -> bool:
    """Lift the restriction, from every record of the person. Returns whether this changed anything."""
    return _record(session, subject_id=subject_id, kind="lifted", reason=reason, actor=actor, at=at)


def is_restricted(session: Session, *, subject_id: str, until: datetime | None = None) -> bool:
    """Say whether processing is restricted, by what was recorded up to a moment where one is given.

    Of records that were merged by then, the restriction of any restricts the person (WD-12).
    """
    facts = (_latest(session, each, until) for each in members.ids_of(session, subject_id, until=until))
    return any(fact is not None and fact.kind == "restricted" for fact in facts)


def _latest(session: Session, subject_id: str, until: datetime | None) -> Row[str, datetime] | None:
    query = (
        select(RestrictionFact.kind, RestrictionFact.recorded_at)
        .where(RestrictionFact.controller_id == controller_of(session), RestrictionFact.subject_id == subject_id)
        .order_by(RestrictionFact.recorded_at.desc())
        .limit(1)
    )
    return session.execute(query if until is None else query.where(RestrictionFact.recorded_at <= until)).one_or_none()


def _record(session: Session, *, subject_id: str, kind: str, reason: str, actor: Actor, at: datetime) -> bool:
    survivor = locks.lock_subject(session, subject_id)
    if is_restricted(session, subject_id=survivor) == (kind == "restricted"):
        return False
    for each in (survivor,) if kind == "restricted" else members.ids_of(session, survivor):
        last = _latest(session, each, None)
        if (last.kind if last is not None else "lifted") != kind:
            _add(session, each, kind, last=last, reason=reason, actor=actor, at=at)
    return True


def _add(
    session: Session,
    subject_id: str,
    kind: str,
    *,
    last: Row[str, datetime] | None,
    reason: str,
    actor: Actor,
    at: datetime,
) -> None:
    # As in the ledger: clocks of nodes cannot reorder facts.
    recorded_at = at if last is None else max(at, last.recorded_at + _STEP)
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
            recorded_at=recorded_at,
            kind=kind,
            audit_entry_id=entry,
        )
    )
