"""Answers for the text of API keys and for what is stored of them."""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from consent_service import identifiers
from consent_service.crypto.keyring import Key, Keyring
from consent_service.errors import ApiKeyInvalidError, IdentifierInvalidError

Environment = Literal["live", "demo"]

_KEY_NAME: Final = "api_keys"
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
# 43 characters of base62 are 256 bits.
_SECRET_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_TEXT: Final = re.compile(
    r"(?P<checked>cs_(?P<environment>live|demo)_"
    r"(?P<controller>[0-9A-Z]{26})(?P<key>[0-9A-Z]{26})(?P<secret>[0-9A-Za-z]{43}))"
    r"(?P<checksum>[0-9A-Za-z]{6})",
    re.ASCII,
)
_DOMAIN: Final = b"consent-service api secret v1\0"


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made: its text, shown once, and the hash that is stored."""

    text: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ParsedApiKey:
    """What the text of a key says; it proves nothing before its secret matches."""

    environment: Environment
    controller_id: str
    key_id: str
    secret: str = field(repr=False)


def new_api_key(keyring: Keyring, *, environment: Environment, controller_id: str, key_id: str) -> NewApiKey:
    """Make an API key for a controller (`ctl_…`) and a key record (`key_…`).

    The text carries both ids, so that nothing is looked up before the controller is known, and
    a checksum by which secret scanners recognise a leaked key.
    """
    controller = _canonical_body(controller_id, "ctl")
    key = _canonical_body(key_id, "key")
    secret = "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH))
    checked = f"cs_{environment}_{controller}{key}{secret}"
    return NewApiKey(text=checked + _checksum(checked), secret_hash=api_secret_hash(keyring, secret))


def parse_api_key(text: str) -> ParsedApiKey:
    """Take the text of a key apart; raises ApiKeyInvalidError, which never repeats it."""
    match = _TEXT.fullmatch(text)
    if match is None or _checksum(match["checked"]) != match["checksum"]:
        raise _invalid()
    controller_id, key_id = f"ctl_{match['controller']}", f"key_{match['key']}"
    try:
        canonical = (_canonical_body(controller_id, "ctl"), _canonical_body(key_id, "key"))
    except IdentifierInvalidError:
        raise _invalid() from None
    if canonical != (match["controller"], match["key"]):
        raise _invalid()
    return ParsedApiKey(
        environment=cast("Environment", match["environment"]),
        controller_id=controller_id,
        key_id=key_id,
        secret=match["secret"],
    )


def api_secret_hash(keyring: Keyring, secret: str) -> bytes:
    """Hash a key's secret for storage under the newest key; 256 random bits need no slow hash."""
    return _mac(keyring.newest(_KEY_NAME), secret)


def api_secret_matches(keyring: Keyring, *, secret: str, stored: bytes) -> bool:
    """Compare a secret with a stored hash in constant time, under every key still kept."""
    matches = [hmac.compare_digest(_mac(key, secret), stored) for key in keyring.all(_KEY_NAME)]
    return any(matches)


def _mac(key: Key, secret: str) -> bytes:
    return hmac.new(key.secret, _DOMAIN + secret.encode(), hashlib.sha256).digest()


def _checksum(checked: str) -> str:
    number = zlib.crc32(checked.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _canonical_body(identifier: str, prefix: str) -> str:
    value = identifiers.to_uuid(identifier, prefix)
    return identifiers.from_uuid(value, prefix).removeprefix(f"{prefix}_")


def _invalid() -> ApiKeyInvalidError:
    return ApiKeyInvalidError("this is not an API key of this service")
