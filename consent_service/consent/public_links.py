"""The links that leave the house: what each carries, and what each may do.

All carry the controller, so that nothing has to be looked up before row level security is set, and none carries an
address. A confirmation and a mailed preference link hold a secret of which the database knows only the hash; a link
for a sender's own mails has no row at all, does not expire, and can only withdraw.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import withdrawal
from consent_service.consent.withdrawal import Scope
from consent_service.crypto import links
from consent_service.crypto.blind_index import BLIND_INDEX_BYTES
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import controller_of, keyring_of
from consent_service.errors import LinkInvalidError, SubjectUnknownError
from consent_service.registry import controllers, purposes
from consent_service.subjects import fields, identity, suppression
from consent_service.subjects.identity import SubjectReference
from consent_service.vault import keys

_CONFIRM: Final = "confirm"
_MAILED: Final = "preferences-mailed"
_SENDER: Final = "sender"
_POINT: Final = b"p"
#: The hash alone, as in the links of before; those of today carry the blind index of the address beside it.
_HASH: Final = b"h"
_INDEXED: Final = b"i"
_UUID_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_HASH_BYTES: Final = 32
_NOTHING: Final = bytes(_UUID_BYTES)
_CHANNELS: Final = ("", *fields.POINT_OF_CHANNEL)


@dataclass(frozen=True, slots=True)
class SecretLink:
    """A link to one row: whose it is, and the secret whose hash finds the row."""

    controller_id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SenderLink:
    """A link in a sender's mail: withdraw only, for a known contact point or for the hash of an unknown address.

    The blind index of that address finds whoever holds it by the time of the no. After the controller's index key was
    turned over it finds nobody any more, and the hash alone stops what is sent.
    """

    controller_id: str
    contact_point_id: str | None
    address_hash: bytes | None = field(repr=False)
    address_index: bytes | None = field(default=None, repr=False)
    purpose_id: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class SenderLinks:
    """What a sender puts into a mail: both links, and the headers of RFC 8058 and RFC 2369."""

    preferences_url: str
    unsubscribe_url: str
    headers: tuple[tuple[str, str], ...]


def confirmation_url(session: Session, *, secret: bytes, public_url: str) -> str:
    """Return the address of the page on which a request is confirmed."""
    return f"{public_url}/c/{_sign(session, _CONFIRM, secret)}"


def preferences_url(session: Session, *, secret: bytes, public_url: str) -> str:
    """Return the address of the preference centre for somebody who asked for it by mail."""
    return f"{public_url}/p/{_sign(session, _MAILED, secret)}"


def read_confirmation(keyring: Keyring, token: str) -> SecretLink:
    """Read a confirmation link; raises LinkInvalidError."""
    return _read_secret(keyring, _CONFIRM, token)


def read_preferences(keyring: Keyring, token: str) -> SecretLink | SenderLink:
    """Read a link to the preference centre, mailed on request or found in a sender's mail; raises LinkInvalidError."""
    try:
        return _read_secret(keyring, _MAILED, token)
    except LinkInvalidError:
        return read_unsubscribe(keyring, token)


def read_unsubscribe(keyring: Keyring, token: str) -> SenderLink:
    """Read a link from a sender's mail; raises LinkInvalidError."""
    payload = links.read_link(keyring, purpose=_SENDER, token=token)
    sizes = {_POINT: _UUID_BYTES, _HASH: _HASH_BYTES, _INDEXED: _HASH_BYTES + BLIND_INDEX_BYTES}
    kind = payload[_UUID_BYTES : _UUID_BYTES + 1]
    size = sizes.get(kind)
    rest = payload[_UUID_BYTES + 1 :]
    if size is None or len(rest) != size + _UUID_BYTES + 1 or rest[-1] >= len(_CHANNELS):
        raise LinkInvalidError
    who, purpose = rest[:size], rest[size:-1]
    return SenderLink(
        controller_id=_controller(payload),
        contact_point_id=identifiers.from_uuid(uuid.UUID(bytes=who), "cpt") if kind == _POINT else None,
        address_hash=None if kind == _POINT else who[:_HASH_BYTES],
        address_index=who[_HASH_BYTES:] if kind == _INDEXED else None,
        purpose_id=None if purpose == _NOTHING else identifiers.from_uuid(uuid.UUID(bytes=purpose), "pur"),
        channel=_CHANNELS[rest[-1]] or None,
    )


def sender_links(
    session: Session, *, reference: SubjectReference, scope: Scope, public_url: str, at: datetime
) -> SenderLinks:
    """Make the links for a sender's mail to one person; both can only withdraw, and work for as long as they lie there.

    Raises PurposeUnknownError, InvalidInputError for a channel that does not exist, and SubjectUnknownError where the
    reference names nobody; an address that nobody is known under gets links all the same.
    """
    del at
    withdrawal.demand_channel(scope.channel)
    purpose = purposes.get(session, key=scope.purpose) if scope.purpose is not None else None
    purpose_bytes = identifiers.to_uuid(purpose.id, "pur").bytes if purpose else _NOTHING
    whom = _whom(session, reference, scope.channel)
    channel = bytes([_CHANNELS.index(scope.channel or "")])
    token = links.sign_link(
        keyring_of(session),
        purpose=_SENDER,
        payload=_controller_bytes(session) + whom + purpose_bytes + channel,
    )
    unsubscribe = f"{public_url}/u/{token}"
    list_name = ".".join(part for part in (scope.purpose, controllers.get(session).key, _host(public_url)) if part)
    return SenderLinks(
        preferences_url=f"{public_url}/p/{token}",
        unsubscribe_url=unsubscribe,
        headers=(
            ("List-Unsubscribe", f"<{unsubscribe}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{list_name}>"),
        ),
    )


def _whom(session: Session, reference: SubjectReference, channel: str | None) -> bytes:
    found = identity.find_subject(session, reference)
    if found is None:
        if reference.contact is None:
            raise SubjectUnknownError
        contact = reference.contact
        index = keys.index(session, kind=contact.kind, value=contact.normal)
        return _INDEXED + suppression.address_hash(session, contact) + index
    point = found.point
    if point is None:
        kind = fields.point_kind(channel) if channel else "email"
        own = identity.list_points(session, subject_id=found.subject_id)
        point = next((each for each in own if kind in {None, each.kind}), None)
    if point is None:
        raise SubjectUnknownError
    return _POINT + identifiers.to_uuid(point.id, "cpt").bytes


def _sign(session: Session, purpose: str, secret: bytes) -> str:
    return links.sign_link(keyring_of(session), purpose=purpose, payload=_controller_bytes(session) + secret)


def _read_secret(keyring: Keyring, purpose: str, token: str) -> SecretLink:
    payload = links.read_link(keyring, purpose=purpose, token=token)
    if len(payload) != _UUID_BYTES + _SECRET_BYTES:
        raise LinkInvalidError
    return SecretLink(controller_id=_controller(payload), secret=payload[_UUID_BYTES:])


def _controller(payload: bytes) -> str:
    return identifiers.from_uuid(uuid.UUID(bytes=payload[:_UUID_BYTES]), "ctl")


def _controller_bytes(session: Session) -> bytes:
    return identifiers.to_uuid(controller_of(session), "ctl").bytes


def _host(public_url: str) -> str:
    return urlsplit(public_url).hostname or ""
