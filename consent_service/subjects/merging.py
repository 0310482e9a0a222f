"""Two records turned out to be one person: what is written down about it, and what stands against it (WD-12)."""

from datetime import datetime

from sqlalchemy import insert, or_, select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import AlreadyMergedError, SubjectUnknownError
from consent_service.subjects.models import Subject, SubjectMerge


def demand_mergeable(session: Session, *, survivor_id: str, duplicate_id: str) -> None:
    """Raise SubjectUnknownError or AlreadyMergedError where a record cannot be merged into another.

    Merges form no chains: a record that was merged into another is spent, and one that others were merged into can
    only go on, for a merge is never changed. So a family of records is merged into the same one, one after another.
    """
    known = session.scalars(
        select(Subject.id).where(
            Subject.controller_id == controller_of(session), Subject.id.in_((survivor_id, duplicate_id))
        )
    ).all()
    if len(set(known)) != len({survivor_id, duplicate_id}):
        raise SubjectUnknownError
    spent = session.scalar(
        select(SubjectMerge.duplicate_id)
        .where(
            SubjectMerge.controller_id == controller_of(session),
            or_(
                SubjectMerge.duplicate_id.in_((survivor_id, duplicate_id)),
                SubjectMerge.survivor_id == duplicate_id,
            ),
        )
        .limit(1)
    )
    if spent is not None:
        raise AlreadyMergedError


def record(
    session: Session,
    *,
    survivor_id: str,
    duplicate_id: str,
    source: str,
    reason: str,
    actor: Actor,
    merged_at: datetime,
    at: datetime,
) -> None:
    """Write down that two records are one person. The caller holds the locks of both and has asked whether it may.

    `source` is a short code of where it came from; what somebody wrote as the `reason` may speak of the person, so it
    stands in the sealed audit entry alone.
    """
    entry = trail.record(
        session,
        type="subject.merged",
        at=at,
        actor=actor,
        stream=f"subject:{survivor_id}",
        payload={
            "subject": survivor_id,
            "duplicate": duplicate_id,
            "merged_at": merged_at.isoformat(),
            "reason": reason,
        },
        subject_id=survivor_id,
    )
    session.execute(
        insert(SubjectMerge).values(
            controller_id=controller_of(session),
            duplicate_id=duplicate_id,
            survivor_id=survivor_id,
            merged_at=merged_at,
            reason=source,
            audit_entry_id=entry,
        )
    )
