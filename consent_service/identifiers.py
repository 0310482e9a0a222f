"""Answers for ids: a prefix that names the kind, and 128 bits in Crockford base32."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from consent_service.errors import IdentifierInvalidError

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aud": "audit entry",
        "con": "declaration",
        "cpt": "contact point",
        "ctl": "controller",
        "dec": "decision",
        "evd": "evidence",
        "evt": "event",
        "exp": "export",
        "frm": "form",
        "key": "API key",
        "led": "ledger entry",
        "ntc": "notice version",
        "ntd": "notice delivery",
        "obj": "objection",
        "obx": "outbox message",
        "opr": "operator",
        "pur": "purpose",
        "rcp": "recipient",
        "rel": "customer relation",
        "req": "sign-up request",
        "rvk": "revocation",
        "sub": "subject",
        "whk": "webhook endpoint",
        "wsh": "reservation wash",
    }
)

# These ids are shown to the public or name a person: the time in a UUIDv7 would tell
# when that person signed up.
_RANDOM_PREFIXES: Final = frozenset({"sub", "frm", "req"})

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TEXT_LENGTH: Final = 26
#: Every two digits, for ten bits at a time.
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_PAIR_SHIFTS: Final = range(10 * (_TEXT_LENGTH // 2 - 1), -1, -10)
# What `int` reads as base 32, by our digits in either case. O, I and L are Crockford's aliases: what people write when
# they copy an id by hand. U is no digit of his.
_PLAIN_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv"
_TO_PLAIN: Final = bytes.maketrans(
    _ALPHABET.encode() + _ALPHABET[10:].lower().encode() + b"OoIiLlUu",
    _PLAIN_DIGITS + _PLAIN_DIGITS[10:] + b"001111--",
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BITS: Final = 128
_TAG_BITS: Final = 32
_LAST_MILLISECOND: Final = (1 << 48) - 1


def new_id(prefix: str, *, at: datetime | None = None) -> str:
    """Make an id of the kind that `prefix` names.

    `sub`, `frm` and `req` are 128 random bits. All others are UUIDv7 (RFC 9562 §5.7)
    and need `at`, with a time zone. Raises ValueError where it is missing.
    """
    _demand_known(prefix)
    if prefix in _RANDOM_PREFIXES:
        return f"{prefix}_{_encode(secrets.randbits(_BITS))}"
    if at is None:
        raise ValueError(f"{prefix} ids are ordered by time and need `at`")
    return f"{prefix}_{_encode(_uuid7(at))}"


def lowest_id(prefix: str, *, at: datetime) -> str:
    """Return the id before which all ids of this kind stand that were made before the millisecond of `at`.

    It narrows a search for ids that are ordered by time. A moment that no UUIDv7 can tell stands at either end.
    """
    _demand_known(prefix)
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    return f"{prefix}_{_encode(min(max(milliseconds, 0), _LAST_MILLISECOND) << 80)}"


def new_form_id(controller_tag: int) -> str:
    """Make a form id that carries the controller's 32-bit tag before 96 random bits.

    A form is looked up before its controller is known; the tag says whose it is.
    """
    if not 0 <= controller_tag < 1 << _TAG_BITS:
        raise ValueError("a controller tag has 32 bits")
    random_bits = _BITS - _TAG_BITS
    number = controller_tag << random_bits | secrets.randbits(random_bits)
    return f"frm_{_encode(number)}"


def form_controller_tag(form_id: str) -> int:
    """Read the controller's tag from a form id; raises IdentifierInvalidError."""
    return to_uuid(form_id, "frm").int >> (_BITS - _TAG_BITS)


def to_uuid(text: str, prefix: str) -> uuid.UUID:
    """Read an id of the kind that `prefix` names.

    Accepts lower case and Crockford's aliases I, L (1) and O (0), so compare UUIDs and
    not texts. Raises IdentifierInvalidError, which never repeats the text.
    """
    _demand_known(prefix)
    body = text.removeprefix(f"{prefix}_")
    if len(text) != len(prefix) + 1 + _TEXT_LENGTH or len(body) != _TEXT_LENGTH:
        raise IdentifierInvalidError(f"this is not an id that begins with {prefix}_ and has 26 more characters")
    plain = body.encode("utf-8", "replace").translate(_TO_PLAIN)
    # By itself `int` would also take signs, spaces and underscores.
    if not plain.isalnum():
        raise IdentifierInvalidError(f"this {prefix}_ id has a character outside Crockford base32")
    number = int(plain, 32)
    if number >> _BITS:
        raise IdentifierInvalidError(f"this {prefix}_ id has more than 128 bits")
    return uuid.UUID(int=number)


def from_uuid(value: uuid.UUID, prefix: str) -> str:
    """Write the one canonical text of an id, in upper case."""
    _demand_known(prefix)
    return f"{prefix}_{_encode(value.int)}"


def _demand_known(prefix: str) -> None:
    if prefix not in PREFIXES:
        raise ValueError(f"{prefix!r} names no kind of id")


def _encode(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _PAIR_SHIFTS])


def _uuid7(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("`at` needs a time zone")
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds <= _LAST_MILLISECOND:
        raise ValueError("`at` is outside the years that a UUIDv7 can tell")
    version, variant = 0x7, 0b10
    return milliseconds << 80 | version << 76 | secrets.randbits(12) << 64 | variant << 62 | secrets.randbits(62)
