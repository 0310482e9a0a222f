"""Writes bundles of invented logs as the specifications say, independently of the service's own writer."""

import base64
import functools
import hashlib
import hmac
import json
import shutil
import struct
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_service.audit import standalone_verifier

ORIGIN = "consent.example.no/log/ctl_01JZ8Q4W7M3X5V9B2C6D8F0G1H"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY = "2026-05-03T10:00:00"
LOG_TYPE, WITNESS_TYPE = 1, 4
TILE = 256


def canonical(value: object) -> str:
    """Write JSON with sorted names and no spaces; what is invented here needs no more of RFC 8785."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def entry_id(number: int) -> str:
    """Return the id of the entry with that number: ordered, and as random at its end as real ones."""
    tail = int.from_bytes(hashlib.sha256(b"id %d" % number).digest()[:10], "big")
    value = number << 80 | tail
    return "aud_" + "".join(ALPHABET[value >> 5 * place & 31] for place in range(25, -1, -1))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry with its opening."""

    id: str
    type: str
    key: bytes
    payload: str
    gap: dict[str, Any] | None = None

    @property
    def commit(self) -> str:
        """Return what binds the payload, in hex."""
        return hmac.new(self.key, self.payload.encode(), hashlib.sha256).hexdigest()

    @property
    def leaf(self) -> bytes:
        """Return what is hashed into the tree."""
        moment = f"{DAY}.{int(self.id[-3:], 36) % 1_000_000:06}Z"
        shown: dict[str, Any] = {"v": 1, "id": self.id, "t": self.type, "ts": moment, "commit": self.commit}
        return canonical(shown if self.gap is None else {**shown, "gap": self.gap}).encode()

    @property
    def opening(self) -> str:
        """Return its line of openings.jsonl."""
        return canonical({"id": self.id, "key": self.key.hex(), "payload": self.payload})


class Writer:
    """Invents entries, each the next one of its stream."""

    def __init__(self) -> None:
        self._count = 0
        self._heads: dict[str, tuple[int, str]] = {}

    def entry(
        self, stream: str, kind: str = "consent.given", *, gap: dict[str, Any] | None = None, **more: object
    ) -> Entry:
        """Return the next entry of a stream; `more` goes into its payload, over what stands there."""
        number, previous = self._heads.get(stream, (0, None))
        facts = {"actor": "system", "stream": stream, "number": number + 1, "previous": previous, "type": kind, **more}
        key = hashlib.sha256(b"key %d" % self._count).digest()
        entry = Entry(entry_id(self._count), kind, key, canonical(facts), gap)
        self._count += 1
        self._heads[stream] = (number + 1, entry.commit)
        return entry

    def entries(self, count: int, *, streams: int = 7) -> list[Entry]:
        """Return so many entries, in turn of the streams."""
        return [self.entry(f"subject:{at % streams}", note="Blåbærsyltetøy") for at in range(count)]

    def restored(self, entries: Iterable[Entry]) -> Self:
        """Forget, as a database restored from a backup does, all entries but these; ids are never used again."""
        self._heads = {}
        for entry in entries:
            facts = json.loads(entry.payload)
            self._heads[facts["stream"]] = (facts["number"], entry.commit)
        return self


def node(left: bytes, right: bytes) -> bytes:
    """Hash two nodes (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return MTH(D[n]) as the standard defines it (RFC 6962 §2.1)."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = _half(len(hashes))
    return node(root_of(hashes[:half]), root_of(hashes[half:]))


def path_of(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) (RFC 6962 §2.1.1)."""
    if len(hashes) <= 1:
        return []
    half = _half(len(hashes))
    if index < half:
        return [*path_of(index, hashes[:half]), root_of(hashes[half:])]
    return [*path_of(index - half, hashes[half:]), root_of(hashes[:half])]


def proof_of(old: int, hashes: Sequence[bytes], *, is_whole: bool = True) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) (RFC 6962 §2.1.2)."""
    if old == len(hashes):
        return [] if is_whole else [root_of(hashes)]
    half = _half(len(hashes))
    if old <= half:
        return [*proof_of(old, hashes[:half], is_whole=is_whole), root_of(hashes[half:])]
    return [*proof_of(old - half, hashes[half:], is_whole=False), root_of(hashes[:half])]


def _half(size: int) -> int:
    half = 1
    while half * 2 < size:
        half *= 2
    return half


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs as a log (type 1) or cosigns as a witness (type 4)."""

    name: str
    type: int = LOG_TYPE
    seed: bytes = b"\x07" * 32

    @property
    def public(self) -> bytes:
        """Return the public key."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        """Return the key's four bytes (c2sp.org/signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """Return the verifier key (c2sp.org/signed-note)."""
        return f"{self.name}+{self.id.hex()}+{_b64(bytes([self.type]) + self.public)}"

    def line(self, text: str, *, at: int = 0) -> str:
        """Return the signature line under a checkpoint; a witness tells the time (c2sp.org/tlog-cosignature)."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        if self.type == LOG_TYPE:
            return f"— {self.name} {_b64(self.id + key.sign(text.encode()))}\n"
        signature = key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        return f"— {self.name} {_b64(self.id + struct.pack('>Q', at) + signature)}\n"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def checkpoint(origin: str, hashes: Sequence[bytes], *signers: Signer, root: bytes | None = None) -> str:
    """Return the signed checkpoint of a tree (c2sp.org/tlog-checkpoint)."""
    text = f"{origin}\n{len(hashes)}\n{_b64(root or root_of(hashes))}\n"
    return f"{text}\n{''.join(signer.line(text, at=1_800_000_000) for signer in signers)}"


@dataclass
class Log:
    """One epoch of a log, and which checkpoints of it were kept."""

    entries: Sequence[Entry]
    epoch: int = 1
    kept: Sequence[int] = ()
    witnesses: Sequence[Signer] = ()
    signer: Signer = field(default_factory=lambda: Signer(ORIGIN))

    def __post_init__(self) -> None:
        if self.epoch > 1:
            self.signer = Signer(f"{ORIGIN}/e{self.epoch}", seed=self.signer.seed)

    @functools.cached_property
    def hashes(self) -> list[bytes]:
        """Return the hashes of its leaves."""
        return [leaf_hash(entry.leaf) for entry in self.entries]

    def checkpoint(self, size: int | None = None) -> str:
        """Return its signed checkpoint at a size, or its newest one, which is cosigned too."""
        witnesses = self.witnesses if size is None else ()
        return checkpoint(self.signer.name, self.hashes[:size], self.signer, *witnesses)

    def gap(self, kept: int) -> dict[str, Any]:
        """Return what the first leaf of the next epoch says of this one."""
        root = root_of(self.hashes).hex()
        return {"log": self.signer.name, "size": len(self.entries), "root": root, "kept": kept, "finding": "truncated"}


def write_bundle(
    folder: Path,
    *logs: Log,
    erased: Iterable[str] = (),
    withheld: Iterable[str] = (),
    lost: int | None = None,
    opened: int | None = None,
) -> Path:
    """Write a bundle with all tiles; epochs before the last have their first `lost` leaves and `opened` openings."""
    shown: list[Entry] = []
    for log in logs:
        place, is_last = _begin(folder, log), log is logs[-1]
        write_tiles(place / "tile", (entry.leaf for entry in log.entries[: None if is_last else lost]))
        shown += log.entries[: None if is_last else opened]
    write_openings(folder, shown, erased=set(erased), withheld=set(withheld))
    return folder


def write_evidence(
    folder: Path, *logs: Log, about: Iterable[str], erased: Iterable[str] = (), withheld: Iterable[str] = ()
) -> Path:
    """Write a bundle that proves some entries only."""
    wanted = set(about)
    for log in logs:
        place, hashes = _begin(folder, log), log.hashes
        for name in ("proofs", "entries", "consistency"):
            (place / name).mkdir()
        for index, entry in enumerate(log.entries):
            if entry.id in wanted:
                proof = "".join(f"{_b64(each)}\n" for each in path_of(index, hashes))
                text = f"c2sp.org/tlog-proof@v1\nindex {index}\n{proof}\n{log.checkpoint()}"
                (place / "proofs" / f"{entry.id}.tlog-proof").write_text(text, "utf-8")
                (place / "entries" / f"{entry.id}.json").write_bytes(entry.leaf)
        for size in log.kept:
            text = "".join(f"{_b64(each)}\n" for each in proof_of(size, hashes))
            (place / "consistency" / f"{size}.txt").write_text(text, "utf-8")
    chosen = [entry for log in logs for entry in log.entries if entry.id in wanted]
    write_openings(folder, chosen, erased=set(erased), withheld=set(withheld))
    return folder


def _begin(folder: Path, log: Log) -> Path:
    place = folder / "log" / f"e{log.epoch}"
    (place / "checkpoints").mkdir(parents=True)
    (folder / "README.txt").write_text("How to verify this bundle\n", "utf-8")
    (folder / "verify.py").write_text(standalone_verifier.program(), "utf-8")
    (place / "vkey.txt").write_text(f"{log.signer.vkey}\n", "utf-8")
    (place / "checkpoint").write_text(log.checkpoint(), "utf-8")
    for day, size in enumerate(log.kept, 1):
        (place / "checkpoints" / f"2026-05-{day:02}.txt").write_text(log.checkpoint(size), "utf-8")
    return place


def write_tiles(folder: Path, leaves: Iterable[bytes], *, anew: bool = False) -> list[bytes]:
    """Write bundles of entries and the tiles of every level (c2sp.org/tlog-tiles); return the hashes of the leaves."""
    if anew:
        shutil.rmtree(folder)
    level, hashes = 0, []
    for number, piece in enumerate(_pieces(leaves)):
        _put(folder, "entries", number, len(piece), b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in piece))
        hashes += [leaf_hash(leaf) for leaf in piece]
    row = hashes
    while row:
        above = []
        for number, piece in enumerate(_pieces(row)):
            _put(folder, str(level), number, len(piece), b"".join(piece))
            above += [root_of(piece)] * (len(piece) == TILE)
        row, level = above, level + 1
    return hashes


def _pieces(row: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece = []
    for each in row:
        piece.append(each)
        if len(piece) == TILE:
            yield piece
            piece = []
    if piece:
        yield piece


def _put(folder: Path, level: str, number: int, width: int, data: bytes) -> None:
    name, rest = f"{number % 1000:03}", number // 1000
    while rest:
        name, rest = f"x{rest % 1000:03}/{name}", rest // 1000
    path = folder / level / (name if width == TILE else f"{name}.p/{width}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_openings(
    folder: Path, entries: Iterable[Entry], *, erased: Collection[str] = (), withheld: Collection[str] = ()
) -> None:
    """Write what opens these entries, or says that they were erased, in the order of the tree."""
    with (folder / "openings.jsonl").open("w", encoding="utf-8") as file:
        for entry in entries:
            if entry.id in erased:
                file.write(canonical({"id": entry.id, "erased": True}) + "\n")
            elif entry.id not in withheld:
                file.write(f"{entry.opening}\n")


def as_zip(folder: Path, target: Path) -> Path:
    """Pack a bundle into a zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder).as_posix())
    return target
