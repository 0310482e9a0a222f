"""Makes the demo world: two invented companies with everything that is needed to try the service.

What programs need to know of it, secrets included, stands in `demo.json` of the demo folder and nowhere else. The
file is written before each company is committed: a start that dies half-way leaves either both or neither.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from consent_service.accounts import api_keys, operators
from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.errors import ServiceStartError
from consent_service.registry import (
    controllers,
    form_definition,
    forms,
    notice_content,
    notices,
    purposes,
    recipients,
)

FILE_NAME: Final = "demo.json"
CONTROLLER_KEYS: Final = ("nordlys-sport", "fjord-bok")
#: Where a page that embeds a form may be served from while one tries things out.
DEMO_ORIGINS: Final = ("http://localhost:8001", "http://127.0.0.1:8001")

_TEXTS: Final = Path(__file__).parent / "demo_data"
_PASSWORD_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class DemoOperator:
    """Somebody who can log in to the console."""

    email: str
    password: str = field(repr=False)
    role: str


@dataclass(frozen=True, slots=True)
class DemoController:
    """One invented company: its API keys, its forms by key, its operators."""

    key: str
    api_key: str = field(repr=False)
    check_only_api_key: str = field(repr=False)
    forms: Mapping[str, str]
    operators: tuple[DemoOperator, ...]


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that a program must know to use the demo."""

    base_url: str
    mail_dir: str
    sms_dir: str
    controllers: tuple[DemoController, ...]


def seed(
    database: Database, *, data_dir: Path, public_url: str, at: datetime, demo_origins: tuple[str, ...] = DEMO_ORIGINS
) -> DemoWorld:
    """Make what is missing of the demo world, write `demo.json`, and return what stands in it.

    A second start of the same folder makes nothing new. Raises ServiceStartError where the database holds a company
    whose secrets are not in the file.
    """
    for place in ("mail", "sms"):
        # A program that waits for a message may look before the first one has arrived.
        (data_dir / place).mkdir(mode=0o700, exist_ok=True)
    known = {controller.key: controller for controller in _read(data_dir)}
    world = DemoWorld(
        base_url=public_url, mail_dir=str(data_dir / "mail"), sms_dir=str(data_dir / "sms"), controllers=()
    )
    origins = tuple(dict.fromkeys((_origin_of(public_url), *demo_origins)))
    for key in CONTROLLER_KEYS:
        with database.platform_transaction() as session:
            is_there = controllers.find_id(session, key=key) is not None
        if is_there:
            world = _with(world, _remembered(known, key))
            continue
        with database.transaction(controllers.new_controller_id(at)) as session:
            world = _with(world, _create(session, key=key, origins=origins, at=at))
            write(world, data_dir=data_dir)
    write(world, data_dir=data_dir)
    return world


def write(world: DemoWorld, *, data_dir: Path) -> None:
    """Write `demo.json` for its owner's eyes only, wholly or not at all."""
    document = {
        "base_url": world.base_url,
        "mail_dir": world.mail_dir,
        "sms_dir": world.sms_dir,
        "controllers": [_document_of(controller) for controller in world.controllers],
    }
    fresh = data_dir / f"{FILE_NAME}.new"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(data_dir / FILE_NAME)


def texts_of(key: str) -> dict[str, Any]:
    """Read the texts of one of the invented companies."""
    texts: dict[str, Any] = json.loads((_TEXTS / f"{key}.json").read_text(encoding="utf-8"))
    return texts


def _create(session: Session, *, key: str, origins: tuple[str, ...], at: datetime) -> DemoController:
    texts = texts_of(key)
    controllers.create(session, **texts["controller"], actor=trail.SYSTEM, at=at)
    for recipient in texts["recipients"]:
        recipients.create(session, **recipient, actor=trail.SYSTEM, at=at)
    for purpose in texts["purposes"]:
        _create_purpose(session, purpose, at=at)
    form_ids = {form["key"]: _create_form(session, form, origins=origins, at=at) for form in texts["forms"]}
    return DemoController(
        key=key,
        api_key=_create_api_key(session, name="Demo: everything", system="crm", scopes=api_keys.SCOPES, at=at),
        check_only_api_key=_create_api_key(session, name="Demo: checks only", system="till", scopes=("check",), at=at),
        forms=form_ids,
        operators=tuple(_create_operator(session, **operator, at=at) for operator in texts["operators"]),
    )


def _create_purpose(session: Session, texts: Mapping[str, Any], *, at: datetime) -> None:
    purpose = purposes.create(
        session,
        key=texts["key"],
        legal_basis=texts["legal_basis"],
        double_opt_in=texts["double_opt_in"],
        valid_for_months=texts["valid_for_months"],
        actor=trail.SYSTEM,
        at=at,
    )
    content = notice_content.parse(texts["notice"])
    draft = notices.draft(session, purpose_key=purpose.key, content=content, actor=trail.SYSTEM, at=at)
    notices.publish(session, purpose_key=purpose.key, number=draft.number, material=True, actor=trail.SYSTEM, at=at)


def _create_form(session: Session, texts: Mapping[str, Any], *, origins: tuple[str, ...], at: datetime) -> str:
    definition = replace(form_definition.parse(texts["definition"]), origins=origins)
    return forms.create(session, key=texts["key"], definition=definition, actor=trail.SYSTEM, at=at).form_id


def _create_api_key(session: Session, *, name: str, system: str, scopes: tuple[str, ...], at: datetime) -> str:
    created = api_keys.create(
        session, name=name, system=system, scopes=scopes, environment="demo", actor=trail.SYSTEM, at=at
    )
    return created.text


def _create_operator(session: Session, *, email: str, role: str, at: datetime) -> DemoOperator:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    operators.create(session, email=email, password=password, role=role, actor=trail.SYSTEM, at=at)
    return DemoOperator(email=email, password=password, role=role)


def _remembered(known: Mapping[str, DemoController], key: str) -> DemoController:
    controller = known.get(key)
    if controller is None:
        raise ServiceStartError(
            f"the database holds the demo company {key}, but {FILE_NAME} does not know its keys: "
            "take a new folder for a new demo"
        )
    return controller


def _with(world: DemoWorld, controller: DemoController) -> DemoWorld:
    return replace(world, controllers=(*world.controllers, controller))


def _origin_of(public_url: str) -> str:
    parts = urlsplit(public_url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _document_of(controller: DemoController) -> dict[str, object]:
    return {
        "key": controller.key,
        "api_key": controller.api_key,
        "check_only_api_key": controller.check_only_api_key,
        "forms": dict(controller.forms),
        "operators": [
            {"email": operator.email, "password": operator.password, "role": operator.role}
            for operator in controller.operators
        ],
    }


def _read(data_dir: Path) -> tuple[DemoController, ...]:
    try:
        document = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
        return tuple(
            DemoController(
                key=item["key"],
                api_key=item["api_key"],
                check_only_api_key=item["check_only_api_key"],
                forms=dict(item["forms"]),
                operators=tuple(DemoOperator(**operator) for operator in item["operators"]),
            )
            for item in document["controllers"]
        )
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError):
        raise ServiceStartError(f"{FILE_NAME} of this demo is damaged: take a new folder for a new demo") from None
