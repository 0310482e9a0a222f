"""Answers for sealed values: AES-256-GCM, bound to the one place where a value may stand.

A sealed value is `version(1) algorithm(1) key version(4) nonce(12) ciphertext tag(16)`. What it
is bound to (controller, table, column, row, key version) is authenticated and not stored.
"""

import secrets
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from consent_service.crypto.keyring import Key
from consent_service.errors import SealBrokenError

KEY_BYTES: Final = 32

_VERSION: Final = 1
# The algorithm also says what is inside, so that a wrapped key never opens as a field.
_FIELD: Final = 1
_WRAPPED_KEY: Final = 2
_INFO: Final = {_FIELD: "consent-service field v1", _WRAPPED_KEY: "consent-service key wrap v1"}
_HEADER: Final = struct.Struct(">BBI")
_LENGTH: Final = struct.Struct(">I")
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SMALL_CLASSES: Final = (64, 128, 256, 512, 1024)
_MAX_KEY_VERSION: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Context:
    """The one place where a sealed value may stand; no part of it may be empty."""

    controller_id: str
    table: str
    column: str
    row_id: str

    def __post_init__(self) -> None:
        """Refuse an empty part: it would let a value move along that axis."""
        if not (self.controller_id and self.table and self.column and self.row_id):
            raise ValueError("a context names controller, table, column and row")


def random_key() -> bytes:
    """Make 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def derive_key(key: bytes, *, info: str) -> bytes:
    """Derive a key for one use from a random key (HKDF-Expand, RFC 5869 §2.3)."""
    _demand_key(key)
    return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info.encode()).derive(key)


def seal(key: bytes, plaintext: bytes, *, context: Context, key_version: int = 1) -> bytes:
    """Seal a value for its place, padded so that its size tells only a length class.

    `key_version` is written in front of it and says later which key opens it (GDPR Art. 32).
    """
    return _encrypt(key, _pad(plaintext), _FIELD, key_version, context)


def unseal(key: bytes, sealed: bytes, *, context: Context) -> bytes:
    """Open a value in its place; raises SealBrokenError where anything does not fit."""
    return _unpad(_decrypt(key, sealed, _FIELD, context))


def key_version_of(sealed: bytes) -> int:
    """Read which version of its key seals a value.

    It is not authenticated before the value is opened. Raises SealBrokenError where this is
    not a sealed value.
    """
    return _read_header(sealed)[1]


def wrap_key(kek: Key, key: bytes, *, context: Context) -> bytes:
    """Seal a 32-byte key under a key-encryption key; needs no padding."""
    _demand_key(key)
    return _encrypt(kek.secret, key, _WRAPPED_KEY, kek.version, context)


def unwrap_key(kek: Key, wrapped: bytes, *, context: Context) -> bytes:
    """Open a wrapped key; raises SealBrokenError where anything does not fit."""
    if key_version_of(wrapped) != kek.version:
        raise SealBrokenError("the key was wrapped under another version")
    return _decrypt(kek.secret, wrapped, _WRAPPED_KEY, context)


def _encrypt(key: bytes, plaintext: bytes, algorithm: int, key_version: int, context: Context) -> bytes:
    if not 1 <= key_version <= _MAX_KEY_VERSION:
        raise ValueError("a key version is a positive 32-bit number")
    header = _HEADER.pack(_VERSION, algorithm, key_version)
    # A random nonce is safe far beyond the number of values that one subject's key seals.
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = AESGCM(_field_key(key, algorithm, context))
    return header + nonce + cipher.encrypt(nonce, plaintext, _bound_to(header, context))


def _decrypt(key: bytes, sealed: bytes, algorithm: int, context: Context) -> bytes:
    header = sealed[: _HEADER.size]
    if _read_header(sealed)[0] != algorithm:
        raise SealBrokenError("a sealed value and a wrapped key are not the same thing")
    nonce = sealed[_HEADER.size : _HEADER.size + _NONCE_BYTES]
    body = sealed[_HEADER.size + _NONCE_BYTES :]
    try:
        cipher = AESGCM(_field_key(key, algorithm, context))
        return cipher.decrypt(nonce, body, _bound_to(header, context))
    except InvalidTag:
        raise SealBrokenError(f"a sealed value of {context.table}.{context.column} does not open here") from None


def _field_key(key: bytes, algorithm: int, context: Context) -> bytes:
    return derive_key(key, info=f"{_INFO[algorithm]}|{context.table}.{context.column}")


def _bound_to(header: bytes, context: Context) -> bytes:
    # Length prefixes keep ("ab", "c") and ("a", "bc") apart.
    parts = (
        header,
        context.controller_id.encode(),
        context.table.encode(),
        context.column.encode(),
        context.row_id.encode(),
    )
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _read_header(sealed: bytes) -> tuple[int, int]:
    if len(sealed) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
        raise SealBrokenError("this is too short for a sealed value")
    version, algorithm, key_version = _HEADER.unpack_from(sealed)
    if version != _VERSION or algorithm not in _INFO:
        raise SealBrokenError("this is not a sealed value, or one of a later version")
    return algorithm, key_version


def _pad(plaintext: bytes) -> bytes:
    framed = _LENGTH.pack(len(plaintext)) + plaintext
    fitting = (size for size in _SMALL_CLASSES if size >= len(framed))
    largest = _SMALL_CLASSES[-1]
    size = next(fitting, -(-len(framed) // largest) * largest)
    return framed.ljust(size, b"\0")


def _unpad(padded: bytes) -> bytes:
    # The tag has vouched for these bytes: a wrong frame means another writer, not an attacker.
    framed = len(padded) >= _LENGTH.size
    length = _LENGTH.unpack_from(padded)[0] if framed else 0
    plaintext = padded[_LENGTH.size : _LENGTH.size + length]
    if not framed or _pad(plaintext) != padded:
        raise SealBrokenError("a sealed value opened and is not framed as one of ours")
    return plaintext


def _demand_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError("a key has 32 bytes")
