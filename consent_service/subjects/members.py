"""Who goes under several ids: records that turned out to be one person, and the one of them that goes on.

A merge moves no row: what was recorded under a duplicate stays there, sealed under the duplicate's own key. Whoever
reads about a person reads what stands under any of the ids.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from consent_service.db.session import controller_of
from consent_service.subjects.models import SubjectMerge


def survivor_of(session: Session, subject_id: str, *, until: datetime | None = None) -> str:
    """Return the id that the person behind an id goes by, at a moment where one is given; the id itself, if any."""
    query = select(SubjectMerge.survivor_id).where(
        SubjectMerge.controller_id == controller_of(session), SubjectMerge.duplicate_id == subject_id
    )
    found = session.scalar(query if until is None else query.where(SubjectMerge.merged_at <= until))
    return subject_id if found is None else found


def ids_of(session: Session, subject_id: str, *, until: datetime | None = None) -> tuple[str, ...]:
    """List the ids of the person behind an id: the one they go by, then its duplicates."""
    survivor = survivor_of(session, subject_id, until=until)
    return (survivor, *duplicates_of(session, survivor, until=until))


def duplicates_of(session: Session, survivor_id: str, *, until: datetime | None = None) -> Mapping[str, datetime]:
    """Return the records that were merged into this one, oldest merge first, and since when each counts as it."""
    query: Select[str, datetime] = (
        select(SubjectMerge.duplicate_id, SubjectMerge.merged_at)
        .where(SubjectMerge.controller_id == controller_of(session), SubjectMerge.survivor_id == survivor_id)
        .order_by(SubjectMerge.merged_at, SubjectMerge.duplicate_id)
    )
    rows = session.execute(query if until is None else query.where(SubjectMerge.merged_at <= until))
    return {row.duplicate_id: row.merged_at for row in rows}


def joined_at(session: Session, subject_id: str) -> Mapping[str, datetime]:
    """Return the other ids of the person behind an id, and since when each and this one are known to be one person."""
    survivor = survivor_of(session, subject_id)
    merged = duplicates_of(session, survivor)
    own = merged.get(subject_id)
    others = {each: moment if own is None else max(own, moment) for each, moment in merged.items()}
    if own is not None:
        others[survivor] = own
    others.pop(subject_id, None)
    return others


def any_merged(session: Session) -> bool:
    """Say whether this controller ever merged two records."""
    found = session.scalar(
        select(SubjectMerge.duplicate_id).where(SubjectMerge.controller_id == controller_of(session)).limit(1)
    )
    return found is not None
