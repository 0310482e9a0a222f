"""Writes the leaf of an entry: what the tree hashes, and all of an entry that a stranger is shown.

A leaf has no personal data, no hash of any without a key, and nothing that two entries of one person share
(LOG-08): id, type and time of the entry, and a commitment that opens only with the entry's own key.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from consent_service.crypto import canonical

#: What an entry bundle can hold, in bytes (C2SP tlog-tiles); ours are around two hundred.
MOST_BYTES: Final = 65_535


def leaf_bytes(
    *,
    version: int,
    entry_id: str,
    type: str,  # noqa: A002 - the log's own word
    occurred_at: datetime,
    commit: bytes,
    gap: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the leaf of an entry as canonical JSON (RFC 8785).

    `gap` is what a recovery says in clear about leaves that were lost; no other entry has one.
    """
    leaf: dict[str, Any] = {
        "v": version,
        "id": entry_id,
        "t": type,
        "ts": occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "commit": commit.hex(),
    }
    if gap is not None:
        leaf["gap"] = dict(gap)
    return canonical.canonical_json(leaf)
