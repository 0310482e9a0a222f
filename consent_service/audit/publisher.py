"""Signs the head of a log, after it has proved that the log goes on from the head that lies outside the database.

The order is the promise: read what lies outside; prove from the stored tiles that the log extends it; write the new
tiles outside; sign; replace the head outside, if it is still the one that was read; only then let the database know.
A kill at any point leaves a head outside that the database can still prove, and nothing is ever signed twice in two
ways. What cannot be proved is refused, and said, while consent traffic goes on (LOG-03).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_or_leave
from sqlalchemy.orm import Session, aliased

from consent_service.audit import checkpoints, logs, merkle, sequencer, tiles
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.logs import Log, SignedHead
from consent_service.audit.merkle import HASH_BYTES, TILE_WIDTH, ReadTile
from consent_service.audit.models import AuditCheckpoint, AuditCosignature, AuditEntry, AuditLeaf, AuditTree
from consent_service.audit.outside_copy import LogCopy
from consent_service.audit.tiles import Place
from consent_service.crypto import notes
from consent_service.crypto.notes import NoteSigner, VerifierKey
from consent_service.db.session import controller_of
from consent_service.errors import CheckpointInvalidError, LogRefusedError, NoteInvalidError, TileInvalidError

#: How many leaves one head adds at most: what waits while an old log is copied for the first time fits in memory.
STEP: Final = 64 * TILE_WIDTH
#: The finding that no comparison with the copy takes back: a witness has seen another history, or more than there is.
CONTRADICTED: Final = "witness_contradicts"


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies outside the database: the head of an epoch, and those that it ended.

    `ended` are the heads of the epochs from the one that the database knows before this one; None where nothing lies.
    `is_last` says that no later epoch lies outside.
    """

    head: str | None
    ended: tuple[str | None, ...] = ()
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Publication:
    """A head that may be signed, with what is written outside before it.

    `known` is the note that lies outside already, where the database alone has not heard of it.
    """

    log: Log
    checkpoint: Checkpoint
    before: str | None
    files: tuple[tuple[Place, bytes], ...]
    known: str | None = None


def list_heads(session: Session) -> list[tuple[str, int, int]]:
    """Return controller, epoch and size of every log as it is now; needs the sequencer's login."""
    newest = select(AuditTree.controller_id, AuditTree.epoch, AuditTree.size).ext(distinct_on(AuditTree.controller_id))
    rows = session.execute(newest.order_by(AuditTree.controller_id, AuditTree.epoch.desc()))
    return [(row.controller_id, row.epoch, row.size) for row in rows]


def prepare(session: Session, *, epoch: int, outside: Outside, key: VerifierKey) -> Publication | None:
    """Prove that an epoch of the log extends what lies outside, and return the next head; None where nothing is new.

    Raises LogRefusedError, which names the finding, for a log that must not be signed.
    """
    log = logs.get(session, epoch=epoch)
    if log.vkey != key.vkey:
        raise LogRefusedError("unknown_key", "the key is not the one that this log was opened with")
    head = None if outside.head is None else _read_head(outside.head, log, key)
    newest = logs.find_checkpoint(session, log)
    read = logs.reader(session, log)
    try:
        _demand_growth(log, head, read, newest=newest, is_last=outside.is_last)
        if head is None:
            _demand_beginning(session, log, outside, key=key, has_signed=newest is not None)
        elif head.size == log.size:
            is_known = newest is not None and newest.size == head.size
            return None if is_known else Publication(log, head, outside.head, (), known=outside.head)
        since = 0 if head is None else head.size
        size = min(log.size, since + STEP)
        if size == since:
            return None
        files = tuple(_files(session, log, read, since=since, size=size))
        return Publication(log, Checkpoint(log.origin, size, merkle.root_at(size, read)), outside.head, files)
    except TileInvalidError as error:
        raise LogRefusedError("tree_mismatch", str(error)) from None


def write_outside(copy: LogCopy, publication: Publication, *, signer: NoteSigner, at: datetime) -> str:
    """Write tiles, sign, and replace the head outside; return the signed note, which is on the disk then.

    Raises LogCopyError where the disk does not take it or another publisher was faster, and LogRefusedError where
    something else lies at the place of a tile.
    """
    if publication.known is not None:
        return publication.known
    copy.write_vkey(publication.log.vkey)
    for place, content in publication.files:
        copy.write_tile(place, content)
    note = signer.sign(publication.checkpoint.text())
    copy.swap_checkpoint(old=publication.before, new=note)
    copy.keep_of_day(at.date(), note)
    for place, _ in publication.files:
        copy.drop_partial(place)
    return note


def record(session: Session, publication: Publication, *, note: str, at: datetime) -> None:
    """Let the database know a head that lies outside; of each hour the last is kept, and the last seen by a witness."""
    log, head = publication.log, publication.checkpoint
    session.execute(
        insert_or_leave(AuditCheckpoint)
        .values(
            controller_id=controller_of(session),
            epoch=log.epoch,
            size=head.size,
            root=head.root,
            note=note,
            signed_at=at,
        )
        .on_conflict_do_nothing()
    )
    _thin(session, log, size=head.size, at=at)
    mark(session, log, refused=None, at=None)


def mark(session: Session, log: Log, *, refused: str | None, at: datetime | None) -> None:
    """Say at the log why it is not signed, and since when; None where it is signed again."""
    changes = AuditTree.refused.is_not(None) if refused is None else AuditTree.refused.is_distinct_from(refused)
    session.execute(
        update(AuditTree)
        .where(AuditTree.controller_id == controller_of(session), AuditTree.epoch == log.epoch, changes)
        .values(refused=refused, refused_at=at)
    )


def find_head(note: str | None, path: str, public_keys: Iterable[bytes]) -> Checkpoint | None:
    """Read a head that lies outside; None where it is not signed by one of these keys for the log of this path."""
    if note is None:
        return None
    try:
        head = checkpoints.read(notes.unsafe_text(note))
        notes.open_note(note, [VerifierKey(head.origin, notes.ED25519, public_key) for public_key in public_keys])
    except (NoteInvalidError, CheckpointInvalidError):
        return None
    # The log may have moved to another host since.
    return head if head.origin.partition("/")[2] == path else None


def _read_head(note: str, log: Log, key: VerifierKey) -> Checkpoint:
    try:
        head = checkpoints.read(notes.open_note(note, [key]).text)
    except (NoteInvalidError, CheckpointInvalidError) as error:
        raise LogRefusedError("bad_signature", f"the head outside is not ours: {error}") from None
    if head.origin != log.origin:
        raise LogRefusedError("other_log", "the head outside is that of another log")
    return head


def _demand_growth(
    log: Log, head: Checkpoint | None, read: ReadTile, *, newest: SignedHead | None, is_last: bool
) -> None:
    if not is_last:
        raise LogRefusedError("not_append_only", "outside this epoch has ended already: the database was put back")
    if head is not None and head.size > log.size:
        raise LogRefusedError(
            "not_append_only", f"outside there are {head.size} entries and in the database {log.size}: it was put back"
        )
    if merkle.root_at(log.size, read) != log.root:
        raise LogRefusedError("tree_mismatch", "the tiles do not make the root of the tree")
    if head is not None and merkle.root_at(head.size, read) != head.root:
        raise LogRefusedError("not_append_only", f"the first {head.size} entries are not those that were signed")
    # Where the copy outside was put back too, what the database knows to be signed still binds.
    if newest is not None and (newest.size > log.size or merkle.root_at(newest.size, read) != newest.root):
        raise LogRefusedError("not_append_only", f"the tree is not the one of the head of {newest.size} entries")


def _demand_beginning(session: Session, log: Log, outside: Outside, *, key: VerifierKey, has_signed: bool) -> None:
    """Refuse a log that was signed before and has no copy, and an epoch that does not name what was lost."""
    if has_signed:
        raise LogRefusedError("copy_missing", "the log was signed before, and there is no head outside")
    if log.epoch == 1 or log.size == 0:
        return
    gap = session.scalar(
        select(AuditEntry.gap)
        .join(
            AuditLeaf,
            (AuditLeaf.controller_id == AuditEntry.controller_id) & (AuditLeaf.entry_id == AuditEntry.id),
        )
        .where(AuditLeaf.controller_id == controller_of(session), AuditLeaf.epoch == log.epoch, AuditLeaf.index == 0)
    )
    if gap is None:
        raise LogRefusedError("gap_hidden", "the epoch does not begin by saying what was lost")
    named = [gap, *gap.get("later", ())]
    public_keys = {key.public_key}
    if (before := logs.find_before(session, epoch=log.epoch)) is not None:
        public_keys.add(VerifierKey.parse(before.vkey).public_key)
    numbers = range(log.epoch - len(outside.ended), log.epoch)
    paths = [sequencer.path_of(session, epoch=number) for number in numbers]
    lost = [find_head(note, path, public_keys) for note, path in zip(outside.ended, paths, strict=True)]
    if len(named) != len(lost) or not all(map(_names, named, lost)):
        raise LogRefusedError("gap_hidden", "the epoch begins by naming another loss than there was")


def _names(gap: Mapping[str, Any], lost: Checkpoint | None) -> bool:
    """Say whether a recovery names a head that was lost; where none of ours lies outside, its word stands alone."""
    return lost is None or (gap.get("log"), gap.get("size"), gap.get("root")) == (
        lost.origin,
        lost.size,
        lost.root.hex(),
    )


def _files(session: Session, log: Log, read: ReadTile, *, since: int, size: int) -> Iterator[tuple[Place, bytes]]:
    """Give tiles and bundles that a head of `size` leaves needs beside those of `since`, each checked on the way."""
    for place in tiles.tiles_of(size, since=since):
        assert place.level is not None  # noqa: S101 - tiles of hashes have a level; bundles are made of those of level 0
        hashes = read(place.level, place.number)[: place.width * HASH_BYTES]
        if len(hashes) != place.width * HASH_BYTES:
            raise LogRefusedError("tree_mismatch", f"{place.path} is shorter than the tree")
        if place.level == 0:
            yield Place(None, place.number, place.width), _bundle(session, log, place, hashes)
        elif hashes != b"".join(_roots_below(read, place)):
            raise LogRefusedError("tile_mismatch", f"{place.path} is not made of the tiles below it")
        yield place, hashes


def _bundle(session: Session, log: Log, place: Place, hashes: bytes) -> bytes:
    found = logs.list_leaves(session, log, first=place.number * TILE_WIDTH, limit=place.width)
    if b"".join(merkle.leaf_hash(each.leaf) for each in found) != hashes:
        raise LogRefusedError("leaf_mismatch", f"the entries of {place.path} are not those that were placed")
    return tiles.write_bundle([each.leaf for each in found])


def _roots_below(read: ReadTile, place: Place) -> Iterator[bytes]:
    assert place.level  # noqa: S101 - the caller asks about upper levels only
    first = place.number * TILE_WIDTH
    for number in range(first, first + place.width):
        yield merkle.root_of([read(place.level - 1, number)])


def _thin(session: Session, log: Log, *, size: int, at: datetime) -> None:
    hour = func.date_trunc("hour", at)
    later = aliased(AuditCosignature)
    is_cosigned = (
        select(AuditCosignature.size)
        .where(
            AuditCosignature.controller_id == AuditCheckpoint.controller_id,
            AuditCosignature.epoch == AuditCheckpoint.epoch,
            AuditCosignature.size == AuditCheckpoint.size,
        )
        .exists()
    )
    later_is_cosigned = (
        select(later.size)
        .where(
            later.controller_id == AuditCheckpoint.controller_id,
            later.epoch == AuditCheckpoint.epoch,
            later.size > AuditCheckpoint.size,
            func.date_trunc("hour", later.signed_at) == hour,
        )
        .exists()
    )
    session.execute(
        delete(AuditCheckpoint).where(
            AuditCheckpoint.controller_id == controller_of(session),
            AuditCheckpoint.epoch == log.epoch,
            AuditCheckpoint.size < size,
            func.date_trunc("hour", AuditCheckpoint.signed_at) == hour,
            ~is_cosigned | later_is_cosigned,
        )
    )
