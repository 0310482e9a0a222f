"""Reads and writes single values in PostgreSQL's binary form, where a driver's cursor would cost more than the work."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson

UUID_TYPE: Final = 2950
TEXT_TYPE: Final = 25
TEXTS_TYPE: Final = 1009
BYTES_TYPE: Final = 17
MOMENT_TYPE: Final = 1184
TRUE: Final = b"\x01"

# Microseconds since the year 2000, in UTC.
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBER: Final = struct.Struct("!q")
_LENGTH: Final = struct.Struct("!i")
_SMALL_NUMBER: Final = struct.Struct("!h")
# Dimensions, whether any element is null, the elements' type, how many there are, and the number of the first.
_ARRAY: Final = struct.Struct("!iiiii")
_EMPTY: Final = struct.Struct("!iii")
_JSONB_VERSION: Final = 1

NO_TEXTS: Final = _EMPTY.pack(0, 0, TEXT_TYPE)


def from_moment(moment: datetime) -> bytes:
    """Write a timestamptz."""
    return _NUMBER.pack((moment - _EPOCH) // _MICROSECOND)


def to_moment(column: bytes) -> datetime:
    """Read a timestamptz; raises OverflowError for infinity, which no row of ours holds."""
    return _EPOCH + timedelta(microseconds=_NUMBER.unpack(column)[0])


def to_moments(column: bytes) -> list[datetime]:
    """Read a timestamptz[] of one dimension without nulls."""
    count = _ARRAY.unpack_from(column)[3]
    step = _LENGTH.size + _NUMBER.size
    start = _ARRAY.size + _LENGTH.size
    return [to_moment(column[start + step * place : start + step * place + _NUMBER.size]) for place in range(count)]


@lru_cache(maxsize=64)
def from_texts(texts: Sequence[str]) -> bytes:
    """Write a text[]; what is asked for again and again is written once."""
    if not texts:
        return NO_TEXTS
    encoded = [text.encode() for text in texts]
    head = _ARRAY.pack(1, 0, TEXT_TYPE, len(encoded), 1)
    return head + b"".join(_LENGTH.pack(len(each)) + each for each in encoded)


def to_uuid(column: bytes) -> UUID:
    """Read a uuid."""
    return UUID(bytes=column)


def to_text(column: bytes) -> str:
    """Read a text."""
    return column.decode()


def to_flag(column: bytes) -> bool:
    """Read a boolean."""
    return column == TRUE


def to_small_number(column: bytes) -> int:
    """Read a smallint."""
    number: int = _SMALL_NUMBER.unpack(column)[0]
    return number


def to_document(column: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read a jsonb; raises ValueError for a form that is not known."""
    if column[0] != _JSONB_VERSION:
        raise ValueError("this jsonb is in a form that is not known here")
    return orjson.loads(column[1:])
