"""The signed snapshot of a form: proof of which version and texts were shown, demanded when the form is sent.

It names the version, the language and the moment, and a hash of everything that was shown. Because published notices
and form versions never change, the form of that moment can be shown again and compared with the hash.
"""

import hashlib
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from consent_service.crypto import links
from consent_service.db.session import keyring_of
from consent_service.errors import ConsentServiceError, LinkInvalidError
from consent_service.registry import forms
from consent_service.registry.forms import ShownForm

LIFETIME: Final = timedelta(hours=24)

_PURPOSE: Final = "form-snapshot"


def issue(session: Session, *, shown: ShownForm, at: datetime) -> str:
    """Sign what is about to be shown; `at` is the moment for which `shown` was made."""
    payload = {"f": shown.form_id, "v": shown.form_version, "l": shown.language, "h": _digest(shown)}
    return links.sign_timed(
        keyring_of(session), purpose=_PURPOSE, payload=json.dumps(payload, separators=(",", ":")).encode(), at=at
    )


def read(session: Session, *, form_id: str, token: str, at: datetime) -> tuple[ShownForm, datetime]:
    """Return the form as it was shown, and when.

    Raises LinkExpiredError after 24 hours, and LinkInvalidError for a snapshot that is forged, of another form, or of
    texts that can no longer be shown the same.
    """
    signed = links.read_timed(
        keyring_of(session),
        purpose=_PURPOSE,
        token=token,
        at=at,
        max_age_seconds=int(LIFETIME.total_seconds()),
    )
    content = json.loads(signed.payload)
    if content["f"] != form_id:
        raise LinkInvalidError("the snapshot is of another form")
    try:
        version = forms.get_version(session, form_id=form_id, number=content["v"])
        shown = forms.shown(session, form=version, language=content["l"], at=signed.signed_at)
    except ConsentServiceError as error:
        raise LinkInvalidError("the snapshot is of a form that is not there") from error
    if _digest(shown) != content["h"]:
        raise LinkInvalidError("the snapshot is of other texts")
    return shown, signed.signed_at


def _digest(shown: ShownForm) -> str:
    """Return a hash of all texts, boxes and fields that the person sees."""
    whole = {
        "title": shown.title,
        "intro": shown.intro,
        "controller": shown.controller.legal_name,
        "fields": [asdict(each) for each in shown.fields],
        "boxes": [asdict(each) for each in shown.boxes],
    }
    text = json.dumps(whole, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
