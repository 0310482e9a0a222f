"""What of a log is shown to outsiders: its tiles, entries and proofs up to its newest signed head, and nothing beyond.

What was placed and is not under a signature yet can still be lost with the database; whoever was shown it would hold
something that the log never stood for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import checkpoints, logs, merkle, tiles
from consent_service.audit.logs import Log, SignedHead
from consent_service.audit.models import AuditEntry, AuditLeaf
from consent_service.audit.tiles import Place
from consent_service.db.session import controller_of
from consent_service.errors import (
    AuditEntryUnknownError,
    EntryWaitsError,
    LogUnknownError,
    ProofInvalidError,
    TileUnknownError,
)


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """One epoch of a log with the signed head that vouches for what is shown of it."""

    log: Log
    head: SignedHead


@dataclass(frozen=True, slots=True)
class EpochSummary:
    """One epoch of a log; `head` is its newest signed head, `gap` what the epoch before it lost."""

    log: Log
    head: SignedHead | None
    gap: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Consistency:
    """The proof that a tree of `size` leaves begins with the one of `old_size`."""

    old_size: int
    size: int
    hashes: tuple[bytes, ...]


def get(session: Session, *, epoch: int | None = None) -> PublishedLog:
    """Get the log as far as it is signed, or an earlier epoch of it; raises LogUnknownError before the first head."""
    log = logs.get(session, epoch=epoch)
    head = logs.find_checkpoint(session, log)
    if head is None:
        raise LogUnknownError("no head of this log was signed yet")
    if head.size > log.size:
        # The head was signed after the tree had been read.
        log = logs.get(session, epoch=log.epoch)
    return PublishedLog(log, head)


def list_epochs(session: Session) -> tuple[EpochSummary, ...]:
    """Return every epoch of the log, oldest first; all but the first say what was lost before them, for ever."""
    gaps = _gaps(session)
    return tuple(
        EpochSummary(log, logs.find_checkpoint(session, log), gaps.get(log.epoch)) for log in logs.list_epochs(session)
    )


def tile(session: Session, published: PublishedLog, place: Place) -> bytes:
    """Return the hashes of a tile or the bundle of its entries (C2SP tlog-tiles).

    Raises TileUnknownError where the signed tree does not reach so far, and TileInvalidError where the log is damaged.
    """
    level = place.level or 0
    first = place.number * merkle.TILE_WIDTH
    if first + place.width > published.head.size >> merkle.TILE_HEIGHT * level:
        raise TileUnknownError
    if place.level is None:
        found = logs.list_leaves(session, published.log, first=first, limit=place.width)
        return tiles.write_bundle([each.leaf for each in found])
    hashes = logs.read_tile(session, published.log, level=level, number=place.number)
    return hashes[: place.width * merkle.HASH_BYTES]


def prove(session: Session, *, entry_id: str) -> str:
    """Return the proof that an entry is in the log, with its leaf as extra data (C2SP tlog-proof).

    With the public key of the log it can be verified by itself. Raises AuditEntryUnknownError where there is no such
    entry, and EntryWaitsError where it has no place yet, or no head has been signed since it has one.
    """
    stands = logs.find_place(session, entry_id=entry_id)
    if stands is None:
        raise EntryWaitsError if _exists(session, entry_id) else AuditEntryUnknownError
    try:
        published = get(session, epoch=stands.epoch)
    except LogUnknownError:
        raise EntryWaitsError from None
    if stands.index >= published.head.size:
        raise EntryWaitsError
    proof = merkle.prove_inclusion(stands.index, published.head.size, logs.reader(session, published.log))
    (placed,) = logs.list_leaves(session, published.log, first=stands.index, limit=1)
    return checkpoints.write_proof(stands.index, proof, published.head.text, placed.leaf)


def prove_consistency(
    session: Session, published: PublishedLog, *, old_size: int, size: int | None = None
) -> Consistency:
    """Prove that the signed tree, or the one it was at `size`, begins with the one of `old_size` leaves.

    Raises ProofInvalidError where `size` is beyond the signed tree, or `old_size` beyond `size`.
    """
    until = published.head.size if size is None else size
    if until > published.head.size:
        raise ProofInvalidError(f"no tree of {until} leaves is signed")
    hashes = merkle.prove_consistency(old_size, until, logs.reader(session, published.log))
    return Consistency(old_size, until, hashes)


def _exists(session: Session, entry_id: str) -> bool:
    known = select(AuditEntry.id).where(AuditEntry.controller_id == controller_of(session), AuditEntry.id == entry_id)
    return session.scalar(known) is not None


def _gaps(session: Session) -> Mapping[int, Mapping[str, Any]]:
    """Read what the first leaf of each epoch says that was lost."""
    rows = session.execute(
        select(AuditLeaf.epoch, AuditEntry.gap)
        .join(
            AuditEntry,
            (AuditEntry.controller_id == AuditLeaf.controller_id) & (AuditEntry.id == AuditLeaf.entry_id),
        )
        .where(AuditLeaf.controller_id == controller_of(session), AuditLeaf.index == 0, AuditEntry.gap.is_not(None))
    )
    return {row.epoch: row.gap for row in rows}
