"""Lets facts about a person, and stops of their addresses, name their entries in the log no more."""

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from consent_service.audit import unlinking
from consent_service.db.session import controller_of
from consent_service.subjects.models import ContactPoint, RecipientKindFact, RestrictionFact, SubjectMerge, Suppression


def unlink(session: Session, *, subject_id: str, address_hashes: Collection[bytes]) -> dict[str, int]:
    """Empty the columns, and return how many rows of each table that were.

    A stop belongs to an address and outlives the person, so it is found by the hash of the address.
    """
    points = select(ContactPoint.id).where(
        ContactPoint.controller_id == controller_of(session), ContactPoint.subject_id == subject_id
    )
    is_merged = or_(SubjectMerge.duplicate_id == subject_id, SubjectMerge.survivor_id == subject_id)
    return unlinking.forget_entries(
        session,
        (RecipientKindFact, RecipientKindFact.contact_point_id.in_(points)),
        (RestrictionFact, RestrictionFact.subject_id == subject_id),
        (SubjectMerge, is_merged),
        (Suppression, Suppression.address_hash.in_(address_hashes)),
    )


def list_streams(session: Session, *, address_hashes: Collection[bytes]) -> tuple[str, ...]:
    """Return the streams of the stops of these addresses."""
    stops = select(Suppression.id).where(
        Suppression.controller_id == controller_of(session), Suppression.address_hash.in_(address_hashes)
    )
    return unlinking.streams_of("suppression", session.scalars(stops).all())


def list_indexes(session: Session, *, subject_id: str) -> tuple[bytes, ...]:
    """Return the blind indexes of every contact point that a record ever held."""
    points = select(ContactPoint.blind_index).where(
        ContactPoint.controller_id == controller_of(session), ContactPoint.subject_id == subject_id
    )
    return tuple(session.scalars(points))
