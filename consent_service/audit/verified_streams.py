"""Follows the streams of a log through its opened entries: no number is missing, and each names the one before it.

One stream is sealed under one key, so it is erased wholly or not at all: a hole between two entries that open is
always a gap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from consent_service.audit.findings import Findings


@dataclass(slots=True)
class _Stream:
    """How far a stream was followed, what of it came too early, and whether its head was compared."""

    number: int = 0
    commit: bytes = b""
    early: dict[int, tuple[str | None, bytes, str]] = field(default_factory=dict)
    is_compared: bool = False


class StreamCheck:
    """Follows all streams of a log at once; it remembers one number and one commitment of each."""

    def __init__(self, findings: Findings) -> None:
        self._streams: dict[str, _Stream] = {}
        self._findings = findings

    def __len__(self) -> int:
        """Count the streams of which anything could be opened."""
        return len(self._streams)

    def follow(self, payload: Mapping[str, Any], *, commit: bytes, entry_id: str) -> None:
        """Take the next opened entry, in any order; a hole is reported only in the end."""
        name, number, previous = payload.get("stream"), payload.get("number"), payload.get("previous")
        if not isinstance(name, str) or not isinstance(number, int):
            self._findings.add("payload_damaged", entry_id, "the entry does not say where it stands in its stream")
            return
        stream = self._streams.setdefault(name, _Stream())
        if number <= stream.number or number in stream.early:
            self._findings.add("stream_gap", entry_id, f"number {number} of {name} stands there twice")
            return
        stream.early[number] = (previous, commit, entry_id)
        while (following := stream.early.pop(stream.number + 1, None)) is not None:
            self._step(name, stream, *following)

    def compare(self, name: str, *, number: int, commit: bytes) -> bool:
        """Compare a stream with its stored head; what came meanwhile differs too."""
        stream = self._streams.get(name)
        if stream is None:
            return False
        stream.is_compared = True
        return (stream.number, stream.commit) == (number, commit) and not stream.early

    def knows(self, name: str) -> bool:
        """Say whether anything of a stream could be opened."""
        return name in self._streams

    def list_without_head(self) -> list[str]:
        """Name the streams whose stored head was not met."""
        return [name for name, stream in self._streams.items() if not stream.is_compared]

    def report_holes(self) -> None:
        """Report where numbers are missing."""
        for name, stream in self._streams.items():
            if stream.early:
                number = min(stream.early)
                words = f"{name} has no entry from number {stream.number + 1} to {number - 1}"
                self._findings.add("stream_gap", stream.early[number][2], words)

    def list_names(self) -> Iterator[str]:
        """Name every stream of which anything could be opened."""
        yield from self._streams

    def _step(self, name: str, stream: _Stream, previous: str | None, commit: bytes, entry_id: str) -> None:
        if previous != (stream.commit.hex() or None):
            words = f"number {stream.number + 1} of {name} follows another entry than stands there"
            self._findings.add("stream_gap", entry_id, words)
        stream.number += 1
        stream.commit = commit
