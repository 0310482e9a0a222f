"""Reads a controller's log: its heads, tiles, leaves and places, for proofs, for copies and for the change feed.

The order of the leaves is the order of everything that follows the log: places are given after commit, so whoever
asks for what came after a place misses nothing that commits late.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, func, literal_column, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from consent_service.audit import leaves, merkle
from consent_service.audit.merkle import ReadTile
from consent_service.audit.models import (
    AuditCheckpoint,
    AuditCosignature,
    AuditEntry,
    AuditLeaf,
    AuditTile,
    AuditTree,
)
from consent_service.db.session import controller_of
from consent_service.errors import LogUnknownError, TileInvalidError

#: Whose log holds what concerns the whole installation; no controller has this id.
PLATFORM: Final = "ctl_" + "0" * 26

#: How many heads are read at once.
_PAGE: Final = 32


@dataclass(frozen=True, slots=True)
class Log:
    """The head of a log in one epoch; `edge` are the hashes of its tiles that are not full, level by level."""

    epoch: int
    origin: str
    vkey: str
    opened_at: datetime
    size: int
    root: bytes
    edge: tuple[bytes, ...]
    refused: str | None
    refused_at: datetime | None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an entry stands: the position in the change feed."""

    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class PlacedLeaf:
    """A leaf with its place, and the id and type of its entry."""

    place: Place
    entry_id: str
    type: str
    leaf: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint: the note that was signed, and the lines of the witnesses that saw the same."""

    size: int
    root: bytes
    note: str
    signed_at: datetime
    cosignatures: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the note with all its signatures."""
        return self.note + "".join(f"{line}\n" for line in self.cosignatures)


def get(session: Session, *, epoch: int | None = None) -> Log:
    """Get the log as it is now, or an earlier epoch of it; raises LogUnknownError where there is none."""
    found = find(session, epoch=epoch)
    if found is None:
        raise LogUnknownError("this log has no leaf yet" if epoch is None else f"this log has no epoch {epoch}")
    return found


def find(session: Session, *, epoch: int | None = None) -> Log | None:
    """Find the log as it is now, or an earlier epoch of it; None where nothing was ever placed in it."""
    query = select(AuditTree).where(AuditTree.controller_id == controller_of(session))
    if epoch is not None:
        query = query.where(AuditTree.epoch == epoch)
    # A head moves on by a statement within the transaction, so what the session knew of it is not asked.
    newest = query.order_by(AuditTree.epoch.desc()).limit(1).execution_options(populate_existing=True)
    row = session.scalars(newest).first()
    return None if row is None else read_row(row)


def find_before(session: Session, *, epoch: int) -> Log | None:
    """Find the last epoch before one, which is not the one before where a later one was lost; None before the first."""
    row = session.scalars(
        select(AuditTree)
        .where(AuditTree.controller_id == controller_of(session), AuditTree.epoch < epoch)
        .order_by(AuditTree.epoch.desc())
        .limit(1)
    ).first()
    return None if row is None else read_row(row)


def list_epochs(session: Session) -> tuple[Log, ...]:
    """Return the log in all its epochs, oldest first; more than one says that a database was restored."""
    rows = session.scalars(
        select(AuditTree).where(AuditTree.controller_id == controller_of(session)).order_by(AuditTree.epoch)
    )
    return tuple(read_row(row) for row in rows)


def read_row(row: AuditTree) -> Log:
    """Read a log's head from its row."""
    return Log(
        epoch=row.epoch,
        origin=row.origin,
        vkey=row.vkey,
        opened_at=row.opened_at,
        size=row.size,
        root=row.root,
        edge=tuple(row.edge),
        refused=row.refused,
        refused_at=row.refused_at,
    )


def reader(session: Session, log: Log) -> ReadTile:
    """Return what reads the tiles of a log for proofs; each tile is fetched once.

    It raises TileInvalidError for a tile that should be there and is not.
    """
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        place = (level, number)
        if place not in kept:
            kept[place] = read_tile(session, log, level=level, number=number)
        return kept[place]

    return read


def read_tile(session: Session, log: Log, *, level: int, number: int) -> bytes:
    """Return the hashes of one tile, full or as far as it is filled; raises TileInvalidError where it is not there."""
    filled = log.size >> merkle.TILE_HEIGHT * level
    if 0 <= number < filled >> merkle.TILE_HEIGHT:
        hashes = session.scalar(
            select(AuditTile.hashes).where(
                AuditTile.controller_id == controller_of(session),
                AuditTile.epoch == log.epoch,
                AuditTile.level == level,
                AuditTile.number == number,
            )
        )
        if hashes is not None:
            return hashes
    elif number == filled >> merkle.TILE_HEIGHT and level < len(log.edge) and log.edge[level]:
        return log.edge[level]
    raise TileInvalidError(f"tile {level}/{number} of {log.origin} is not there")


def find_place(session: Session, *, entry_id: str) -> Place | None:
    """Find where an entry stands; None while it waits for its place."""
    row = session.execute(
        select(AuditLeaf.epoch, AuditLeaf.index.label("at")).where(
            AuditLeaf.controller_id == controller_of(session), AuditLeaf.entry_id == entry_id
        )
    ).one_or_none()
    return None if row is None else Place(row.epoch, row.at)


def list_leaves(session: Session, log: Log, *, first: int, limit: int) -> list[PlacedLeaf]:
    """Return up to `limit` leaves of one epoch from index `first` on, in order."""
    of_epoch = (AuditLeaf.epoch == log.epoch, AuditLeaf.index >= first, AuditLeaf.index < first + limit)
    return [_placed(row) for row in session.execute(_leaves(session, *of_epoch))]


def list_after(session: Session, *, after: Place | None, limit: int) -> list[PlacedLeaf]:
    """Return what stands after a place in the whole log, epoch by epoch: the change feed; None is the beginning."""
    if after is None:
        return [_placed(row) for row in session.execute(_leaves(session).limit(limit))]
    later_here = (AuditLeaf.epoch == after.epoch, AuditLeaf.index > after.index)
    found = [_placed(row) for row in session.execute(_leaves(session, *later_here).limit(limit))]
    if len(found) < limit:
        rest = _leaves(session, AuditLeaf.epoch > after.epoch).limit(limit - len(found))
        found.extend(_placed(row) for row in session.execute(rest))
    return found


def find_checkpoint(session: Session, log: Log, *, size: int | None = None) -> SignedHead | None:
    """Find the newest signed head of an epoch, or that of one size; None where there is none."""
    query = _checkpoints(session, log)
    if size is not None:
        query = query.where(AuditCheckpoint.size == size)
    row = session.scalars(query.order_by(AuditCheckpoint.size.desc()).limit(1)).first()
    return None if row is None else _signed(session, row)


def list_checkpoints(session: Session, log: Log) -> Iterator[SignedHead]:
    """Give the signed heads of an epoch that are kept, oldest first: of earlier hours the last one each."""
    rows = session.scalars(_checkpoints(session, log).order_by(AuditCheckpoint.size)).all()
    return (_signed(session, row) for row in rows)


def list_daily_checkpoints(session: Session, log: Log) -> Iterator[SignedHead]:
    """Give the last signed head of each day (UTC) of an epoch, oldest first."""
    # Literals, for what is distinct and what orders must be the same to PostgreSQL.
    day = func.date_trunc(literal_column("'day'"), AuditCheckpoint.signed_at, literal_column("'UTC'"))
    last = _checkpoints(session, log).ext(distinct_on(day)).order_by(day, AuditCheckpoint.size.desc())
    return (_signed(session, row) for row in session.scalars(last).all())


def list_newest_checkpoints(session: Session, log: Log) -> Iterator[SignedHead]:
    """Give the signed heads of an epoch that are kept, newest first, read no further than they are asked for."""
    newest = _checkpoints(session, log).order_by(AuditCheckpoint.size.desc()).limit(_PAGE)
    rows = session.scalars(newest).all()
    while rows:
        for row in rows:
            yield _signed(session, row)
        rows = session.scalars(newest.where(AuditCheckpoint.size < rows[-1].size)).all()


def _checkpoints(session: Session, log: Log) -> Select[AuditCheckpoint]:
    return select(AuditCheckpoint).where(
        AuditCheckpoint.controller_id == controller_of(session), AuditCheckpoint.epoch == log.epoch
    )


def _signed(session: Session, row: AuditCheckpoint) -> SignedHead:
    lines = session.scalars(
        select(AuditCosignature.line)
        .where(
            AuditCosignature.controller_id == controller_of(session),
            AuditCosignature.epoch == row.epoch,
            AuditCosignature.size == row.size,
        )
        .order_by(AuditCosignature.witness)
    )
    return SignedHead(row.size, row.root, row.note, row.signed_at, tuple(lines))


def _leaves(session: Session, *conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            AuditLeaf.epoch,
            AuditLeaf.index.label("at"),
            AuditEntry.id,
            AuditEntry.version,
            AuditEntry.type,
            AuditEntry.occurred_at,
            AuditEntry.commit,
            AuditEntry.gap,
        )
        .join(
            AuditEntry,
            (AuditEntry.controller_id == AuditLeaf.controller_id) & (AuditEntry.id == AuditLeaf.entry_id),
        )
        .where(AuditLeaf.controller_id == controller_of(session), *conditions)
        .order_by(AuditLeaf.epoch, AuditLeaf.index)
    )


def _placed(row: Row[Any]) -> PlacedLeaf:
    leaf = leaves.leaf_bytes(
        version=row.version,
        entry_id=row.id,
        type=row.type,
        occurred_at=row.occurred_at,
        commit=row.commit,
        gap=row.gap,
    )
    return PlacedLeaf(Place(row.epoch, row.at), row.id, row.type, leaf)
