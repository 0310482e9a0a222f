"""Hashes the tree of one epoch anew from the entries, tile by tile, and compares it with all that was stored of it.

Memory is that of a few thousand entries, whatever the size of the log. What the entries make is compared at each step:
with the stored tile, with the tile above it, with the signed heads, and with the copy outside. Where they differ, the
tile above decides whether the entry or the tile was changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, case, select
from sqlalchemy.orm import Session

from consent_service.audit import leaves, merkle
from consent_service.audit.findings import Findings
from consent_service.audit.logs import Log
from consent_service.audit.merkle import EMPTY_ROOT, HASH_BYTES, TILE_BYTES, TILE_HEIGHT, TILE_WIDTH
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditLeaf, AuditTile
from consent_service.audit.tiles import Place
from consent_service.audit.verified_copy import CopyCheck
from consent_service.audit.verified_heads import Head
from consent_service.db.session import controller_of

#: How many tiles of level 0 one transaction takes.
STEP: Final = 8
_NO_LEAF: Final = bytes(HASH_BYTES)
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class TreeCheck:
    """Verifies one epoch of a log; each call works in the transaction that it is given.

    `heads` are the signed heads to be compared; `copy` is the copy outside, None where it is not looked at. `is_cut`
    says that the tree ended before it said it would.
    """

    def __init__(self, log: Log, heads: Iterable[Head], copy: CopyCheck | None, findings: Findings) -> None:
        self.log = log
        self.copy = copy
        self.size = 0
        self.is_cut = False
        self.tiles = 0
        self.heads = 0
        self.edge: tuple[bytes, ...] = ()
        self.root = EMPTY_ROOT
        self._heads = sorted(heads, key=lambda head: head.size)
        self._compared = 0
        self._findings = findings

    @property
    def is_near_the_end(self) -> bool:
        """Say whether only the part is left that can still change: the tiles that are not full."""
        return self.log.size - self.size < TILE_WIDTH

    def advance(self, session: Session) -> Sequence[Row[Any]]:
        """Verify some full tiles and return the rows of their entries, in order."""
        until = min(self.size // TILE_WIDTH + STEP, self.log.size // TILE_WIDTH) * TILE_WIDTH
        return self._verify(session, until)

    def finish(self, session: Session) -> Sequence[Row[Any]]:
        """Verify the rest of the tree, its edge, its root and what is too much; returns the rows of the entries."""
        rows = self._verify(session, self.log.size)
        self._compare_edge()
        self._find_extra_tiles(session)
        self._find_extra_leaves(session)
        for head in self._heads[self._compared :]:
            words = f"{head.size} entries were signed, and the database has {self.size}"
            self._findings.add("truncated", head.where, words)
        return rows

    def _verify(self, session: Session, until: int) -> Sequence[Row[Any]]:
        if until <= self.size:
            return ()
        rows = _rows(session, self.log.epoch, self.size, until)
        by_place = {row.place: row for row in rows}
        if not rows and not _goes_on(session, self.log, until):
            # A size that no entries stand behind must not be counted through.
            words = f"no entry stands in the places {self.size} to {self.log.size - 1}"
            self._findings.add("entry_missing", self._name(self.size), words)
            self.log = replace(self.log, size=self.size)
            self.is_cut = True
            return ()
        stored = _stored(session, self.log.epoch, 0, range(self.size // TILE_WIDTH, -(-until // TILE_WIDTH)))
        while self.size < until:
            width = min(TILE_WIDTH, until - self.size)
            self._verify_block(session, by_place, stored.get(self.size // TILE_WIDTH), width)
        return rows

    def _verify_block(self, session: Session, rows: Mapping[int, Row[Any]], tile: bytes | None, width: int) -> None:
        number, is_full = self.size // TILE_WIDTH, width == TILE_WIDTH
        if not is_full:
            tile = self.log.edge[0] if self.log.edge else b""
        made = [self._hash(rows.get(self.size + offset), self.size + offset) for offset in range(width)]
        kept = tile or b""
        if tile is None:
            self._findings.add("tile_mismatch", f"tile 0/{number}", "the tile is not there")
        elif len(kept) != width * HASH_BYTES:
            self._findings.add("tree_mismatch", f"tile 0/{number}", "the last hashes are fewer or more than the leaves")
            kept = b""
        chosen = self._judge(session, number, made, kept, is_full=is_full)
        self._compare_heads(chosen)
        before = self.size
        grown = merkle.append(self.edge, before, chosen)
        self.edge, self.size, self.root = grown.edge, grown.size, grown.root
        self.tiles += 1
        for done in grown.tiles:
            self._compare_full(session, done)
        if self.copy is not None and is_full and self.size <= self.copy.size:
            self.copy.compare_bundle(Place(None, number), chosen)

    def _hash(self, row: Row[Any] | None, index: int) -> bytes | None:
        if row is None:
            self._findings.add("entry_missing", self._name(index), "no entry stands in this place")
            return None
        if row.found is None:
            words = f"{row.entry_id}, which stands in this place, is not there"
            self._findings.add("entry_missing", self._name(index), words)
            return None
        try:
            return merkle.leaf_hash(_leaf(row))
        except (AttributeError, TypeError, ValueError):
            # No leaf was ever made of what stands there now, such as a gap that is a number.
            return _NO_LEAF

    def _judge(
        self, session: Session, number: int, made: Sequence[bytes | None], kept: bytes, *, is_full: bool
    ) -> list[bytes]:
        """Choose between what the entries make and what was stored: the tile above knows."""
        stored = [kept[at : at + HASH_BYTES] for at in range(0, len(kept), HASH_BYTES)]
        if not stored:
            return [one or bytes(HASH_BYTES) for one in made]
        wrong = [offset for offset, one in enumerate(made) if one != stored[offset]]
        if not wrong:
            return stored
        whole = [one for one in made if one is not None]
        above = self._above(session, number) if is_full else None
        if is_full and len(whole) == len(made) and above == merkle.root_of(whole):
            self._findings.add("tile_mismatch", f"tile 0/{number}", "the hashes are not those of the entries")
            return whole
        if not is_full and len(whole) == len(made) and self._root_with(whole) == self.log.root:
            self._findings.add("tree_mismatch", f"tile 0/{number}", "the last hashes are not those of the entries")
            return whole
        for offset in wrong:
            if made[offset] is not None:
                words = "the entry is not the one that was placed here"
                self._findings.add("leaf_mismatch", self._name(self.size + offset), words)
        return stored

    def _above(self, session: Session, number: int) -> bytes:
        """Return the hash that stands for a tile of level 0 in the tile above it."""
        above, offset = divmod(number, TILE_WIDTH)
        tile = _stored(session, self.log.epoch, 1, range(above, above + 1)).get(above)
        row = tile if tile is not None else (self.log.edge[1] if len(self.log.edge) > 1 else b"")
        return row[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]

    def _root_with(self, hashes: Sequence[bytes]) -> bytes:
        return merkle.append(self.edge, self.size, hashes).root

    def _compare_heads(self, hashes: Sequence[bytes]) -> None:
        """Compare the heads and the end of the copy that lie within these leaves, before they are appended."""
        while self._compared < len(self._heads) and self._heads[self._compared].size <= self.size + len(hashes):
            head = self._heads[self._compared]
            self._compared += 1
            self.heads += 1
            if head.size and self._root_until(head.size, hashes) != head.root:
                is_last = head.size == self._heads[-1].size
                words = f"the first {head.size} entries are not those that were signed"
                self._findings.add("root_mismatch" if is_last else "not_append_only", head.where, words)
        copy = self.copy
        if copy is None or not self.size < copy.size <= self.size + len(hashes):
            return
        grown = merkle.append(self.edge, self.size, hashes[: copy.size - self.size])
        for level, row in enumerate(grown.edge):
            if row:
                place = Place(level, copy.size >> TILE_HEIGHT * (level + 1), len(row) // HASH_BYTES)
                copy.compare_tile(place, row)
                if level == 0:
                    copy.compare_bundle(Place(None, place.number, place.width), hashes[: place.width])

    def _root_until(self, size: int, hashes: Sequence[bytes]) -> bytes:
        return merkle.append(self.edge, self.size, hashes[: size - self.size]).root

    def _compare_full(self, session: Session, tile: merkle.Tile) -> None:
        """Compare a tile that became full by the entries with the stored one, and with the copy."""
        if tile.level > 0:
            self.tiles += 1
            stored = _stored(session, self.log.epoch, tile.level, range(tile.number, tile.number + 1)).get(tile.number)
            if stored is None:
                self._findings.add("tile_mismatch", f"tile {tile.level}/{tile.number}", "the tile is not there")
            elif stored != tile.hashes:
                self._findings.add("tile_mismatch", f"tile {tile.level}/{tile.number}", _not_made(tile, stored))
        span = TILE_WIDTH << TILE_HEIGHT * tile.level
        if self.copy is not None and (tile.number + 1) * span <= self.copy.size:
            self.copy.compare_tile(Place(tile.level, tile.number), tile.hashes)

    def _compare_edge(self) -> None:
        where = f"epoch {self.log.epoch}"
        if self.edge != self.log.edge:
            self._findings.add("tree_mismatch", where, "the last hashes of the tree are not those of the entries")
        if self.root != self.log.root:
            self._findings.add("tree_mismatch", where, "the root of the tree is not that of the entries")

    def _find_extra_tiles(self, session: Session) -> None:
        tile = AuditTile
        size = self.log.size
        rows = session.execute(
            select(tile.level, tile.number)
            .where(tile.controller_id == controller_of(session), tile.epoch == self.log.epoch)
            .order_by(tile.level, tile.number)
        )
        for row in rows:
            if not 0 <= row.number < size >> TILE_HEIGHT * (row.level + 1):
                words = "a tile that a tree of this size does not have"
                self._findings.add("tile_mismatch", f"tile {row.level}/{row.number}", words)

    def _find_extra_leaves(self, session: Session) -> None:
        leaf = AuditLeaf
        rows = session.execute(
            select(leaf.index.label("place"), leaf.entry_id)
            .where(leaf.controller_id == controller_of(session), leaf.epoch == self.log.epoch)
            .where((leaf.index < 0) | (leaf.index >= self.log.size))
            .order_by(leaf.index)
            .limit(TILE_WIDTH)
        )
        for row in rows:
            words = f"{row.entry_id} stands in a place beyond the tree"
            self._findings.add("entry_extra", self._name(row.place), words)

    def _name(self, index: int) -> str:
        return f"entry {index}" if self.log.epoch == 1 else f"entry {index} of epoch {self.log.epoch}"


def _leaf(row: Row[Any]) -> bytes:
    return leaves.leaf_bytes(
        version=row.version,
        entry_id=row.entry_id,
        type=row.type,
        occurred_at=row.occurred_at,
        commit=row.commit,
        gap=row.gap,
    )


def _rows(session: Session, epoch: int, first: int, until: int) -> Sequence[Row[Any]]:
    leaf, entry, about = AuditLeaf, AuditEntry, AuditEntryAbout
    # PostgreSQL knows times that Python does not; one of them must not keep the rest from being read.
    moment = case((entry.occurred_at.between(_FIRST, _LAST), entry.occurred_at)).label("occurred_at")
    return session.execute(
        select(
            *(leaf.index.label("place"), leaf.entry_id, entry.id.label("found"), entry.version, entry.type),
            *(moment, entry.commit, entry.gap, entry.sealed_for, entry.sealed, about.subject_id),
        )
        .outerjoin(entry, (entry.controller_id == leaf.controller_id) & (entry.id == leaf.entry_id))
        .outerjoin(about, (about.controller_id == leaf.controller_id) & (about.entry_id == leaf.entry_id))
        .where(leaf.controller_id == controller_of(session), leaf.epoch == epoch)
        .where(leaf.index >= first, leaf.index < until)
        .order_by(leaf.index)
    ).all()


def _goes_on(session: Session, log: Log, place: int) -> bool:
    """Say whether any entry stands at a place of the tree or after it."""
    leaf = AuditLeaf
    later = select(leaf.index).where(
        *(leaf.controller_id == controller_of(session), leaf.epoch == log.epoch),
        *(leaf.index >= place, leaf.index < log.size),
    )
    return session.scalar(later.limit(1)) is not None


def _stored(session: Session, epoch: int, level: int, numbers: range) -> dict[int, bytes]:
    if not numbers:
        return {}
    tile = AuditTile
    rows = session.execute(
        select(tile.number, tile.hashes).where(
            *(tile.controller_id == controller_of(session), tile.epoch == epoch, tile.level == level),
            *(tile.number >= numbers.start, tile.number < numbers.stop),
        )
    )
    return {row.number: row.hashes for row in rows}


def _not_made(tile: merkle.Tile, stored: bytes) -> str:
    """Say at which tile below a tile begins to differ."""
    offsets = range(0, TILE_BYTES, HASH_BYTES)
    first = next(at for at in offsets if stored[at : at + HASH_BYTES] != tile.hashes[at : at + HASH_BYTES])
    below = tile.number * TILE_WIDTH + first // HASH_BYTES
    return f"it is not made of the tiles below it, from tile {tile.level - 1}/{below} on"
