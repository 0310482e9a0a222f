"""Answers for link tokens and codes: what we sign into a URL or print in a message.

A signature proves that we made a link; single use is the business of whoever stores the hash of
the secret inside. The text of a token is never a replay key.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from itsdangerous import BadSignature, Signer

from consent_service.crypto.keyring import Key, Keyring
from consent_service.crypto.sealing import derive_key
from consent_service.errors import LinkExpiredError, LinkInvalidError

_KEY_NAME: Final = "links"
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]{43})", re.ASCII)
# Far above our longest token; a longer text is not worth hashing.
_LONGEST_TOKEN: Final = 4096
_LINK_SALT: Final = "consent-service link v1 "
_TIMED_SALT: Final = "consent-service timed link v1 "
_TIME: Final = struct.Struct(">Q")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Clocks of two nodes may differ by this much before a link counts as forged.
_CLOCK_SKEW: Final = timedelta(seconds=60)
_SECRET_BYTES: Final = 32
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)
_CODE_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class TimedLink:
    """What a timed token carried; the payload may hold a secret and is left out of the repr."""

    payload: bytes = field(repr=False)
    signed_at: datetime


def sign_link(keyring: Keyring, *, purpose: str, payload: bytes) -> str:
    """Sign a payload into a URL-safe token that is read for this purpose only.

    The payload is readable by anybody: ids and secrets, never personal data.
    """
    return _sign(keyring, _LINK_SALT + purpose, payload)


def read_link(keyring: Keyring, *, purpose: str, token: str) -> bytes:
    """Read what `sign_link` signed for this purpose, under any key that is still kept.

    Raises LinkInvalidError, which repeats neither token nor payload.
    """
    return _read(keyring, _LINK_SALT + purpose, token)


def sign_timed(keyring: Keyring, *, purpose: str, payload: bytes, at: datetime) -> str:
    """Sign a payload together with the time `at`, to the millisecond."""
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    return _sign(keyring, _TIMED_SALT + purpose, _TIME.pack(milliseconds) + payload)


def read_timed(keyring: Keyring, *, purpose: str, token: str, at: datetime, max_age_seconds: int) -> TimedLink:
    """Read what `sign_timed` signed for this purpose at most `max_age_seconds` before `at`.

    Raises LinkInvalidError where it is not ours or was signed more than 60 s after `at`, and
    LinkExpiredError where it is too old.
    """
    content = _read(keyring, _TIMED_SALT + purpose, token)
    if len(content) < _TIME.size:
        raise _invalid()
    try:
        signed_at = _EPOCH + timedelta(milliseconds=_TIME.unpack_from(content)[0])
    except OverflowError:
        raise _invalid() from None
    if signed_at - at > _CLOCK_SKEW:
        raise _invalid()
    if at - signed_at > timedelta(seconds=max_age_seconds):
        raise LinkExpiredError("this link is too old")
    return TimedLink(payload=content[_TIME.size :], signed_at=signed_at)


def new_secret() -> bytes:
    """Make the 32 random bytes that a single-use link carries."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_hash(secret: bytes) -> bytes:
    """Hash a link's secret for storage; 256 random bits need no key and no slow hash."""
    return hashlib.sha256(secret).digest()


def new_code() -> str:
    """Make a code of 6 random digits for a person to type."""
    return f"{secrets.randbelow(10**_CODE_DIGITS):06}"


def code_hash(keyring: Keyring, *, bound_to: bytes, code: str) -> bytes:
    """Hash a code for storage, bound to the request that it confirms.

    A million codes are tried in a second, so the key is the defence of a stolen hash, and the
    caller's count of tries that of a guess.
    """
    if _CODE.fullmatch(code) is None:
        raise ValueError("a code is 6 digits")
    return _code_mac(keyring.newest(_KEY_NAME), bound_to, code)


def codes_match(keyring: Keyring, *, bound_to: bytes, code: str, stored: bytes) -> bool:
    """Compare a typed code with a stored hash in constant time, under every key still kept."""
    if _CODE.fullmatch(code) is None:
        return False
    matches = [hmac.compare_digest(_code_mac(key, bound_to, code), stored) for key in keyring.all(_KEY_NAME)]
    return any(matches)


def _code_mac(key: Key, bound_to: bytes, code: str) -> bytes:
    # The code has a fixed length, so code and binding cannot run into each other.
    code_key = derive_key(key.secret, info="consent-service code v1")
    return hmac.new(code_key, code.encode() + bound_to, hashlib.sha256).digest()


def _sign(keyring: Keyring, salt: str, content: bytes) -> str:
    return _signer(keyring, salt).sign(_encode(content)).decode()


def _read(keyring: Keyring, salt: str, token: str) -> bytes:
    match = _TOKEN.fullmatch(token) if len(token) <= _LONGEST_TOKEN else None
    if match is None or not (_is_canonical(match[1]) and _is_canonical(match[2])):
        raise _invalid()
    try:
        return _decode(_signer(keyring, salt).unsign(token).decode())
    except BadSignature:
        # The library's error holds the payload; it must not reach a log as a cause.
        raise _invalid() from None


def _signer(keyring: Keyring, salt: str) -> Signer:
    # Its defaults are SHA-1 and one salt for everybody. The last key of the list signs.
    return Signer(
        [key.secret for key in keyring.all(_KEY_NAME)],
        salt=salt,
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


def _is_canonical(text: str) -> bool:
    # Spare bits of the last character make several texts decode alike; one is ours.
    try:
        return _encode(_decode(text)).decode() == text
    except binascii.Error:
        return False


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _invalid() -> LinkInvalidError:
    return LinkInvalidError("this link is not one of ours")
