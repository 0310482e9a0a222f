"""Makes the company whose people are asked about: a live installation with the demo's purposes and texts."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from consent_service import clock
from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.cli import demo_world
from consent_service.db.session import Database
from consent_service.registry import controllers, form_definition, forms, notice_content, notices, purposes, recipients

FILE_NAME: Final = "world.json"
#: The three consents that everybody gave: purpose and channel.
CONSENTS: Final = (("newsletter", "email"), ("customer_survey", "email"), ("profiling", "web"))
#: Signed up over this long; all of it lies within the two years for which the demo's consents hold.
FIRST_SIGN_UP_DAYS_AGO: Final = 500
LAST_SIGN_UP_DAYS_AGO: Final = 20

_COMPANY: Final = "nordlys-sport"


@dataclass(frozen=True, slots=True)
class World:
    """What a benchmark must know of the company."""

    controller_id: str
    api_key: str = field(repr=False)
    form_id: str
    purpose_ids: dict[str, str]
    notice_ids: dict[str, str]
    opened_at: str

    @property
    def first_sign_up(self) -> datetime:
        """Return when the first person signed up."""
        return datetime.fromisoformat(self.opened_at) + timedelta(days=1)


def make(database: Database, *, folder: Path) -> World:
    """Create the company with its purposes, notices, form and a live key, and remember it in the folder."""
    at = (clock.now() - timedelta(days=FIRST_SIGN_UP_DAYS_AGO)).replace(microsecond=0).astimezone(UTC)
    texts = demo_world.texts_of(_COMPANY)
    with database.transaction(controllers.new_controller_id(at)) as session:
        controller = controllers.create(session, **texts["controller"], actor=trail.SYSTEM, at=at)
        for recipient in texts["recipients"]:
            recipients.create(session, **recipient, actor=trail.SYSTEM, at=at)
        purpose_ids, notice_ids = {}, {}
        for purpose in texts["purposes"]:
            key = purpose["key"]
            settings = {name: value for name, value in purpose.items() if name != "notice"}
            purpose_ids[key] = purposes.create(session, **settings, actor=trail.SYSTEM, at=at).id
            content = notice_content.parse(purpose["notice"])
            draft = notices.draft(session, purpose_key=key, content=content, actor=trail.SYSTEM, at=at)
            notices.publish(session, purpose_key=key, number=draft.number, material=True, actor=trail.SYSTEM, at=at)
            notice_ids[key] = draft.id
        definition = form_definition.parse(texts["forms"][0]["definition"])
        form = forms.create(session, key=texts["forms"][0]["key"], definition=definition, actor=trail.SYSTEM, at=at)
        key = api_keys.create(
            session,
            name="Benchmark",
            system="crm",
            scopes=api_keys.SCOPES,
            environment="live",
            actor=trail.SYSTEM,
            at=at,
        )
    made = World(controller.controller_id, key.text, form.form_id, purpose_ids, notice_ids, at.isoformat())
    place = folder / FILE_NAME
    place.touch(mode=0o600)
    place.write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def find(folder: Path) -> World | None:
    """Return the company that an earlier run made in the folder."""
    place = folder / FILE_NAME
    if not place.exists():
        return None
    document: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return World(**document)
