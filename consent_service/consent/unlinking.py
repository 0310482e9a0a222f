"""Lets acts of a person and facts beside consent name their entries in the log no more."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from consent_service.audit import unlinking
from consent_service.consent.models import (
    CustomerRelation,
    LedgerEntry,
    NoticeDelivery,
    Objection,
    PreferenceRequest,
    SignupRequest,
)
from consent_service.db.session import controller_of
from consent_service.subjects import unlinking as subject_unlinking


def unlink(session: Session, *, subject_id: str) -> dict[str, int]:
    """Empty the columns, and return how many rows of each table that were."""
    return unlinking.forget_entries(
        session,
        (LedgerEntry, LedgerEntry.subject_id == subject_id),
        (Objection, Objection.subject_id == subject_id),
        (CustomerRelation, CustomerRelation.subject_id == subject_id),
        (NoticeDelivery, NoticeDelivery.subject_id == subject_id),
    )


def list_streams(session: Session, *, subject_id: str) -> tuple[str, ...]:
    """Return the streams of the requests of a person, as far as something still says whose they were."""
    indexes = subject_unlinking.list_indexes(session, subject_id=subject_id)
    signups = select(SignupRequest.id).where(
        SignupRequest.controller_id == controller_of(session),
        or_(
            SignupRequest.subject_id == subject_id,
            SignupRequest.email_index.in_(indexes),
            SignupRequest.phone_index.in_(indexes),
        ),
    )
    links = select(PreferenceRequest.id).where(
        PreferenceRequest.controller_id == controller_of(session), PreferenceRequest.email_index.in_(indexes)
    )
    return unlinking.streams_of("request", [*session.scalars(signups), *session.scalars(links)])
