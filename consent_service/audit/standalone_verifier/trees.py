"""Hashes the tree of a log, and what its proofs lead to (RFC 6962)."""

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256().digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash two nodes of a tree into the one above them (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def subtree(hashes: Sequence[bytes]) -> bytes:
    """Return the root over 1, 2, 4 … or 256 hashes."""
    while len(hashes) > 1:
        hashes = [node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def edge_root(edge: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root of a tree from the hashes of each level that stand in no finished tile, lowest level first."""
    root = None
    for level in edge:
        hashes = level
        while hashes:
            # The last whole subtree is as wide as the lowest bit of the count.
            start = len(hashes) & (len(hashes) - 1)
            peak, hashes = subtree(hashes[start:]), hashes[:start]
            root = peak if root is None else node(peak, root)
    return EMPTY_ROOT if root is None else root


def included_root(index: int, size: int, leaf: bytes, proof: list[bytes]) -> bytes:
    """Return the root that a proof of inclusion leads to, and take its hashes from the list (RFC 6962 §2.1.1)."""
    if size <= 1:
        return leaf
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return node(included_root(index, half, leaf, proof), proof.pop(0))
    right = included_root(index - half, size - half, leaf, proof)
    return node(proof.pop(0), right)


def consistent_roots(old: int, size: int, root: bytes | None, proof: list[bytes]) -> tuple[bytes, bytes]:
    """Return the old and the new root that a proof of consistency leads to, and take its hashes (RFC 6962 §2.1.2)."""
    if old == size:
        known = proof.pop(0) if root is None else root
        return known, known
    half = 1 << (size - 1).bit_length() - 1
    if old <= half:
        before, after = consistent_roots(old, half, root, proof)
        return before, node(after, proof.pop(0))
    before, after = consistent_roots(old - half, size - half, None, proof)
    left = proof.pop(0)
    return node(left, before), node(left, after)
