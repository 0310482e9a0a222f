"""Writes and reads what is said about a log in text: its heads, and proofs that travel as files.

The forms are C2SP tlog-checkpoint and tlog-proof. Each value has one spelling, and any other is refused. What is read
here is not verified: signatures are crypto/notes.py's, hashes merkle.py's.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consent_service.audit.merkle import EMPTY_ROOT, HASH_BYTES
from consent_service.errors import CheckpointInvalidError, ProofInvalidError

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"

#: One more than the most leaves that a log can have: PostgreSQL's bigint counts them.
_SIZES_END: Final = 2**63
#: An inclusion proof has a hash for each height, a consistency proof at most one more.
_HASHES_MOST: Final = 64
_CHECKPOINT_LINES: Final = 3

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: the root that its tree of `size` leaves has.

    `extensions` are further lines that only other logs write; nobody can audit what they say.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no checkpoint can say; raises CheckpointInvalidError."""
        if any(not line or _CONTROL.search(line) for line in (self.origin, *self.extensions)):
            raise CheckpointInvalidError("a line of the checkpoint is empty or holds control characters")
        if not 0 <= self.size < _SIZES_END or len(self.root) != HASH_BYTES:
            raise CheckpointInvalidError("the size or the root of the checkpoint cannot be that of a tree")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointInvalidError("the checkpoint names a root for a tree without leaves")

    def text(self) -> str:
        """Return the text that is signed, with the line feed at its end."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, _encode(self.root), *self.extensions))


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof that leaf `index` is in the log whose signed checkpoint is `note`, as it travels to an outsider.

    `extra` is signed by nobody.
    """

    index: int
    proof: tuple[bytes, ...]
    note: str
    extra: bytes | None = None


def read(text: str) -> Checkpoint:
    """Read the text of a checkpoint, without signatures; raises CheckpointInvalidError."""
    lines = text.split("\n")
    if len(lines) <= _CHECKPOINT_LINES or lines.pop():
        raise CheckpointInvalidError("the checkpoint has fewer than three lines, or its last is not ended")
    origin, size, root, *extensions = lines
    hashed = _decode(root)
    if not _DECIMAL.fullmatch(size) or hashed is None:
        raise CheckpointInvalidError("the size or the root of the checkpoint is not written as it has to be")
    return Checkpoint(origin, int(size), hashed, tuple(extensions))


def write_hashes(hashes: Sequence[bytes]) -> str:
    """Write the hashes of a proof, one a line."""
    return "".join(f"{_encode(one)}\n" for one in hashes)


def read_hashes(text: str) -> tuple[bytes, ...]:
    """Read the hashes of a proof, one a line; raises ProofInvalidError."""
    *lines, rest = text.split("\n")
    hashes = [_decode(line) for line in lines[: _HASHES_MOST + 1]]
    found = tuple(one for one in hashes if one is not None and len(one) == HASH_BYTES)
    if rest or len(found) != len(lines) or len(found) > _HASHES_MOST:
        raise ProofInvalidError("the proof is not at most 64 hashes of 32 bytes, one a line")
    return found


def write_proof(index: int, proof: Sequence[bytes], note: str, extra: bytes | None = None) -> str:
    """Write the file of an inclusion proof around the signed checkpoint `note`."""
    said = f"extra {_encode(extra)}\n" if extra else ""
    return f"{PROOF_HEADER}\n{said}index {index}\n{write_hashes(proof)}\n{note}"


def read_proof(text: str) -> ProofFile:
    """Read the file of an inclusion proof; raises ProofInvalidError. Its note is taken as it is and not looked into."""
    head, _, note = text.partition("\n\n")
    title, _, rest = head.partition("\n")
    extra = None
    if rest.startswith("extra "):
        said, _, rest = rest.partition("\n")
        extra = _decode(said.removeprefix("extra "))
        if not extra:
            raise ProofInvalidError("the extra data of the proof is not written as it has to be")
    index, break_, hashes = rest.partition("\n")
    number = index.removeprefix("index ")
    if title != PROOF_HEADER or not note or number == index or not _DECIMAL.fullmatch(number):
        raise ProofInvalidError(f"this is not a proof of the form {PROOF_HEADER}")
    if int(number) >= _SIZES_END:
        raise ProofInvalidError("no log has a leaf of this index")
    return ProofFile(int(number), read_hashes(f"{hashes}\n" if break_ else ""), note, extra)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decode(text: str) -> bytes | None:
    """Decode base64, or return None where it is not written the one way it can be."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if _encode(content) == text else None
