"""Says what a restored database has lost of its log, and lets the log go on in an epoch that names the loss for ever.

What was signed is never taken back, and a log never shrinks: the head that lies outside stays where it is, and an
entry that names it is the first of the next epoch. Acts whose entries are lost did not happen for this database.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import logs, merkle, publisher, sequencer, tiles, trail
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.logs import Log
from consent_service.audit.merkle import TILE_HEIGHT, TILE_WIDTH, ReadTile
from consent_service.audit.models import AuditEntry
from consent_service.audit.outside_copy import LogCopy
from consent_service.audit.tiles import Place
from consent_service.audit.trail import Actor
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import controller_of
from consent_service.errors import (
    FieldProblem,
    IdentifierInvalidError,
    InvalidInputError,
    LogCopyError,
    NothingToRecoverError,
    TileInvalidError,
)

#: Returns where an epoch of the log lies outside.
FindCopy = Callable[[int], LogCopy]

TYPE: Final = "log.recovered"
_STREAM: Final = "log"


@dataclass(frozen=True, slots=True)
class LostEntries:
    """What lies outside and is not in the database: entries by type, and the first and last moment of them.

    `spared` are those that lie outside beyond the end of the log and are in the database all the same, without a place;
    `unread` those of which nothing lies outside that could be believed.
    """

    types: Mapping[str, int]
    first_at: str | None
    last_at: str | None
    spared: int
    unread: int

    @property
    def count(self) -> int:
        """How many are known to be lost."""
        return sum(self.types.values())


@dataclass(frozen=True, slots=True)
class Loss:
    """What is left of a refused log, and the last signed head of it that is known.

    `is_copied` says that the head lies outside, and `is_prefix` that the copy proves what is left to be its beginning.
    `later` are the heads of epochs that only lie outside.
    """

    log: Log
    head: Checkpoint
    is_copied: bool
    is_prefix: bool
    later: tuple[Checkpoint, ...]
    lost: LostEntries

    @property
    def next_epoch(self) -> int:
        """The epoch in which the log goes on."""
        return self.log.epoch + len(self.later) + 1

    @property
    def gap(self) -> dict[str, Any]:
        """What the first leaf of the next epoch says in clear."""
        gap: dict[str, Any] = {
            **_named(self.head),
            "kept": self.log.size,
            "finding": self.log.refused,
            "is_prefix": self.is_prefix,
        }
        return gap | ({"later": [_named(head) for head in self.later]} if self.later else {})


def assess(session: Session, *, find_copy: FindCopy) -> Loss:
    """Compare the refused log of this transaction's controller with its copy, and say what is lost.

    Raises NothingToRecoverError where the log is not refused or a recovery waits already, LogUnknownError where there
    is no log, and LogCopyError where the copy cannot be read.
    """
    log = logs.get(session)
    if log.refused is None:
        raise NothingToRecoverError("the log is not refused")
    if sequencer.find_recovery(session, log) is not None:
        raise NothingToRecoverError("a recovery is recorded and waits for the log keeper")
    copy = find_copy(log.epoch)
    outside = publisher.find_head(copy.read_checkpoint(), sequencer.path_of(session, epoch=log.epoch), _keys(log))
    head = outside or _known_head(session, log)
    is_prefix = outside is not None and _is_prefix(log, outside, copy)
    later = tuple(_later(session, log, find_copy))
    begin = log.size if is_prefix else 0
    sources = [(copy, outside, begin)] if outside is not None else []
    sources += [(find_copy(log.epoch + 1 + place), each, 0) for place, each in enumerate(later)]
    lost = _list_lost(session, sources)
    return Loss(log, head, is_copied=outside is not None, is_prefix=is_prefix, later=later, lost=lost)


def record(session: Session, loss: Loss, *, reason: str, actor: Actor, at: datetime) -> str:
    """Record the entry that opens the next epoch and names the gap, and return its id.

    Raises InvalidInputError where no reason is given.
    """
    if not reason.strip():
        raise InvalidInputError((FieldProblem("/reason", "missing", "Say why the database was put back."),))
    payload = {
        "reason": reason,
        "log": loss.head.origin,
        "size": loss.head.size,
        "root": loss.head.root.hex(),
        "kept": loss.log.size,
        "lost": loss.lost.count,
        "lost_types": dict(loss.lost.types),
        "first_lost_at": loss.lost.first_at,
        "last_lost_at": loss.lost.last_at,
    }
    return trail.record(session, type=TYPE, at=at, actor=actor, stream=_STREAM, payload=payload, gap=loss.gap)


def _named(head: Checkpoint) -> dict[str, Any]:
    return {"log": head.origin, "size": head.size, "root": head.root.hex()}


def _keys(log: Log) -> set[bytes]:
    return {VerifierKey.parse(log.vkey).public_key}


def _known_head(session: Session, log: Log) -> Checkpoint:
    """Return the newest signed head that the database knows: the best that is left where the copy is gone."""
    known = logs.find_checkpoint(session, log)
    return Checkpoint(log.origin, known.size, known.root) if known else Checkpoint(log.origin, 0, merkle.EMPTY_ROOT)


def _later(session: Session, log: Log, find_copy: FindCopy) -> Iterator[Checkpoint]:
    """Give the heads of the epochs that lie outside after this one, which a restored database does not know."""
    epoch = log.epoch + 1
    while (note := find_copy(epoch).read_checkpoint()) is not None:
        path = sequencer.path_of(session, epoch=epoch)
        origin = f"{log.origin.partition('/')[0]}/{path}"
        yield publisher.find_head(note, path, _keys(log)) or Checkpoint(origin, 0, merkle.EMPTY_ROOT)
        epoch += 1


def _is_prefix(log: Log, head: Checkpoint, copy: LogCopy) -> bool:
    """Say whether the tiles outside make the head, and their first `log.size` leaves the tree of the database."""
    read = _reader(copy, head)
    try:
        return (
            log.size <= head.size
            and merkle.root_at(head.size, read) == head.root
            and merkle.root_at(log.size, read) == log.root
        )
    except (TileInvalidError, LogCopyError):
        return False


def _reader(copy: LogCopy, head: Checkpoint) -> ReadTile:
    def read(level: int, number: int) -> bytes:
        width = min(TILE_WIDTH, (head.size >> TILE_HEIGHT * level) - number * TILE_WIDTH)
        return copy.read_tile(Place(level, number, width))

    return read


def _list_lost(session: Session, sources: Sequence[tuple[LogCopy, Checkpoint, int]]) -> LostEntries:
    types: Counter[str] = Counter()
    moments: list[str] = []
    spared = unread = 0
    for copy, head, begin in sources:
        for number in range(begin // TILE_WIDTH, -(-head.size // TILE_WIDTH)):
            skipped = max(0, begin - number * TILE_WIDTH)
            width = min(TILE_WIDTH, head.size - number * TILE_WIDTH)
            found = _read_leaves(copy, number, width)[skipped:]
            gone = _without_known(session, found)
            unread += width - skipped - len(found)
            spared += len(found) - len(gone)
            types.update(str(leaf.get("t")) for leaf in gone)
            moments += [str(leaf.get("ts")) for leaf in gone]
            moments = [min(moments), max(moments)] if moments else []
    first, last = (moments[0], moments[1]) if moments else (None, None)
    return LostEntries(dict(sorted(types.items())), first, last, spared, unread)


def _read_leaves(copy: LogCopy, number: int, width: int) -> list[dict[str, Any]]:
    """Read the leaves of a bundle that lies outside; none where they are not those that the tile beside it hashes."""
    try:
        bundle = tiles.read_bundle(copy.read_tile(Place(None, number, width)))
        hashes = copy.read_tile(Place(0, number, width))
        found = [json.loads(leaf) for leaf in bundle]
    except (TileInvalidError, LogCopyError, ValueError):
        return []
    is_whole = hashes == b"".join(merkle.leaf_hash(leaf) for leaf in bundle)
    return found if is_whole and all(isinstance(leaf, dict) for leaf in found) else []


def _without_known(session: Session, found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the leaves whose entries are in the database, wherever they stand or wait."""
    asked = [entry_id for leaf in found if (entry_id := _entry_of(leaf))]
    query = select(AuditEntry.id).where(AuditEntry.controller_id == controller_of(session), AuditEntry.id.in_(asked))
    known = set(session.scalars(query)) if asked else set()
    return [leaf for leaf in found if _entry_of(leaf) not in known]


def _entry_of(leaf: Mapping[str, Any]) -> str | None:
    try:
        return identifiers.from_uuid(identifiers.to_uuid(str(leaf.get("id")), "aud"), "aud")
    except IdentifierInvalidError:
        return None
