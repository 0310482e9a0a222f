"""Writes what is asked as the service reads it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from consent_client.references import SubjectReference

#: What the service takes in one batch; the bytes leave room for what stands around the subjects.
MOST_SUBJECTS: Final = 10_000
MOST_BYTES: Final = 3_900_000
#: The service reads no longer line, and no reference comes near.
_LONGEST_ITEM: Final = 16_000


def whole(members: Mapping[str, object]) -> bytes:
    """Write one JSON object."""
    try:
        return json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Halves of characters, which the service refuses by name when they are written so.
        return json.dumps(members).encode()


def item(subject: SubjectReference, place: int) -> bytes:
    """Write one reference among many, with its place for a name.

    One that would spoil the whole body or cannot be read by the service (halves of characters, NUL, endless) is written
    as one without a way to find anybody: it is answered `invalid_reference`, and nobody else is touched.
    """
    correlation = {"correlation_id": str(place)}
    try:
        written = json.dumps({**subject.as_json(), **correlation}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(correlation).encode()
    if len(written) > _LONGEST_ITEM or b"\\u0000" in written:
        return json.dumps(correlation).encode()
    return written


def batches(subjects: Iterable[SubjectReference]) -> Iterator[list[bytes]]:
    """Divide references into batches that the service takes; each carries its place in its own batch."""
    items: list[bytes] = []
    size = 0
    for subject in subjects:
        written = item(subject, len(items))
        if items and (len(items) == MOST_SUBJECTS or size + len(written) > MOST_BYTES):
            yield items
            items, size = [], 0
            written = item(subject, 0)
        items.append(written)
        size += len(written) + len(",")
    if items:
        yield items


def batch(members: Mapping[str, object], items: Sequence[bytes]) -> bytes:
    """Write the body of a batch."""
    return b'%s, "subjects": [%s]}' % (whole(members).removesuffix(b"}"), b",".join(items))


def moment(value: datetime | None) -> str | None:
    """Write a moment; raises ValueError for one without a zone."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a moment needs its zone")
    return value.isoformat()
