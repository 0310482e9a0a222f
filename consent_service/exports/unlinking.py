"""Lets files about a person name their entries in the log no more."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import unlinking
from consent_service.db.session import controller_of
from consent_service.exports.models import Export


def unlink(session: Session, *, subject_id: str) -> dict[str, int]:
    """Empty the column, and return how many rows that were."""
    return unlinking.forget_entries(session, (Export, Export.subject_id == subject_id))


def list_streams(session: Session, *, subject_id: str) -> tuple[str, ...]:
    """Return the streams of the files about a person."""
    files = select(Export.id).where(Export.controller_id == controller_of(session), Export.subject_id == subject_id)
    return unlinking.streams_of("export", session.scalars(files).all())
