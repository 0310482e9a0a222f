"""Gives audit entries their places in the tree, batch by batch, after the acts that wrote them have committed.

A row is placed when it is seen in the queue, whatever its id: ids are handed out before commit, and a reader that
waits for "the next id" loses what commits late. The lock on the tree's row makes two sequencers one; a batch is one
transaction, so a kill at any point leaves it whole or undone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, delete, insert, select, text, true, update
from sqlalchemy.dialects.postgresql import insert as insert_or_leave
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import leaves, logs, merkle
from consent_service.audit.logs import Log
from consent_service.audit.merkle import Tile
from consent_service.audit.models import AuditEntry, AuditLeaf, AuditQueue, AuditTile, AuditTree
from consent_service.db.session import controller_of

#: How many entries one transaction places.
BATCH: Final = 2_000

#: Returns the verifier key of a log by its origin; the private half stays with the publisher.
FindVkey = Callable[[str], str]

_PLACE: Final = text(
    "INSERT INTO audit.leaf (controller_id, epoch, index, entry_id)"
    " SELECT :controller, :epoch, :first + place - 1, entry"
    " FROM unnest(CAST(:entries AS uuid[])) WITH ORDINALITY AS placed (entry, place)"
)

# One look into the index for each controller: the queue of a log that is refused may be longer than all others.
_WAITING: Final = text(
    "WITH RECURSIVE waiting AS ("
    "(SELECT controller_id FROM audit.queue ORDER BY controller_id LIMIT 1)"
    " UNION ALL"
    " SELECT (SELECT queue.controller_id FROM audit.queue WHERE queue.controller_id > waiting.controller_id"
    " ORDER BY queue.controller_id LIMIT 1) FROM waiting WHERE waiting.controller_id IS NOT NULL)"
    " SELECT controller_id FROM waiting WHERE controller_id IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction placed: how many entries, and the head of the log after it."""

    placed: int
    log: Log


def place_batch(session: Session, *, host: str, vkey_of: FindVkey, at: datetime, limit: int = BATCH) -> Batch | None:
    """Place up to `limit` waiting entries of this transaction's controller, those of one stream in their order.

    None where another sequencer is at work, or where the log is refused and nothing in the queue opens a new epoch.
    `host` begins the name of a log that is opened. Raises TileInvalidError where the head of the tree is damaged.
    """
    log = _lock_head(session, host=host, vkey_of=vkey_of, at=at)
    if log is None:
        return None
    recovery = find_recovery(session, log)
    if recovery is not None:
        # Epochs that lie outside and that a restored database does not know keep their numbers.
        epoch = log.epoch + 1 + len(recovery.gap.get("later", ()))
        log = _open(session, host=host, vkey_of=vkey_of, epoch=epoch, at=at)
        log = _append(session, log, [recovery])
    elif log.refused is not None:
        return None
    waiting = _without_placed(session, _list_waiting(session, limit=limit))
    if waiting:
        log = _append(session, log, waiting)
    return Batch(placed=len(waiting) + (recovery is not None), log=log)


def path_of(session: Session, *, epoch: int) -> str:
    """Return what follows the host in the name of an epoch of this transaction's log."""
    return f"log/{controller_of(session)}" + (f"/e{epoch}" if epoch > 1 else "")


def list_waiting_controllers(session: Session) -> tuple[str, ...]:
    """Return the controllers that have entries in the queue; needs the sequencer's login."""
    return tuple(identifiers.from_uuid(found, "ctl") for found in session.scalars(_WAITING))


def find_recovery(session: Session, log: Log) -> Row[Any] | None:
    """Find the entry that opens the next epoch: it names exactly the refused log and what is left of it."""
    if log.refused is None:
        return None
    waits = select(AuditQueue.entry_id).where(
        AuditQueue.controller_id == AuditEntry.controller_id, AuditQueue.entry_id == AuditEntry.id
    )
    found = _entries().where(
        AuditEntry.controller_id == controller_of(session), AuditEntry.gap.is_not(None), waits.exists()
    )
    rows = session.execute(found.order_by(AuditEntry.id.desc()))
    for row in rows:
        # The log that was lost may have begun with the name of another host.
        path = str(row.gap.get("log")).partition("/")[2]
        if path == path_of(session, epoch=log.epoch) and row.gap.get("kept") == log.size:
            return row
    return None


def _lock_head(session: Session, *, host: str, vkey_of: FindVkey, at: datetime) -> Log | None:
    if logs.find(session) is None:
        _open(session, host=host, vkey_of=vkey_of, epoch=1, at=at)
    row = session.scalars(
        select(AuditTree)
        .where(AuditTree.controller_id == controller_of(session))
        .order_by(AuditTree.epoch.desc())
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).first()
    newest = logs.find(session)
    # While an epoch is being opened elsewhere its row is not there yet to be locked, and an older one is.
    if row is None or newest is None or row.epoch != newest.epoch:
        return None
    return logs.read_row(row)


def _open(session: Session, *, host: str, vkey_of: FindVkey, epoch: int, at: datetime) -> Log:
    """Open an epoch of the log; nothing happens where another sequencer was first."""
    origin = f"{host}/{path_of(session, epoch=epoch)}"
    session.execute(
        insert_or_leave(AuditTree)
        .values(
            controller_id=controller_of(session),
            epoch=epoch,
            origin=origin,
            vkey=vkey_of(origin),
            opened_at=at,
            size=0,
            root=merkle.EMPTY_ROOT,
            edge=[],
        )
        .on_conflict_do_nothing()
    )
    return logs.get(session, epoch=epoch)


def _list_waiting(session: Session, *, limit: int) -> Sequence[Row[Any]]:
    # One look-up for each row of the queue, however large either table is thought to be: joined otherwise, a queue that
    # has grown to a hundred thousand takes longer for a batch than a statement may.
    entry = (
        _entries()
        .where(AuditEntry.controller_id == AuditQueue.controller_id, AuditEntry.id == AuditQueue.entry_id)
        .correlate(AuditQueue)
        .offset(0)
        .lateral("waiting")
    )
    rows = (
        select(*entry.columns)
        .select_from(AuditQueue)
        .join(entry, true())
        .where(AuditQueue.controller_id == controller_of(session))
        .order_by(AuditQueue.seq)
        .limit(limit)
    )
    return session.execute(rows).all()


def _without_placed(session: Session, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Leave out what has its place already, and take it out of the queue.

    No trigger ever queues an entry twice; but one row that somebody put there would stop all that come after it.
    """
    asked = [row.id for row in rows]
    placed = set(
        session.scalars(
            select(AuditLeaf.entry_id).where(
                AuditLeaf.controller_id == controller_of(session), AuditLeaf.entry_id.in_(asked)
            )
        )
    )
    if not placed:
        return rows
    _take_out(session, placed)
    return [row for row in rows if row.id not in placed]


def _take_out(session: Session, entry_ids: Collection[str]) -> None:
    session.execute(
        delete(AuditQueue).where(AuditQueue.controller_id == controller_of(session), AuditQueue.entry_id.in_(entry_ids))
    )


def _entries() -> Select[Any]:
    return select(
        AuditEntry.id,
        AuditEntry.version,
        AuditEntry.type,
        AuditEntry.occurred_at,
        AuditEntry.commit,
        AuditEntry.gap,
    )


def _append(session: Session, log: Log, rows: Sequence[Row[Any]]) -> Log:
    hashes = [
        merkle.leaf_hash(
            leaves.leaf_bytes(
                version=row.version,
                entry_id=row.id,
                type=row.type,
                occurred_at=row.occurred_at,
                commit=row.commit,
                gap=row.gap,
            )
        )
        for row in rows
    ]
    appended = merkle.append(log.edge, log.size, hashes)
    _write_places(session, log, [row.id for row in rows])
    _write_tiles(session, log, appended.tiles)
    session.execute(
        update(AuditTree)
        .where(AuditTree.controller_id == controller_of(session), AuditTree.epoch == log.epoch)
        .values(size=appended.size, root=appended.root, edge=list(appended.edge))
    )
    _take_out(session, [row.id for row in rows])
    return logs.get(session, epoch=log.epoch)


def _write_places(session: Session, log: Log, entry_ids: Sequence[str]) -> None:
    session.execute(
        _PLACE,
        {
            "controller": identifiers.to_uuid(controller_of(session), "ctl"),
            "epoch": log.epoch,
            "first": log.size,
            "entries": [identifiers.to_uuid(entry_id, "aud") for entry_id in entry_ids],
        },
    )


def _write_tiles(session: Session, log: Log, tiles: Sequence[Tile]) -> None:
    if tiles:
        session.execute(
            insert(AuditTile),
            [
                {
                    "controller_id": controller_of(session),
                    "epoch": log.epoch,
                    "level": tile.level,
                    "number": tile.number,
                    "hashes": tile.hashes,
                }
                for tile in tiles
            ],
        )
