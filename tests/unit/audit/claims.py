"""Claims about a log, true ones and such as somebody has tampered with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from consent_service.audit import merkle
from consent_service.errors import ProofInvalidError
from tests.unit.audit.definitions import Tree

LEAVES = [b"leaf %d" % number for number in range(600)]
TREE = Tree({number: merkle.leaf_hash(leaf) for number, leaf in enumerate(LEAVES)})
READ = partial(TREE.read_at, len(LEAVES))
SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 16, 37, 64, 100, 255, 256, 257, 300, 512, 513, 600)

Proof = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What is claimed of a leaf."""

    leaf: bytes
    index: int
    size: int
    proof: Proof
    root: bytes

    def is_accepted(self) -> bool:
        try:
            merkle.verify_inclusion(leaf=self.leaf, index=self.index, size=self.size, proof=self.proof, root=self.root)
        except ProofInvalidError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Consistency:
    """What is claimed of two heads."""

    old_size: int
    old_root: bytes
    size: int
    root: bytes
    proof: Proof

    def is_accepted(self) -> bool:
        try:
            merkle.verify_consistency(
                old_size=self.old_size, old_root=self.old_root, size=self.size, root=self.root, proof=self.proof
            )
        except ProofInvalidError:
            return False
        return True


def inclusion(index: int, size: int) -> Inclusion:
    """Claim the truth about a leaf of TREE."""
    return Inclusion(LEAVES[index], index, size, merkle.prove_inclusion(index, size, READ), TREE.root(0, size))


def consistency(old_size: int, size: int) -> Consistency:
    """Claim the truth about two heads of TREE."""
    proof = merkle.prove_consistency(old_size, size, READ)
    return Consistency(old_size, TREE.root(0, old_size), size, TREE.root(0, size), proof)


def _flipped(content: bytes, bit: int) -> bytes:
    return (int.from_bytes(content) ^ 1 << bit).to_bytes(len(content))


def _wrong_lengths(content: bytes) -> list[bytes]:
    return [content[:-1], content[1:], content[:20], b"", content + b"\x00", b"\x00" + content, content + content]


def _damaged_proofs(proof: Proof, strangers: Sequence[bytes]) -> Iterator[tuple[str, Proof]]:
    """Change the hashes of a proof in one place: bits, length, number and order."""
    for at, one in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        yield from (("bit", (*before, _flipped(one, bit), *after)) for bit in (0, 7, 100, 131, 255))
        yield from (("length", (*before, wrong, *after)) for wrong in _wrong_lengths(one))
        yield from (("other", (*before, stranger, *after)) for stranger in strangers if stranger != one)
        yield "missing", (*before, *after)
        yield "cut", before
        yield "twice", (*before, one, one, *after)
        if after:
            yield "boundary", (*before, one[:-1], one[-1:] + after[0], *after[1:])
        for other in range(at + 1, len(proof)):
            yield "swapped", (*before, proof[other], *proof[at + 1 : other], one, *proof[other + 1 :])
    for at in range(len(proof) + 1):
        yield from (("extra", (*proof[:at], stranger, *proof[at:])) for stranger in (*strangers, b""))
    if len(proof) > 1:
        yield "reversed", proof[::-1]
    yield "joined", (b"".join(proof),) if len(proof) != 1 else (proof[0] * 2,)


def _near(number: int, bound: int) -> set[int]:
    """Name other numbers from 0 to `bound`, more of them nearby."""
    near = {number - 2, number - 1, number + 1, number + 2, number ^ 2, number ^ 4, number // 2, number * 2, 0, bound}
    return {other for other in near if 0 <= other <= bound and other != number}


def damaged_inclusions(index: int, size: int) -> Iterator[tuple[str, Inclusion]]:
    """Claim many untruths about a leaf, each with a word for what is wrong."""
    true = inclusion(index, size)
    strangers = [merkle.leaf_hash(true.leaf), true.root, merkle.EMPTY_ROOT]
    for kind, proof in _damaged_proofs(true.proof, strangers):
        yield kind, replace(true, proof=proof)
    for other in (*_near(index, size - 1), size, size + 1, -1, index - size, index + 2**40):
        yield "index", replace(true, index=other)
    for other in _near(size, len(LEAVES)):
        yield "head", replace(true, size=other, root=TREE.root(0, other))
    for wrong in (0, -1, -size):
        yield "size", replace(true, size=wrong)
    for leaf in (b"", true.leaf + b" ", _flipped(true.leaf, 3), merkle.leaf_hash(true.leaf), LEAVES[index - 1] + b"!"):
        yield "leaf", replace(true, leaf=leaf)
    for root in (*(_flipped(true.root, bit) for bit in (0, 99, 255)), merkle.EMPTY_ROOT, *_wrong_lengths(true.root)):
        yield "root", replace(true, root=root)


def damaged_consistencies(old_size: int, size: int) -> Iterator[tuple[str, Consistency]]:
    """Claim many untruths about two heads, each with a word for what is wrong."""
    true = consistency(old_size, size)
    for kind, proof in _damaged_proofs(true.proof, [true.old_root, true.root, merkle.EMPTY_ROOT]):
        yield kind, replace(true, proof=proof)
    for other in _near(old_size, size):
        yield "old head", replace(true, old_size=other, old_root=TREE.root(0, other))
    for other in _near(size, len(LEAVES)):
        yield "head", replace(true, size=other, root=TREE.root(0, other))
    for old, new in ((0, size), (-1, size), (old_size, 0), (size, old_size), (size + 1, size), (old_size, -size)):
        if (old, new) != (old_size, size):
            yield "sizes", replace(true, old_size=old, size=new)
    if true.proof:
        # Hashed together, the two are the same bytes: only their lengths tell.
        moved = true.old_root[-1:] + true.proof[0]
        yield "boundary", replace(true, old_root=true.old_root[:-1], proof=(moved, *true.proof[1:]))
    for bit in (0, 99, 255):
        yield "old root", replace(true, old_root=_flipped(true.old_root, bit))
        yield "root", replace(true, root=_flipped(true.root, bit))
    for wrong in (merkle.EMPTY_ROOT, *_wrong_lengths(true.root)):
        yield "old root", replace(true, old_root=wrong)
        yield "root", replace(true, root=wrong)
    if old_size != size:
        yield "roots swapped", replace(true, old_root=true.root, root=true.old_root)
        yield "same root", replace(true, old_root=true.root)
