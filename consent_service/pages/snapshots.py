"""Signs what was shown, so that a post proves which texts stood at its boxes (GDPR Art. 7(1)).

A snapshot says which form, which version, which language and when, and holds the hash of every text that was shown.
What was shown is then read again as of that moment: texts that come back with a post are never believed.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from consent_service import identifiers
from consent_service.crypto import links
from consent_service.crypto.keyring import Keyring
from consent_service.errors import LinkInvalidError
from consent_service.registry.boxes import ShownBox
from consent_service.registry.forms import ShownForm

MAX_AGE_SECONDS: Final = 24 * 60 * 60

_FORM: Final = "form-snapshot"
_BOXES: Final = "boxes-snapshot"
_MICROSECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class FormSnapshot:
    """Which form was shown, when, and the hash of what stood in it."""

    form_id: str
    version: int
    language: str
    shown_at: datetime
    digest: bytes


def moment(at: datetime) -> datetime:
    """Return the time to the millisecond, as a snapshot keeps it: the texts are read for exactly this moment."""
    return at.replace(microsecond=at.microsecond // _MICROSECONDS * _MICROSECONDS)


def of_form(keyring: Keyring, shown: ShownForm, *, at: datetime) -> str:
    """Sign what a form showed at a moment."""
    document = [shown.form_id, shown.form_version, shown.language, digest(shown).hex()]
    return links.sign_timed(keyring, purpose=_FORM, payload=json.dumps(document).encode(), at=at)


def read_form(keyring: Keyring, snapshot: str, *, form_id: str, at: datetime) -> FormSnapshot:
    """Read a snapshot of this form; raises LinkExpiredError after 24 hours and LinkInvalidError."""
    read = links.read_timed(keyring, purpose=_FORM, token=snapshot, at=at, max_age_seconds=MAX_AGE_SECONDS)
    form, version, language, shown = json.loads(read.payload)
    if identifiers.to_uuid(form, "frm") != identifiers.to_uuid(form_id, "frm"):
        raise LinkInvalidError("this snapshot is of another form")
    return FormSnapshot(form, version, language, read.signed_at, bytes.fromhex(shown))


def of_boxes(keyring: Keyring, boxes: tuple[ShownBox, ...], *, bound_to: bytes, language: str, at: datetime) -> str:
    """Sign what a preference centre showed to the holder of one link."""
    payload = _digest_of_boxes(boxes, bound_to, language)
    return links.sign_timed(keyring, purpose=_BOXES, payload=payload, at=at)


def shows_boxes(
    keyring: Keyring, snapshot: str, boxes: tuple[ShownBox, ...], *, bound_to: bytes, language: str, at: datetime
) -> bool:
    """Say whether a snapshot is of these texts, in this language, for this link; raises as `read_form` does."""
    read = links.read_timed(keyring, purpose=_BOXES, token=snapshot, at=at, max_age_seconds=MAX_AGE_SECONDS)
    return read.payload == _digest_of_boxes(boxes, bound_to, language)


def digest(shown: ShownForm) -> bytes:
    """Hash every text that a form shows."""
    controller = shown.controller
    document: dict[str, object] = {
        "controller": [controller.legal_name, controller.privacy_contact],
        "form": [shown.title, shown.intro, shown.submit_label],
        "fields": [asdict(field) for field in shown.fields],
        "boxes": [asdict(box) for box in shown.boxes],
    }
    if shown.age_limit is not None:
        document["age"] = shown.age_limit
    return _hash(document)


def _digest_of_boxes(boxes: tuple[ShownBox, ...], bound_to: bytes, language: str) -> bytes:
    return _hash({"link": bound_to.hex(), "language": language, "boxes": [asdict(box) for box in boxes]})


def _hash(document: object) -> bytes:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).digest()
