"""Writes the part of a bundle that a stranger verifies: checkpoints, proofs or tiles, entries, and their openings.

What a bundle looks like is said in docs/audit-bundles.md; verify.py, which lies in each, reads nothing else. Openings
stand in the order of the tree.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import checkpoints, logs, merkle, openings, standalone_verifier, tiles
from consent_service.audit.logs import Log, Place, SignedHead
from consent_service.audit.merkle import HASH_BYTES, TILE_WIDTH, ReadTile
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditLeaf
from consent_service.audit.openings import Opening, SealedEntry
from consent_service.crypto import canonical
from consent_service.db.session import controller_of
from consent_service.errors import LogUnknownError

__all__ = [
    "OPENINGS",
    "TILE_WIDTH",
    "BundleFile",
    "SignedLog",
    "head_files",
    "in_order",
    "opened",
    "opening_line",
    "proof_files",
    "signed_logs",
    "tile_files",
    "verifier",
]

VERIFIER: Final = "verify.py"
OPENINGS: Final = "openings.jsonl"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle."""

    path: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedLog:
    """An epoch of a log with its newest signed head, which a bundle ends at."""

    log: Log
    head: SignedHead

    def path(self, name: str) -> str:
        """Return where a file of this epoch lies in a bundle."""
        return f"log/e{self.log.epoch}/{name}"


def verifier() -> BundleFile:
    """Return verify.py."""
    return BundleFile(VERIFIER, standalone_verifier.program().encode())


def signed_logs(session: Session) -> tuple[SignedLog, ...]:
    """Return every epoch of the log with its newest signed head; raises LogUnknownError where there is none yet."""
    found = tuple(
        SignedLog(log, head)
        for log in logs.list_epochs(session)
        if (head := logs.find_checkpoint(session, log)) is not None and head.size
    )
    if not found:
        raise LogUnknownError("no head of this log was signed yet")
    return found


def head_files(session: Session, signed: SignedLog, *, with_proofs: bool) -> Iterator[BundleFile]:
    """Give the key, the newest checkpoint and the last one of each day before, proved to have grown where asked."""
    log, newest = signed.log, signed.head
    yield BundleFile(signed.path("vkey.txt"), f"{log.vkey}\n".encode())
    yield BundleFile(signed.path("checkpoint"), newest.text.encode())
    read = logs.reader(session, log)
    for head in logs.list_daily_checkpoints(session, log):
        if 0 < head.size < newest.size:
            day = f"{head.signed_at.astimezone(UTC):%Y-%m-%d}"
            yield BundleFile(signed.path(f"checkpoints/{day}.txt"), head.text.encode())
            if with_proofs:
                hashes = merkle.prove_consistency(head.size, newest.size, read)
                text = checkpoints.write_hashes(hashes)
                yield BundleFile(signed.path(f"consistency/{head.size}.txt"), text.encode())


def proof_files(session: Session, signed: SignedLog, *, indexes: Collection[int]) -> Iterator[BundleFile]:
    """Give leaf and inclusion proof of some entries of an epoch, and always of its first.

    The first entry of an epoch says what was lost before it, and without any proof a bundle would prove no tree at all.
    """
    read = logs.reader(session, signed.log)
    for index in sorted({0, *indexes}):
        [placed] = logs.list_leaves(session, signed.log, first=index, limit=1)
        proof = merkle.prove_inclusion(index, signed.head.size, read)
        text = checkpoints.write_proof(index, proof, signed.head.text)
        yield BundleFile(signed.path(f"proofs/{placed.entry_id}.tlog-proof"), text.encode())
        yield BundleFile(signed.path(f"entries/{placed.entry_id}.json"), placed.leaf)


def tile_files(session: Session, signed: SignedLog, *, first: int, limit: int) -> Iterator[BundleFile]:
    """Give the bundles of entries and the tiles of hashes under up to `limit` tiles of level 0, from number `first` on.

    A tile of an upper level comes with the last tile below it.
    """
    size, read = signed.head.size, logs.reader(session, signed.log)
    end = min((first + limit) * TILE_WIDTH, size)
    for place in tiles.tiles_of(end, since=first * TILE_WIDTH):
        if place.width == TILE_WIDTH:
            yield from _tile(session, signed, place, read)
    if end == size:
        # What is not full is whole only now.
        for place in tiles.tiles_of(size):
            if place.width < TILE_WIDTH:
                yield from _tile(session, signed, place, read)


def opened(session: Session, signed: SignedLog, *, first: int, limit: int) -> bytes:
    """Return the lines of openings.jsonl for up to `limit` entries of an epoch, from index `first` on."""
    limit = min(limit, signed.head.size - first)
    about = AuditEntryAbout
    rows = session.execute(
        select(AuditEntry.id, AuditEntry.sealed_for, AuditEntry.sealed, AuditEntry.commit, about.subject_id)
        .join(AuditLeaf, (AuditLeaf.controller_id == AuditEntry.controller_id) & (AuditLeaf.entry_id == AuditEntry.id))
        .outerjoin(about, (about.controller_id == AuditEntry.controller_id) & (about.entry_id == AuditEntry.id))
        .where(
            AuditLeaf.controller_id == controller_of(session),
            AuditLeaf.epoch == signed.log.epoch,
            AuditLeaf.index >= first,
            AuditLeaf.index < first + limit,
        )
        .order_by(AuditLeaf.index)
    ).all()
    found = openings.open_entries(
        session,
        [
            SealedEntry(
                entry_id=row.id,
                sealed_for=row.sealed_for,
                subject_id=row.subject_id,
                commit=row.commit,
                sealed=row.sealed,
            )
            for row in rows
        ],
    )
    return b"".join(opening_line(row.id, found[row.id]) for row in rows)


def opening_line(entry_id: str, opening: Opening) -> bytes:
    """Return the line of openings.jsonl that opens an entry or says that it was erased; none for a damaged one."""
    if opening.entry_key is not None and opening.plaintext is not None:
        line = {"id": entry_id, "key": opening.entry_key.hex(), "payload": opening.plaintext.decode()}
        return canonical.canonical_json(line) + b"\n"
    return canonical.canonical_json({"id": entry_id, "erased": True}) + b"\n" if opening.status == "erased" else b""


def in_order(places: Mapping[str, Place | None], signed: Sequence[SignedLog]) -> list[str]:
    """Return the entries that stand under a signed head, in the order of the tree."""
    sizes = {each.log.epoch: each.head.size for each in signed}
    proved = [
        (place, entry_id)
        for entry_id, place in places.items()
        if place is not None and place.index < sizes.get(place.epoch, 0)
    ]
    return [entry_id for _, entry_id in sorted(proved)]


def _tile(session: Session, signed: SignedLog, place: tiles.Place, read: ReadTile) -> Iterator[BundleFile]:
    level = place.level or 0
    if level == 0:
        leaves = logs.list_leaves(session, signed.log, first=place.number * TILE_WIDTH, limit=place.width)
        bundle = tiles.Place(None, place.number, place.width)
        yield BundleFile(signed.path(bundle.path), tiles.write_bundle([each.leaf for each in leaves]))
    yield BundleFile(signed.path(place.path), read(level, place.number)[: place.width * HASH_BYTES])
