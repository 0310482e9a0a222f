"""Says whether a code is typed in the visit in which the form was sent, which ties person and number (DOI-14).

The mark is made from what was typed and from nothing that is stored, so it is made for every number alike.
"""

from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from consent_service.crypto import links
from consent_service.db.session import keyring_of
from consent_service.errors import LinkExpiredError, LinkInvalidError
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys

_PURPOSE: Final = "sms-code"
_VISIT_SECONDS: Final = 60 * 60


def mark(session: Session, *, form_id: str, phone: ContactValue, at: datetime) -> str:
    """Return what goes into the page that follows on a form, and from there back to us with the code."""
    return links.sign_timed(keyring_of(session), purpose=_PURPOSE, payload=_bound(session, form_id, phone), at=at)


def is_marked(session: Session, text: str, *, form_id: str, phone: ContactValue, at: datetime) -> bool:
    """Say whether this mark was made for this form and number within the last hour."""
    try:
        read = links.read_timed(
            keyring_of(session), purpose=_PURPOSE, token=text, at=at, max_age_seconds=_VISIT_SECONDS
        )
    except (LinkInvalidError, LinkExpiredError):
        return False
    return read.payload == _bound(session, form_id, phone)


def _bound(session: Session, form_id: str, phone: ContactValue) -> bytes:
    return keys.platform_hash(session, purpose="same visit", value=f"{form_id} {phone.normal}".encode())
