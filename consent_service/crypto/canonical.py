"""Answers for one spelling per value: canonical JSON (RFC 8785), and commitments to it."""

import hashlib
import hmac
import json
from typing import Final

# RFC 8785 §3.2.2.3 writes numbers as IEEE doubles; beyond this they lose digits.
_LARGEST_INTEGER: Final = (1 << 53) - 1
_ENTRY_KEY_BYTES: Final = 32


def canonical_json(value: object) -> bytes:
    """Write a value of str, int, bool, None, list and dict in its one canonical form.

    Raises TypeError for anything else, floats included, and ValueError for integers beyond
    2^53 - 1 and for text that is not valid Unicode.
    """
    text = json.dumps(_ordered(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def commitment(entry_key: bytes, payload: bytes) -> bytes:
    """Commit to a payload without telling it: 32 bytes under a random 32-byte entry key.

    Whoever is given key and payload can check it; once the key is destroyed nobody can guess
    what was committed to.
    """
    if len(entry_key) != _ENTRY_KEY_BYTES:
        raise ValueError("an entry key has 32 bytes")
    return hmac.new(entry_key, payload, hashlib.sha256).digest()


def _ordered(value: object) -> object:
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) > _LARGEST_INTEGER:
                raise ValueError("canonical JSON holds integers up to 2^53 - 1")
            return value
        case list():
            return [_ordered(item) for item in value]
        case dict():
            return {key: _ordered(value[key]) for key in sorted(value, key=_utf16)}
    raise TypeError(f"canonical JSON holds no {type(value).__name__}")


def _utf16(key: object) -> bytes:
    # RFC 8785 §3.2.3 sorts by UTF-16 code units; Python would sort by code points.
    if not isinstance(key, str):
        raise TypeError("keys of canonical JSON are text")
    return key.encode("utf-16-be")
