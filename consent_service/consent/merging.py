"""Two records are one person: from now on the strictest of what either said holds for both (WD-12).

Nothing is moved and no consent is copied. A no of one record counts against the yeses of the other as if it had been
said at the merge, restrictions are a union, and a yes that the person gives later lifts a no as usual.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import ledger, signup_requests
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.subjects import identity, locks, merging


@dataclass(frozen=True, slots=True)
class MergedSubjects:
    """Two records that are one person from now on."""

    subject_id: str
    duplicate: str
    merged_at: datetime


def merge(
    session: Session, *, survivor_id: str, duplicate_id: str, source: str, reason: str, actor: Actor, at: datetime
) -> MergedSubjects:
    """Merge a duplicate into the record that goes on; every reference to either means the latter from now on.

    Raises InvalidInputError without a reason or for one record alone, SubjectUnknownError, and AlreadyMergedError where
    either is a duplicate already or others were merged into the duplicate.
    """
    trail.demand_reason(reason)
    if survivor_id == duplicate_id:
        problem = FieldProblem("/duplicate", "same_subject", "A record is not a duplicate of itself.")
        raise InvalidInputError((problem,))
    pair = (survivor_id, duplicate_id)
    merging.demand_mergeable(session, survivor_id=survivor_id, duplicate_id=duplicate_id)
    locks.lock_indexes(session, (index for each in pair for index in _indexes(session, each)))
    locks.lock_records(session, pair)
    # Another merge may have been what this waited for.
    merging.demand_mergeable(session, survivor_id=survivor_id, duplicate_id=duplicate_id)
    # A yes that another node wrote with a clock that is ahead must not count as said after the merge.
    merged_at = max(ledger.moment_after(session, subject_id=each, at=at) for each in pair)
    merging.record(
        session,
        survivor_id=survivor_id,
        duplicate_id=duplicate_id,
        source=source,
        reason=reason,
        actor=actor,
        merged_at=merged_at,
        at=at,
    )
    return MergedSubjects(survivor_id, duplicate_id, merged_at)


def _indexes(session: Session, subject_id: str) -> frozenset[bytes]:
    own = identity.indexes_of(session, subject_id=subject_id)
    return own | signup_requests.indexes_of(session, subject_id=subject_id)
