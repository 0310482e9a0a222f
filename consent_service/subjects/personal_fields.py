"""What a person told about themselves in a form, such as a name: sealed, and never searched."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.db.session import controller_of
from consent_service.subjects import members
from consent_service.subjects.models import PersonalField
from consent_service.vault import keys


def record(session: Session, *, subject_id: str, values: tuple[tuple[str, str], ...], at: datetime) -> None:
    """Keep what the person told, sealed; a later value replaces an earlier one of the same name."""
    for name, value in values:
        sealed = keys.seal_for_subject(
            session,
            value.encode(),
            subject_id=subject_id,
            table="personal_field",
            column="sealed",
            row_id=f"{subject_id}:{name}",
        )
        session.merge(
            PersonalField(
                controller_id=controller_of(session), subject_id=subject_id, name=name, sealed=sealed, updated_at=at
            )
        )


def open_all(session: Session, *, subject_id: str) -> tuple[tuple[str, str], ...]:
    """Open the personal fields of a person, by name; raises KeyDestroyedError after erasure.

    Where records were merged, what was told last under any of their ids holds.
    """
    rows = session.execute(
        select(PersonalField.name, PersonalField.subject_id, PersonalField.sealed)
        .where(
            PersonalField.controller_id == controller_of(session),
            PersonalField.subject_id.in_(members.ids_of(session, subject_id)),
        )
        .order_by(PersonalField.name, PersonalField.updated_at)
    )
    latest = {row.name: row for row in rows}
    return tuple(
        (
            row.name,
            keys.unseal_for_subject(
                session,
                row.sealed,
                subject_id=row.subject_id,
                table="personal_field",
                column="sealed",
                row_id=f"{row.subject_id}:{row.name}",
            ).decode(),
        )
        for row in latest.values()
    )
