"""Answers for addresses that a controller's system reports: whose they are, recorded without being proved."""

from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.errors import FieldProblem, InvalidInputError, SubjectUnknownError
from consent_service.subjects import identity, locks
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint, FoundSubject, SubjectReference


def named_point(reference: SubjectReference) -> ContactValue:
    """Return the contact point that a reference names; raises InvalidInputError where it names none."""
    if reference.named_point is None:
        detail = "Name the contact point that this is about."
        raise InvalidInputError((FieldProblem("/subject/contact_point", "contact_point_required", detail),))
    return reference.named_point


def hold(session: Session, reference: SubjectReference) -> FoundSubject | None:
    """Find who is meant, and hold until commit the locks of the contact point that is named and of that person.

    Raises InvalidInputError where no contact point is named, and SubjectUnknownError for an id that nobody has.
    """
    locks.lock_addresses(session, [named_point(reference)])
    found = identity.find_subject(session, reference)
    if found is None and reference.id is not None:
        raise SubjectUnknownError
    if found is not None:
        locks.lock_subject(session, found.subject_id)
    return found


def record(
    session: Session, *, reference: SubjectReference, found: FoundSubject | None, actor: Actor, at: datetime
) -> FoundPoint:
    """Return the contact point that a reference names, after giving it, unverified, to whom `hold` found.

    Where that is nobody, a new person is recorded. The caller has made sure that nothing stops this.
    """
    if found is not None and found.point is not None:
        return found.point
    subject_id = _create(session, reference, actor, at) if found is None else found.subject_id
    return identity.attach_point(
        session, subject_id=subject_id, contact=named_point(reference), verified_at=None, at=at
    )


def _create(session: Session, reference: SubjectReference, actor: Actor, at: datetime) -> str:
    subject_id = identity.create(session, at=at, actor=actor)
    locks.lock_subject(session, subject_id)
    if reference.external_id is not None:
        identity.attach_external_id(session, subject_id=subject_id, external=reference.external_id, at=at)
    return subject_id
