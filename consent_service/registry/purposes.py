"""Answers for purposes: why data is used, on which basis, for how long."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import AlreadyExistsError, InvalidInputError, PurposeUnknownError
from consent_service.registry import controllers, models, terms
from consent_service.registry.documents import Reading
from consent_service.registry.notice_content import KEY
from consent_service.registry.terms import PurposeTerms

_TERMS = tuple(field.name for field in fields(PurposeTerms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose(PurposeTerms):
    """Why data is used, and on what that rests; its texts live in notice versions.

    `double_opt_in` speaks of acts that an authenticated system reports: through a public form everything is confirmed.
    """

    id: str
    key: str
    created_at: datetime
    retired_at: datetime | None

    def is_retired(self, at: datetime) -> bool:
        """Say whether the purpose had ended at this time."""
        return self.retired_at is not None and self.retired_at <= at


def create(  # noqa: PLR0913 - one argument per setting, and each is named
    session: Session,
    *,
    key: str,
    legal_basis: str,
    double_opt_in: bool,
    special_category: bool = False,
    valid_for_months: int | None = None,
    age_condition: bool = False,
    existing_customer: bool = False,
    product_categories: Iterable[str] = (),
    reservation_enabled: bool = False,
    balancing: str | None = None,
    balanced_on: date | None = None,
    actor: trail.Actor,
    at: datetime,
) -> Purpose:
    """Create a purpose; its texts follow as a notice version.

    Raises InvalidInputError, and AlreadyExistsError where the key is taken. Writes an audit entry.
    """
    purpose = Purpose(
        id=identifiers.new_id("pur", at=at),
        key=key,
        legal_basis=legal_basis,
        double_opt_in=double_opt_in,
        special_category=special_category,
        valid_for_months=valid_for_months,
        age_condition=age_condition,
        existing_customer=existing_customer,
        product_categories=tuple(product_categories),
        reservation_enabled=reservation_enabled,
        balancing=None if balancing is None else balancing.strip(),
        balanced_on=balanced_on,
        created_at=at,
        retired_at=None,
    )
    demand_valid(session, purpose, at)
    settings = {"key": key, **_row(purpose)}
    added = session.scalar(
        insert(models.Purpose)
        .values(controller_id=controller_of(session), id=purpose.id, created_at=at, retired_at=None, **settings)
        .on_conflict_do_nothing()
        .returning(models.Purpose.id)
    )
    if added is None:
        raise AlreadyExistsError(f"purpose {key}")
    trail.record(
        session,
        type="purpose.created",
        at=at,
        actor=actor,
        stream=f"purpose:{key}",
        payload={"purpose_id": purpose.id, "key": key, **_plain(purpose)},
    )
    return purpose


def get(session: Session, *, key: str) -> Purpose:
    """Get a purpose by its key; raises PurposeUnknownError."""
    row = session.scalar(
        select(models.Purpose).where(models.Purpose.controller_id == controller_of(session), models.Purpose.key == key)
    )
    if row is None:
        raise PurposeUnknownError
    return _value(row)


def list_all(session: Session) -> tuple[Purpose, ...]:
    """List the purposes of this controller, retired ones included, by key."""
    rows = session.scalars(
        select(models.Purpose)
        .where(models.Purpose.controller_id == controller_of(session))
        .order_by(models.Purpose.key)
    )
    return tuple(_value(row) for row in rows)


def demand_valid(session: Session, purpose: Purpose, at: datetime) -> None:
    """Raise InvalidInputError with everything that is wrong with a purpose, on the day that it is there."""
    reading = Reading()
    reading.matching(purpose.key, "/key", pattern=KEY, detail="A key such as newsletter is expected here.")
    reading.items(purpose.product_categories, "/product_categories", read=lambda each, at: _category(reading, each, at))
    if not reading.text(purpose.balancing, "/balancing", default=" "):
        reading.refuse("/balancing", "blank", "Name the recorded balancing, or leave this out.")
    today = at.astimezone(ZoneInfo(controllers.get(session).timezone)).date()
    problems = (*reading.problems, *terms.purpose_problems(purpose, today=today))
    if problems:
        raise InvalidInputError(problems)


def retire(session: Session, *, key: str, actor: trail.Actor, at: datetime) -> Purpose:
    """End a purpose: it is asked for nowhere any more, and every check says no. Ending it again changes nothing.

    Raises PurposeUnknownError. Writes an audit entry.
    """
    purpose = get(session, key=key)
    ended = session.scalar(
        update(models.Purpose)
        .where(
            models.Purpose.controller_id == controller_of(session),
            models.Purpose.id == purpose.id,
            models.Purpose.retired_at.is_(None),
        )
        .values(retired_at=at)
        .returning(models.Purpose.id)
    )
    if ended is not None:
        trail.record(
            session,
            type="purpose.retired",
            at=at,
            actor=actor,
            stream=f"purpose:{key}",
            payload={"purpose_id": purpose.id},
        )
    return get(session, key=key)


def _category(reading: Reading, value: object, at: str) -> str:
    return reading.matching(value, at, pattern=KEY, detail="A key such as sports_gear is expected here.")


def _row(purpose: Purpose) -> dict[str, Any]:
    said = {name: getattr(purpose, name) for name in _TERMS}
    return said | {"product_categories": list(purpose.product_categories)}


def _plain(purpose: Purpose) -> dict[str, Any]:
    """Return the terms as the audit log writes them."""
    balanced_on = purpose.balanced_on
    return _row(purpose) | {"balanced_on": None if balanced_on is None else balanced_on.isoformat()}


def _value(row: models.Purpose) -> Purpose:
    return Purpose(
        id=row.id,
        key=row.key,
        legal_basis=row.legal_basis,
        double_opt_in=row.double_opt_in,
        special_category=row.special_category,
        valid_for_months=row.valid_for_months,
        age_condition=row.age_condition,
        existing_customer=row.existing_customer,
        product_categories=tuple(row.product_categories),
        reservation_enabled=row.reservation_enabled,
        balancing=row.balancing,
        balanced_on=row.balanced_on,
        created_at=row.created_at,
        retired_at=row.retired_at,
    )
