"""The recursive definitions of RFC 9162 §2.1, over trees of any size: what merkle.py is held against.

A tree is given by its marked leaves; all others have one and the same hash. So a tree of 2^40 leaves costs no more than
the path to the leaves that a test marks.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import sha256

PLAIN = sha256(b"\x00").digest()


def split(count: int) -> int:
    """Return the largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1


def node(left: bytes, right: bytes) -> bytes:
    """Return HASH(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root_by_path(index: int, size: int, hashed: bytes, path: Sequence[bytes]) -> bytes | None:
    """Compute the root to which PATH(index, D[size]) leads, or None where it has another number of hashes."""
    if size == 1 or not path:
        return hashed if size == 1 and not path else None
    left, rest, sibling = split(size), path[:-1], path[-1]
    if index < left:
        below = root_by_path(index, left, hashed, rest)
        return below and node(below, sibling)
    below = root_by_path(index - left, size - left, hashed, rest)
    return below and node(sibling, below)


def roots_by_proof(old: int, size: int, old_root: bytes | None, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Compute the roots to which SUBPROOF(old, D[size], true) leads, or None where it has another number of hashes.

    Where `old_root` is None it is SUBPROOF(old, D[size], false), which begins with the root that is known otherwise.
    """
    if old == size:
        known = [*proof] if old_root is None else [old_root, *proof]
        return (known[0], known[0]) if len(known) == 1 else None
    if not proof:
        return None
    left, rest, sibling = split(size), proof[:-1], proof[-1]
    if old <= left:
        below = roots_by_proof(old, left, old_root, rest)
        return below and (below[0], node(below[1], sibling))
    below = roots_by_proof(old - left, size - left, None, rest)
    return below and (node(sibling, below[0]), node(sibling, below[1]))


class Tree:
    """An endless row of leaves' hashes; `marked` says which ones differ from PLAIN."""

    def __init__(self, marked: Mapping[int, bytes]) -> None:
        self._marked = marked
        self._places = sorted(marked)
        self._known: dict[tuple[int, int], bytes] = {}

    def root(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end]) (RFC 9162 §2.1.1)."""
        if start == end:
            return sha256(b"").digest()
        key = (start, end) if self._is_marked(start, end) else (-1, end - start)
        if key not in self._known:
            self._known[key] = self._hash(start, end)
        return self._known[key]

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        """Return PATH(index, D[start:end]), with `index` counted from `start` (RFC 9162 §2.1.3.1)."""
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle - start:
            return [*self.path(index, start, middle), self.root(middle, end)]
        return [*self.path(index - (middle - start), middle, end), self.root(start, middle)]

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        """Return PROOF(old_size, D[0:size]) (RFC 9162 §2.1.4.1)."""
        return self._subproof(old_size, 0, size, whole=True)

    def tile(self, level: int, number: int, width: int = 256) -> bytes:
        """Return the hashes of a tile (C2SP tlog-tiles)."""
        span = 256**level
        first = number * 256
        if not self._is_marked(first * span, (first + width) * span):
            return self.root(first * span, (first + 1) * span) * width
        return b"".join(self.root(at * span, (at + 1) * span) for at in range(first, first + width))

    def read_at(self, size: int, level: int, number: int) -> bytes:
        """Return the hashes of a tile as far as a tree of this size has them."""
        return self.tile(level, number, max(0, min(256, size // 256**level - number * 256)))

    def edge(self, size: int) -> tuple[bytes, ...]:
        """Return the hashes of the trailing partial tiles of a tree of this size, level by level."""
        counts = [size // 256**level for level in range(8) if size >= 256**level]
        return tuple(self.tile(level, count // 256, count % 256) for level, count in enumerate(counts))

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end - start:
            return [] if whole else [self.root(start, end)]
        middle = start + split(end - start)
        if old <= middle - start:
            return [*self._subproof(old, start, middle, whole=whole), self.root(middle, end)]
        return [*self._subproof(old - (middle - start), middle, end, whole=False), self.root(start, middle)]

    def _hash(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._marked.get(start, PLAIN)
        middle = start + split(end - start)
        return node(self.root(start, middle), self.root(middle, end))

    def _is_marked(self, start: int, end: int) -> bool:
        at = bisect_left(self._places, start)
        return at < len(self._places) and self._places[at] < end
