"""Answers for keyed hashes: finding a value again without storing it."""

import hmac
from typing import Final

BLIND_INDEX_BYTES: Final = 16

# Each use begins with words of its own. The blind index has none; no label begins with or
# holds a NUL, so it cannot be mistaken for one of these, nor run into the value.
_HASH_DOMAIN: Final = b"\0consent-service keyed hash v1\0"
_SUPPRESSION_DOMAIN: Final = b"\0consent-service suppression v1\0"


def blind_index(key: bytes, *, kind: str, value: str) -> bytes:
    """Hash a normalised value to the 16 bytes by which it is found again.

    Equal values of one kind match under one key. The secrecy of the key is the whole defence:
    all phone numbers can be tried by whoever has it.
    """
    return _mac(key, _label(kind) + b"\0" + value.encode())[:BLIND_INDEX_BYTES]


def keyed_hash(key: bytes, *, purpose: str, value: bytes) -> bytes:
    """Hash a value to 32 bytes that match only for the same purpose and key."""
    return _mac(key, _HASH_DOMAIN + _label(purpose) + b"\0" + value)


def suppression_hash(key: bytes, *, kind: str, value: str) -> bytes:
    """Hash a normalised value for the list of those who must not be contacted.

    The result outlives erasure and is 32 bytes; it never equals a blind index, even where the
    same key was given by mistake.
    """
    return _mac(key, _SUPPRESSION_DOMAIN + _label(kind) + b"\0" + value.encode())


def _label(text: str) -> bytes:
    if not text or "\0" in text:
        raise ValueError("a kind or purpose is a word without a NUL")
    return text.encode()


def _mac(key: bytes, message: bytes) -> bytes:
    if not key:
        raise ValueError("an unkeyed hash of an address can be reversed by trying them all")
    return hmac.digest(key, message, "sha256")
