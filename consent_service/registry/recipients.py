"""Answers for recipients: the processors and partners who get data, named to the person (CJEU C-154/21)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import AlreadyExistsError, InvalidInputError, RecipientUnknownError
from consent_service.registry import models
from consent_service.registry.documents import Reading
from consent_service.registry.notice_content import KEY

RecipientRole = Literal["processor", "partner"]

ROLES: Final[tuple[RecipientRole, ...]] = ("processor", "partner")
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets data, and under which agreement: a processor works for the controller, a partner for itself."""

    id: str
    key: str
    legal_name: str
    role: RecipientRole
    country: str
    agreement: str
    created_at: datetime


def create(
    session: Session,
    *,
    key: str,
    legal_name: str,
    role: str,
    country: str,
    agreement: str,
    actor: trail.Actor,
    at: datetime,
) -> Recipient:
    """Create a recipient; a renamed company is a new one, for what people were told does not change.

    Raises InvalidInputError, and AlreadyExistsError where the key is taken. Writes an audit entry.
    """
    recipient = Recipient(
        id=identifiers.new_id("rcp", at=at),
        key=key,
        legal_name=legal_name.strip(),
        role=_demand_valid(key=key, legal_name=legal_name, role=role, country=country, agreement=agreement),
        country=country,
        agreement=agreement.strip(),
        created_at=at,
    )
    settings = {
        "key": key,
        "legal_name": recipient.legal_name,
        "role": recipient.role,
        "country": country,
        "agreement": recipient.agreement,
    }
    added = session.scalar(
        insert(models.Recipient)
        .values(controller_id=controller_of(session), id=recipient.id, created_at=at, **settings)
        .on_conflict_do_nothing()
        .returning(models.Recipient.id)
    )
    if added is None:
        raise AlreadyExistsError(f"recipient {key}")
    trail.record(
        session,
        type="recipient.created",
        at=at,
        actor=actor,
        stream=f"recipient:{key}",
        payload={"recipient_id": recipient.id, **settings},
    )
    return recipient


def get(session: Session, *, key: str) -> Recipient:
    """Get a recipient by its key; raises RecipientUnknownError."""
    found = list_all(session, keys=(key,))
    if not found:
        raise RecipientUnknownError
    return found[0]


def list_all(session: Session, *, keys: Iterable[str] | None = None) -> tuple[Recipient, ...]:
    """List the recipients of this controller by key, all of them or those that are named."""
    query = select(models.Recipient).where(models.Recipient.controller_id == controller_of(session))
    if keys is not None:
        query = query.where(models.Recipient.key.in_(tuple(keys)))
    return tuple(_value(row) for row in session.scalars(query.order_by(models.Recipient.key)))


def _demand_valid(*, key: str, legal_name: str, role: str, country: str, agreement: str) -> RecipientRole:
    reading = Reading()
    reading.matching(key, "/key", pattern=KEY, detail="A key such as mail_supplier is expected here.")
    reading.matching(country, "/country", pattern=_COUNTRY, detail="Two letters such as NO are expected here.")
    chosen = reading.choice(role, "/role", among=ROLES)
    for name, text in (("legal_name", legal_name), ("agreement", agreement)):
        if not reading.text(text, f"/{name}"):
            reading.refuse(f"/{name}", "missing", "A recipient has a name and an agreement.")
    if reading.problems:
        raise InvalidInputError(tuple(reading.problems))
    return cast("RecipientRole", chosen)


def _value(row: models.Recipient) -> Recipient:
    return Recipient(
        id=row.id,
        key=row.key,
        legal_name=row.legal_name,
        role=cast("RecipientRole", row.role),
        country=row.country,
        agreement=row.agreement,
        created_at=row.created_at,
    )
