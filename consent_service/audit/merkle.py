"""What a Merkle tree of the log hashes to, and the proofs that a leaf is in it and that it only ever grew (RFC 9162).

A tree is kept in tiles of 256 hashes (C2SP tlog-tiles): level 0 holds the leaves' hashes, and each hash of a level
above is the root of one full tile beneath it. The trailing tiles that are not full yet are the *edge* of the tree. They
alone are needed to append, and with the tiles above a leaf they are all that a proof reads. Pure: values in, values
out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from consent_service.errors import ProofInvalidError, TileInvalidError

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES

#: The root of a tree without leaves (RFC 9162 §2.1.1).
EMPTY_ROOT: Final = sha256(b"").digest()

#: Gives the hashes of tile `number` on `level`, concatenated, as far as the whole tree has them.
ReadTile = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: 256 hashes, 8192 bytes."""

    level: int
    number: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """A tree after leaves were appended, with the tiles that became full by it, lower levels first.

    `edge` holds, level by level, the hashes of the trailing tile that is not full, concatenated; a level whose last
    tile is full has none.
    """

    edge: tuple[bytes, ...]
    size: int
    root: bytes
    tiles: tuple[Tile, ...]


def leaf_hash(leaf: bytes) -> bytes:
    """Hash the bytes of a leaf; the prefix keeps leaves and nodes apart (RFC 9162 §2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two nodes into the one above them (RFC 9162 §2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Compute the root of a whole tree from the hashes of all its leaves, in order."""
    row = b"".join(hashes)
    while len(row) > HASH_BYTES:
        row = _row_above(row)
    return row or EMPTY_ROOT


def append(edge: Sequence[bytes], size: int, leaf_hashes: Sequence[bytes]) -> Appended:
    """Append leaves to a tree of which only the edge is known; costs about two hashes a leaf, whatever the size.

    Raises TileInvalidError where the edge is not that of a tree of `size` leaves, or a leaf's hash is not 32 bytes.
    """
    if [len(row) for row in edge] != _edge_bytes(size) or any(len(one) != HASH_BYTES for one in leaf_hashes):
        raise TileInvalidError(f"the edge or the new hashes do not fit a tree of {size} leaves")
    grown = size + len(leaf_hashes)
    rows: list[bytes] = []
    tiles: list[Tile] = []
    arriving = b"".join(leaf_hashes)
    for level in range(_levels(grown)):
        row = (edge[level] if level < len(edge) else b"") + arriving
        first = size >> TILE_HEIGHT * (level + 1)
        full = [row[at : at + TILE_BYTES] for at in range(0, len(row) - TILE_BYTES + 1, TILE_BYTES)]
        tiles.extend(Tile(level, number, hashes) for number, hashes in enumerate(full, first))
        rows.append(row[len(full) * TILE_BYTES :])
        arriving = b"".join(root_of([hashes]) for hashes in full)
    root = root_at(grown, lambda level, _number: rows[level])
    return Appended(tuple(rows), grown, root, tuple(tiles))


def root_at(size: int, read: ReadTile) -> bytes:
    """Compute the root that the tree had when it held `size` leaves; reads at most one tile a level.

    Raises TileInvalidError where a tile holds fewer hashes than that tree has.
    """
    top = b""
    for level in range(_levels(size)):
        row = _edge_row(level, size, read) + top
        top = root_of([row]) if row else b""
    return top or EMPTY_ROOT


def prove_inclusion(index: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """Prove that leaf `index` is in the tree of `size` leaves; reads at most two tiles a level (RFC 9162 §2.1.3.1).

    Raises ProofInvalidError where there is no such leaf, TileInvalidError where a tile holds too few hashes.
    """
    if not 0 <= index < size:
        raise ProofInvalidError(f"leaf {index} is not in a tree of {size} leaves")
    path = (_sibling(row, position) for _height, row, position in _climb(index, size, read))
    return tuple(sibling for sibling in path if sibling)


def prove_consistency(old_size: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """Prove that the tree of `size` leaves begins with that of `old_size`; reads at most two tiles a level.

    The proof is empty where the sizes are the same and where the old tree was: every tree begins with the empty one
    (RFC 9162 §2.1.4.1). Raises ProofInvalidError where the old tree is larger, TileInvalidError where a tile holds too
    few hashes.
    """
    if not 0 <= old_size <= size:
        raise ProofInvalidError(f"a tree of {size} leaves cannot begin with one of {old_size}")
    if old_size in {0, size}:
        return ()
    # Below this height, whatever ends with the last old leaf lies wholly in the old tree and tells nothing new.
    lowest = _trailing_zeros(old_size)
    proof: list[bytes] = []
    for height, row, position in _climb(old_size - 1, size, read):
        if height == lowest and not _is_power_of_two(old_size):
            proof.append(_hash_at(row, position))
        if height >= lowest:
            proof.append(_sibling(row, position))
    return tuple(one for one in proof if one)


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the bytes `leaf` are leaf `index` of the tree with this root (RFC 9162 §2.1.3.2).

    Raises ProofInvalidError for whatever is wrong. The root must come from a signed checkpoint together with the size:
    a proof binds the leaf to the root, and the size only as far as it shapes the path.
    """
    if not 0 <= index < size:
        raise ProofInvalidError(f"leaf {index} is not in a tree of {size} leaves")
    _demand_hashes([*proof, root])
    position, last, found = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            raise ProofInvalidError("the proof has too many hashes")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            position, last = _up_to_right_child(position, last)
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofInvalidError("the proof has too few hashes")
    if found != root:
        raise ProofInvalidError("the proof leads to another root")


def verify_consistency(*, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree with the new root begins with the one with the old root (RFC 9162 §2.1.4.2).

    Trees of the same size are consistent when their roots are the same and the proof is empty. Raises ProofInvalidError
    for whatever is wrong, and for an empty old tree: about it nothing can be proved.
    """
    if not 0 < old_size <= size:
        raise ProofInvalidError(f"nothing proves that a tree of {size} leaves begins with one of {old_size}")
    _demand_hashes([*proof, old_root, root])
    if old_size == size:
        if proof or old_root != root:
            raise ProofInvalidError("trees of the same size have another root, or a proof that they do not need")
        return
    if not proof:
        raise ProofInvalidError("the proof has too few hashes")
    old_found, found = _roots_from(old_size, size, [old_root, *proof] if _is_power_of_two(old_size) else proof)
    if old_found != old_root or found != root:
        raise ProofInvalidError("the proof leads to other roots")


def _roots_from(old_size: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Compute the old and the new root to which a consistency proof leads (RFC 9162 §2.1.4.2, steps 3 to 6)."""
    shift = _trailing_zeros(old_size)
    position, last = (old_size - 1) >> shift, (size - 1) >> shift
    old_found = found = path[0]
    for one in path[1:]:
        if last == 0:
            raise ProofInvalidError("the proof has too many hashes")
        if position & 1 or position == last:
            old_found, found = node_hash(one, old_found), node_hash(one, found)
            position, last = _up_to_right_child(position, last)
        else:
            found = node_hash(found, one)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofInvalidError("the proof has too few hashes")
    return old_found, found


def _up_to_right_child(position: int, last: int) -> tuple[int, int]:
    """Skip the heights at which the node has no sibling, because the tree ends with it."""
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last


def _demand_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofInvalidError("a hash of the proof is not 32 bytes long")


def _climb(index: int, size: int, read: ReadTile) -> Iterator[tuple[int, bytes, int]]:
    """Walk from a leaf to the root: at each height below it, the row of hashes in the tile and the position in it."""
    short = b""
    for level in range(_levels(size)):
        edge = _edge_row(level, size, read) + short
        edge_rows = _rows(edge) if edge else (b"",)
        number = index >> TILE_HEIGHT * (level + 1)
        in_edge = number == size >> TILE_HEIGHT * (level + 1)
        rows = edge_rows if in_edge else _rows(_cut(read(level, number), TILE_WIDTH))
        position = (index >> TILE_HEIGHT * level) % TILE_WIDTH
        for height, row in enumerate(rows[:-1]):
            yield TILE_HEIGHT * level + height, row, position >> height
        # What hangs over the last full tile of this level counts as one more hash on the level above.
        short = edge_rows[-1]


def _edge_row(level: int, size: int, read: ReadTile) -> bytes:
    """Read the hashes of the trailing tile of a level that a tree of this size has; none where its last one is full."""
    number, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
    return _cut(read(level, number), width) if width else b""


def _cut(hashes: bytes, width: int) -> bytes:
    if len(hashes) < width * HASH_BYTES:
        raise TileInvalidError(f"a tile of {len(hashes)} bytes does not hold {width} hashes")
    return hashes[: width * HASH_BYTES]


# An export proves thousands of leaves under one head: the upper tiles and the edge are the same for all of them.
@lru_cache(maxsize=64)
def _rows(row: bytes) -> tuple[bytes, ...]:
    """Compute all rows above a row of hashes, up to the single one; the row itself comes first."""
    rows = [row]
    while len(rows[-1]) > HASH_BYTES:
        rows.append(_row_above(rows[-1]))
    return tuple(rows)


def _row_above(row: bytes) -> bytes:
    """Hash neighbours in pairs; an odd last one moves up as it is, which is RFC 9162's split seen from below."""
    paired = len(row) - len(row) % (2 * HASH_BYTES)
    pairs = [sha256(b"\x01" + row[at : at + 2 * HASH_BYTES]).digest() for at in range(0, paired, 2 * HASH_BYTES)]
    return b"".join([*pairs, row[paired:]])


def _hash_at(row: bytes, position: int) -> bytes:
    return row[position * HASH_BYTES : (position + 1) * HASH_BYTES]


def _sibling(row: bytes, position: int) -> bytes:
    """Give the hash beside this one, or nothing where the row ends with it."""
    return _hash_at(row, position ^ 1)


def _levels(size: int) -> int:
    """Count the levels of tiles in a tree of this size."""
    return -(-size.bit_length() // TILE_HEIGHT)


def _edge_bytes(size: int) -> list[int]:
    """Tell how many bytes the edge of a tree of this size has on each level."""
    return [(size >> TILE_HEIGHT * level) % TILE_WIDTH * HASH_BYTES for level in range(_levels(size))]


def _trailing_zeros(size: int) -> int:
    return (size & -size).bit_length() - 1


def _is_power_of_two(size: int) -> bool:
    return size & (size - 1) == 0
