"""Reads keys and signed checkpoints, and verifies Ed25519 signatures."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
BASE: Final = (4 * pow(5, -1, P) % P).to_bytes(32, "little")
Point = tuple[int, int, int, int]
#: What a key signs as: a log, or a witness (c2sp.org/signed-note, tlog-cosignature).
LOG: Final = 1
WITNESS: Final = 4
BYTES: Final = 32
SIZE: Final = r"(0|[1-9][0-9]{0,17})"
TEXT: Final = r"[^\0-\x1f]"
CHECKPOINT: Final = re.compile(rf"(({TEXT}+)\n{SIZE}\n({TEXT}{{44}})\n(?:{TEXT}+\n)*)\n((?:— [^\s+]+ [^\s]+\n)+)")


class FindingError(Exception):
    """Something does not verify: the name of what was found, and a sentence."""


def _add(a: Point, b: Point) -> Point:
    # In extended coordinates (RFC 8032 §5.1.4).
    low, high = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2]
    e, f, g, h = (high - low) % P, (d - c) % P, (d + c) % P, (high + low) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int, point: Point) -> Point:
    total = (0, 1, 1, 0)
    while factor:
        total = _add(total, point) if factor & 1 else total
        factor, point = factor >> 1, _add(point, point)
    return total


def read_point(data: bytes) -> Point:
    """Decode a point; raises ValueError where it is off the curve or not in canonical form (RFC 8032 §5.1.3)."""
    sign, y = divmod(int.from_bytes(data, "little"), 1 << 255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    if len(data) != BYTES or y >= P or x * x % P != square or (sign and not x):
        raise ValueError("no point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether an Ed25519 signature is good (RFC 8032 §5.1.7, without the cofactor)."""
    number = int.from_bytes(signature[32:], "little")
    try:
        key, commitment = read_point(public), read_point(signature[:32])
    except ValueError:
        return False
    # A second spelling of a signature is refused, and a key of small order, which would sign anything.
    if len(signature) != 2 * BYTES or number >= ORDER or _times(8, key)[0] == 0:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = _times(number, read_point(BASE)), _add(commitment, _times(hashed, key))
    return not any((left[axis] * right[2] - right[axis] * left[2]) % P for axis in (0, 1))


def read_base64(text: str) -> bytes:
    """Decode base64 in its one canonical spelling (RFC 4648 §4); raises ValueError."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("no canonical base64")
    return data


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint: what a log said of itself at one size, and the signatures below it."""

    where: str
    text: str
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes], ...]


def read_head(where: str, data: bytes) -> Head:
    """Read a checkpoint (c2sp.org/tlog-checkpoint), its signatures unverified; raises FindingError."""
    try:
        found = CHECKPOINT.fullmatch(data.decode())
        lines = [line.split(" ") for line in found[5].split("\n")[:-1]] if found else []
        signatures = tuple((name, read_base64(signature)) for _, name, signature in lines)
        if found is not None and len(root := read_base64(found[4])) == BYTES:
            return Head(where, found[1], found[2], int(found[3]), root, signatures)
    except ValueError:
        pass
    raise FindingError("bad_signature", f"{where} is not a signed checkpoint")


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the name it signs under; by its kind it is a log's or a witness's."""

    name: str
    kind: int
    public: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}"

    @property
    def id(self) -> bytes:
        """Return the four bytes that stand before each of its signatures (c2sp.org/signed-note)."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:4]

    def signed_at(self, head: Head) -> int | None:
        """Return when it signed (0 for a log), None if it did not; raises FindingError where its signature is false."""
        for data in (data for name, data in head.signatures if (name, data[:4]) == (self.name, self.id)):
            seconds = int.from_bytes(data[4:12], "big") if self.kind == WITNESS else 0
            before = f"cosignature/v1\ntime {seconds}\n" if self.kind == WITNESS else ""
            if not is_signed(self.public, (before + head.text).encode(), data[12 if self.kind == WITNESS else 4 :]):
                raise FindingError("bad_signature", f"the signature of {self} on {head.where} is false")
            return seconds
        return None


def read_key(text: str) -> Key:
    """Read a verifier key, `name+hash+key` (c2sp.org/signed-note); raises ValueError."""
    name, given, encoded = text.split("+", 2)
    data = read_base64(encoded)
    key = Key(name, data[0], data[1:])
    if not name or len(data) != 1 + BYTES or key.kind not in {LOG, WITNESS} or given != key.id.hex():
        raise ValueError("no verifier key")
    return key
