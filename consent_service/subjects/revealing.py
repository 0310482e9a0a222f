"""Clear values of a person for somebody who says why they look, and who is written down for it."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import SubjectUnknownError
from consent_service.subjects import identity, members, personal_fields
from consent_service.subjects.identity import SubjectReference
from consent_service.subjects.models import ExternalId
from consent_service.vault import keys


@dataclass(frozen=True, slots=True)
class RevealedSubject:
    """The clear values of a person; whoever gets this has been written into the audit log."""

    subject_id: str
    contact_points: tuple[tuple[str, str], ...] = field(repr=False)
    external_ids: tuple[tuple[str, str], ...] = field(repr=False)
    personal_fields: tuple[tuple[str, str], ...] = field(repr=False)


def reveal(session: Session, *, subject_id: str, reason: str, actor: Actor, at: datetime) -> RevealedSubject:
    """Give the clear values of a person and write down who looked and why (GDPR Art. 5(2)).

    Raises InvalidInputError without a reason, SubjectUnknownError, and KeyDestroyedError after erasure.
    """
    trail.demand_reason(reason)
    found = identity.find_subject(session, SubjectReference(id=subject_id))
    if found is None:
        raise SubjectUnknownError
    person = found.subject_id
    revealed = RevealedSubject(
        subject_id=person,
        contact_points=tuple(
            (point.kind, identity.open_point(session, point).value)
            for point in identity.list_points(session, subject_id=person)
        ),
        external_ids=_open_external_ids(session, person),
        personal_fields=personal_fields.open_all(session, subject_id=person),
    )
    trail.record(
        session,
        type="subject.revealed",
        at=at,
        actor=actor,
        stream=f"subject:{person}",
        payload={"subject": person, "reason": reason},
        subject_id=person,
    )
    return revealed


def _open_external_ids(session: Session, subject_id: str) -> tuple[tuple[str, str], ...]:
    rows = session.execute(
        select(ExternalId.system, ExternalId.subject_id, ExternalId.sealed)
        .where(
            ExternalId.controller_id == controller_of(session),
            ExternalId.subject_id.in_(members.ids_of(session, subject_id)),
        )
        .order_by(ExternalId.system, ExternalId.created_at)
    )
    return tuple(
        (
            row.system,
            keys.unseal_for_subject(
                session,
                row.sealed,
                subject_id=row.subject_id,
                table="external_id",
                column="sealed",
                row_id=f"{row.system}:{row.subject_id}",
            ).decode(),
        )
        for row in rows
    )
