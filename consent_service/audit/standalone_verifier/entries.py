"""Follows the entries of a log in their order: each once, opened as committed to, and next in its stream."""

import binascii
import collections
import hmac
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from consent_service.audit.standalone_verifier.bundles import (
    ERASED,
    HASH,
    LEAF,
    MOST_BYTES,
    OPENED,
    UNREADABLE,
    Bundle,
    canonical,
    entry_of,
    read_gap,
)
from consent_service.audit.standalone_verifier.findings import DAMAGED, Findings
from consent_service.audit.standalone_verifier.papers import Papers
from consent_service.audit.standalone_verifier.signatures import FindingError, Head, Key
from consent_service.audit.standalone_verifier.streams import Streams

BUCKETS: Final = 1 << 14
DECODER: Final = json.JSONDecoder()
NO_HASH: Final = "0" * 64


@dataclass(slots=True)
class Epoch:
    """What is known of one epoch of a log, and what was counted in it."""

    number: int
    newest: Head
    heads: list[Head]
    keys: list[Key] = field(default_factory=list)
    #: Index, leaf, proof and checkpoint of each entry, where the bundle holds proofs instead of tiles.
    proved: list[tuple[int, bytes, list[bytes], Head]] = field(default_factory=list)
    #: How many leaves the bundle holds, and how many of them the log kept when it was recovered.
    size: int = 0
    kept: int = 0
    #: The largest size that a checkpoint here or the recovery may speak of.
    most: int = 0
    counts: collections.Counter[str] = field(default_factory=collections.Counter)


class Entries:
    """What the entries so far demand of the next one."""

    def __init__(self, bundle: Bundle, findings: Findings, *, is_evidence: bool) -> None:
        self.gaps: list[dict[str, Any]] = []
        self._bundle, self._findings = bundle, findings
        self._ids = [bytearray() for _ in range(BUCKETS)]
        self.streams = Streams(findings, is_evidence=is_evidence)
        self.papers = Papers(bundle, findings)
        self._openings = self._read_openings()
        self._opening = next(self._openings, None)

    def take(self, epoch: Epoch, index: int, leaf: bytes) -> None:
        """Take the next entry: in its one form, here once, and opened as committed to where it is opened."""
        found = LEAF.fullmatch(leaf)
        if found is None or found[4] == b"log.recovered":
            with self._findings.noting(index, entry_of(leaf)):
                if (gap := read_gap(leaf)) is not None:
                    self.gaps.append({"epoch": epoch.number, "index": index, "entry": entry_of(leaf), "gap": gap})
        if found is None or index >= epoch.kept:
            return
        commit, _, name, _ = found.groups()
        bucket = self._ids[hash(name) % BUCKETS]
        if bucket.find(name) >= 0:
            self._findings.add("leaf_twice", "this entry is in the log before", index, name.decode())
        bucket += name
        if self._opening is None or self._opening[0] != name:
            epoch.counts["not_supplied"] += 1
        else:
            _, key, text = self._opening
            self._opening = next(self._openings, None)
            if not key:
                epoch.counts["erased"] += 1
            else:
                try:
                    self._open(epoch, index, found, key, text)
                    return
                except FindingError as problem:
                    what, says = problem.args
                    self._findings.add(what, says, index, name.decode())
        self.streams.close(commit)

    def finish(self) -> None:
        """Find what is left over when all entries are taken."""
        self.streams.finish()
        self.papers.finish()
        if self._opening is not None:
            name, count = self._opening[0].decode(), 1 + sum(1 for _ in self._openings)
            self._findings.add(
                "entry_missing", f"{count} openings have no entry in the log in their order, first this", None, name
            )
        if unread := sorted(self._bundle.unread):
            self._findings.add(
                "entry_extra", f"{len(unread)} files under log/ belong to no checkpoint, such as {unread[0]}"
            )

    def _open(self, epoch: Epoch, index: int, leaf: re.Match[bytes], key: bytes, text: bytes) -> None:
        """Check a payload against its commitment, and its place in its stream; raises FindingError."""
        commit, _, name, kind = leaf.groups()
        # Runs a million times: what a context manager would cost is worth two lines.
        try:
            written = text.decode()
            payload, _ = DECODER.raw_decode(written)
            if hmac.digest(key, payload.encode(), "sha256") != binascii.unhexlify(commit):
                raise FindingError("commitment_mismatch", "its payload is not what was committed to")
            facts, _ = DECODER.raw_decode(payload)
            number, previous = facts["number"], facts["previous"]
            # In canonical form nothing stands behind the value, and nothing in it is said twice.
            is_whole = canonical(payload) == written and canonical(facts) == payload and facts["type"] == kind.decode()
            is_whole = is_whole and type(number) is int and number > 0 and (previous is None) == (number == 1)
            if not (is_whole and isinstance(facts["stream"], str) and HASH.fullmatch(previous or NO_HASH)):
                raise ValueError("no payload of an entry")
        except DAMAGED as error:
            raise FindingError("payload_damaged", "its payload is not written as it must be") from error
        epoch.counts["opened"] += 1
        self.papers.take(facts)
        place = (index, name.decode(), epoch.number)
        self.streams.follow(facts["stream"], number, previous, commit, place=place)

    def _read_openings(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield id, key (empty where erased) and payload of each opening, in the order of the tree."""
        try:
            with self._bundle.open("openings.jsonl") as file:
                lines = io.BufferedReader(cast("io.RawIOBase", file), MOST_BYTES)
                number = 0
                while line := lines.readline(MOST_BYTES):
                    number += 1
                    if found := OPENED.fullmatch(line):
                        yield found[1], binascii.unhexlify(found[2]), found[3]
                    elif found := ERASED.fullmatch(line):
                        yield found[1] or found[2], b"", b""
                    else:
                        self._findings.add(
                            "payload_damaged", f"line {number} of openings.jsonl is not written as it must be"
                        )
        except UNREADABLE:
            self._findings.add("truncated", "openings.jsonl is missing, damaged or cut off")
