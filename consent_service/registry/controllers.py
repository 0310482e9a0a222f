"""Answers for controllers: who decides why data is used, with the settings that are each controller's own."""

import functools
import re
import secrets
import zoneinfo
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import AlreadyExistsError, ControllerUnknownError, FieldProblem, InvalidInputError
from consent_service.registry import models
from consent_service.registry.documents import Reading
from consent_service.vault import keys

KEY: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
DEFAULT_DECISION_LIFETIME: Final = timedelta(hours=4)

_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_LONGEST_DECISION_LIFETIME: Final = timedelta(days=1)
# The column is a signed integer of 32 bits; a form id has room for all of them.
_TAG_BITS: Final = 31


@dataclass(frozen=True, slots=True)
class Controller:
    """The company that decides why data is used (GDPR Art. 4(7)).

    `privacy_contact` is where people turn to; `decision_lifetime` is how long an answer to a check may be acted on;
    `keeps_traces` says whether IP address and user agent become part of the evidence. `allows_company_addresses` lets
    mail go to addresses that are classified as a company's (markedsføringsloven § 15 protects people only);
    `is_charity` lets the reservation against charities count in place of the general one; `signs_decisions` gives a
    single check's answer as a signed statement, too. These three are off unless the controller turns them on.
    """

    controller_id: str
    key: str
    legal_name: str
    display_name: str
    organisation_number: str
    postal_address: str
    privacy_contact: str
    phone: str | None
    country: str
    timezone: str
    decision_lifetime: timedelta
    keeps_traces: bool
    allows_company_addresses: bool = False
    is_charity: bool = False
    signs_decisions: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """What is known of a controller before a transaction is opened for it."""

    controller_id: str
    key: str
    tag: int


def new_controller_id(at: datetime) -> str:
    """Make the id for which the transaction that creates the controller is opened."""
    return identifiers.new_id("ctl", at=at)


def create(  # noqa: PLR0913 - one argument per setting, and each is named
    session: Session,
    *,
    key: str,
    legal_name: str,
    display_name: str,
    organisation_number: str,
    postal_address: str,
    privacy_contact: str,
    phone: str | None = None,
    country: str = "NO",
    timezone: str = "Europe/Oslo",
    decision_lifetime: timedelta = DEFAULT_DECISION_LIFETIME,
    keeps_traces: bool = True,
    allows_company_addresses: bool = False,
    is_charity: bool = False,
    signs_decisions: bool = False,
    actor: trail.Actor,
    at: datetime,
) -> Controller:
    """Create the controller that this transaction was opened for, with its keys.

    Raises InvalidInputError, and AlreadyExistsError where the key is taken. Writes an audit entry.
    """
    controller = Controller(
        controller_id=controller_of(session),
        key=key,
        legal_name=legal_name.strip(),
        display_name=display_name.strip(),
        organisation_number=organisation_number.strip(),
        postal_address=postal_address.strip(),
        privacy_contact=privacy_contact.strip(),
        phone=phone,
        country=country,
        timezone=timezone,
        decision_lifetime=decision_lifetime,
        keeps_traces=keeps_traces,
        allows_company_addresses=allows_company_addresses,
        is_charity=is_charity,
        signs_decisions=signs_decisions,
    )
    _demand_valid(controller)
    _add_to_directory(session, controller)
    session.execute(
        insert(models.Controller).values(controller_id=controller.controller_id, created_at=at, **_row(controller))
    )
    keys.create_for_controller(session, at=at)
    if controller.signs_decisions:
        keys.ensure_signing(session, at=at)
    trail.record(
        session, type="controller.created", at=at, actor=actor, stream=f"controller:{key}", payload={"key": key}
    )
    return controller


def get(session: Session) -> Controller:
    """Get the controller of this transaction; raises ControllerUnknownError."""
    found = session.execute(
        select(models.Controller, models.ControllerDirectory.key)
        .join(
            models.ControllerDirectory,
            models.ControllerDirectory.controller_id == models.Controller.controller_id,
        )
        .where(models.Controller.controller_id == controller_of(session))
    ).one_or_none()
    if found is None:
        raise ControllerUnknownError(controller_of(session))
    row, key = found
    return Controller(
        controller_id=row.controller_id,
        key=key,
        legal_name=row.legal_name,
        display_name=row.display_name,
        organisation_number=row.organisation_number,
        postal_address=row.postal_address,
        privacy_contact=row.privacy_contact,
        phone=row.phone,
        country=row.country,
        timezone=row.timezone,
        decision_lifetime=timedelta(seconds=row.decision_lifetime_seconds),
        keeps_traces=row.keeps_traces,
        allows_company_addresses=row.allows_company_addresses,
        is_charity=row.is_charity,
        signs_decisions=row.signs_decisions,
    )


def change_settings(session: Session, *, changed: Controller, actor: trail.Actor, at: datetime) -> Controller:
    """Replace the settings of the controller of this transaction; its id and key stay.

    Raises InvalidInputError. Writes an audit entry that names the settings that changed.
    """
    before = get(session)
    if (changed.controller_id, changed.key) != (before.controller_id, before.key):
        raise InvalidInputError((FieldProblem("/key", "unchangeable", "Id and key of a controller stay."),))
    _demand_valid(changed)
    old, new = _row(before), _row(changed)
    names = sorted(name for name in new if new[name] != old[name])
    if changed.signs_decisions:
        # Here and not at the first check, for a check writes nothing.
        keys.ensure_signing(session, at=at)
    if names:
        session.execute(
            update(models.Controller).where(models.Controller.controller_id == before.controller_id).values(**new)
        )
        trail.record(
            session,
            type="controller.settings_changed",
            at=at,
            actor=actor,
            stream=f"controller:{before.key}",
            payload={"settings": names},
        )
    return changed


def find_id(session: Session, *, key: str | None = None, tag: int | None = None) -> str | None:
    """Find a controller's id by its key or by the tag that its form ids carry, before the controller is known."""
    if (key is None) == (tag is None):
        raise ValueError("a controller is found by its key or by its tag")
    column, value = (models.ControllerDirectory.key, key) if tag is None else (models.ControllerDirectory.tag, tag)
    return session.scalar(select(models.ControllerDirectory.controller_id).where(column == value))


def list_directory(session: Session) -> tuple[DirectoryRow, ...]:
    """List which controllers exist, by key."""
    rows = session.execute(
        select(
            models.ControllerDirectory.controller_id, models.ControllerDirectory.key, models.ControllerDirectory.tag
        ).order_by(models.ControllerDirectory.key)
    )
    return tuple(DirectoryRow(row.controller_id, row.key, row.tag) for row in rows)


def tag_of(session: Session) -> int:
    """Get the tag of the controller of this transaction, which its form ids carry."""
    tag = session.scalar(
        select(models.ControllerDirectory.tag).where(models.ControllerDirectory.controller_id == controller_of(session))
    )
    if tag is None:
        raise ControllerUnknownError(controller_of(session))
    return tag


def _add_to_directory(session: Session, controller: Controller) -> None:
    added = session.scalar(
        insert(models.ControllerDirectory)
        .values(controller_id=controller.controller_id, key=controller.key, tag=_free_tag(session))
        .on_conflict_do_nothing()
        .returning(models.ControllerDirectory.controller_id)
    )
    if added is None:
        raise AlreadyExistsError(f"controller {controller.key}")


def _free_tag(session: Session) -> int:
    tag = secrets.randbits(_TAG_BITS)
    while find_id(session, tag=tag) is not None:
        tag = secrets.randbits(_TAG_BITS)
    return tag


def _row(controller: Controller) -> dict[str, str | int | bool | None]:
    return {
        "legal_name": controller.legal_name,
        "display_name": controller.display_name,
        "organisation_number": controller.organisation_number,
        "postal_address": controller.postal_address,
        "privacy_contact": controller.privacy_contact,
        "phone": controller.phone,
        "country": controller.country,
        "timezone": controller.timezone,
        "decision_lifetime_seconds": int(controller.decision_lifetime.total_seconds()),
        "keeps_traces": controller.keeps_traces,
        "allows_company_addresses": controller.allows_company_addresses,
        "is_charity": controller.is_charity,
        "signs_decisions": controller.signs_decisions,
    }


@functools.cache
def _time_zones() -> frozenset[str]:
    # Six hundred files are read for it, and only an update of the system or of tzdata brings others.
    return frozenset(zoneinfo.available_timezones())


def _demand_valid(controller: Controller) -> None:
    reading = Reading()
    reading.matching(controller.key, "/key", pattern=KEY, detail="A key such as nordlys-sport is expected here.")
    reading.matching(controller.country, "/country", pattern=_COUNTRY, detail="Two letters such as NO are expected.")
    for name in ("legal_name", "display_name", "organisation_number", "postal_address", "privacy_contact"):
        if not reading.text(getattr(controller, name), f"/{name}"):
            reading.refuse(f"/{name}", "missing", "People must be told who asks them.")
    reading.text(controller.phone, "/phone")
    if controller.timezone not in _time_zones():
        reading.refuse("/timezone", "timezone_unknown", "A zone such as Europe/Oslo is expected here.")
    if not timedelta(minutes=1) <= controller.decision_lifetime <= _LONGEST_DECISION_LIFETIME:
        reading.refuse("/decision_lifetime", "out_of_range", "Expected between a minute and a day.")
    if reading.problems:
        raise InvalidInputError(tuple(reading.problems))
