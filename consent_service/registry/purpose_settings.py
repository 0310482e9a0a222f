"""Answers for what a purpose admits beside consent: turned on and off, with what held until then.

The legal basis itself is fixed when the purpose is made and is never exchanged (GDPR Art. 6(1)(a); law.md CAP-12): the
service's own role may not write that column.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import BasisUnchangeableError
from consent_service.registry import locks, models, purposes
from consent_service.registry.purposes import Purpose

CHANGEABLE: Final = (
    "age_condition",
    "existing_customer",
    "product_categories",
    "reservation_enabled",
    "balancing",
    "balanced_on",
)
_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerSettings:
    """What a purpose admitted beside consent until a moment."""

    held_until: datetime
    age_condition: bool
    existing_customer: bool
    product_categories: tuple[str, ...]
    reservation_enabled: bool
    balancing: str | None
    balanced_on: date | None


def change(session: Session, *, key: str, changes: Mapping[str, Any], actor: trail.Actor, at: datetime) -> Purpose:
    """Change what a purpose admits beside consent; what `changes` does not name stays.

    It counts from now; questions about the past still find what held then. Raises PurposeUnknownError, ValueError for
    a name outside CHANGEABLE, and InvalidInputError with everything that is wrong. Writes an audit entry that names
    what changed.
    """
    if not set(changes) <= set(CHANGEABLE):
        raise ValueError("only what stands beside the basis can change")
    locks.hold(session, name=f"purpose {key}")
    before = purposes.get(session, key=key)
    after = replace(before, **_normal(changes))
    purposes.demand_valid(session, after, at)
    new = {name: _column(after, name) for name in CHANGEABLE if getattr(after, name) != getattr(before, name)}
    if not new:
        return before
    entry = trail.record(
        session,
        type="purpose.settings_changed",
        at=at,
        actor=actor,
        stream=f"purpose:{key}",
        payload={"purpose_id": before.id, "settings": {name: _plain(value) for name, value in new.items()}},
    )
    _keep(session, before, entry, at)
    session.execute(
        update(models.Purpose)
        .where(models.Purpose.controller_id == controller_of(session), models.Purpose.id == before.id)
        .values(**new)
    )
    return after


def demand_same_basis(session: Session, *, key: str, legal_basis: str) -> None:
    """Raise BasisUnchangeableError where somebody would put another legal basis under a purpose."""
    if purposes.get(session, key=key).legal_basis != legal_basis:
        raise BasisUnchangeableError(f"purpose {key}")


def record_refused_basis(session: Session, *, key: str, legal_basis: str, actor: trail.Actor, at: datetime) -> None:
    """Write down that somebody tried to exchange the legal basis of a purpose and was refused."""
    purpose = purposes.get(session, key=key)
    trail.record(
        session,
        type="purpose.basis_change_refused",
        at=at,
        actor=actor,
        stream=f"purpose:{key}",
        payload={"purpose_id": purpose.id, "legal_basis": purpose.legal_basis, "wanted": legal_basis},
    )


def list_former(session: Session, *, key: str) -> tuple[FormerSettings, ...]:
    """List what a purpose admitted before its settings changed, the oldest first; raises PurposeUnknownError."""
    return list_all_former(session).get(purposes.get(session, key=key).id, ())


def list_all_former(session: Session) -> Mapping[str, tuple[FormerSettings, ...]]:
    """List for each purpose, by its id, what it admitted before its settings changed, the oldest first."""
    rows = session.scalars(
        select(models.FormerPurposeSettings)
        .where(models.FormerPurposeSettings.controller_id == controller_of(session))
        .order_by(models.FormerPurposeSettings.purpose_id, models.FormerPurposeSettings.held_until)
    )
    return {
        purpose_id: tuple(_value(row) for row in found)
        for purpose_id, found in itertools.groupby(rows, key=lambda row: row.purpose_id)
    }


def as_of(purpose: Purpose, former: Iterable[FormerSettings], *, at: datetime) -> Purpose:
    """Return a purpose as it was at a moment; `former` is what it admitted before, the oldest first."""
    ended_later = next((settings for settings in former if settings.held_until > at), None)
    if ended_later is None:
        return purpose
    return replace(purpose, **{name: getattr(ended_later, name) for name in CHANGEABLE})


def _normal(changes: Mapping[str, Any]) -> dict[str, Any]:
    normal = dict(changes)
    if "product_categories" in normal:
        normal["product_categories"] = tuple(normal["product_categories"])
    if normal.get("balancing") is not None:
        normal["balancing"] = normal["balancing"].strip()
    return normal


def _value(row: models.FormerPurposeSettings) -> FormerSettings:
    return FormerSettings(
        held_until=row.held_until,
        age_condition=row.age_condition,
        existing_customer=row.existing_customer,
        product_categories=tuple(row.product_categories),
        reservation_enabled=row.reservation_enabled,
        balancing=row.balancing,
        balanced_on=row.balanced_on,
    )


def _keep(session: Session, before: Purpose, audit_entry_id: str, at: datetime) -> None:
    last = session.scalar(
        select(func.max(models.FormerPurposeSettings.held_until)).where(
            models.FormerPurposeSettings.controller_id == controller_of(session),
            models.FormerPurposeSettings.purpose_id == before.id,
        )
    )
    session.execute(
        insert(models.FormerPurposeSettings).values(
            controller_id=controller_of(session),
            purpose_id=before.id,
            # Clocks of nodes cannot reorder changes.
            held_until=at if last is None else max(at, last + _STEP),
            audit_entry_id=audit_entry_id,
            **{name: _column(before, name) for name in CHANGEABLE},
        )
    )


def _column(purpose: Purpose, name: str) -> Any:  # noqa: ANN401 - whatever the setting is
    value = getattr(purpose, name)
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - as the audit log writes it
    return value.isoformat() if isinstance(value, date) else value
