"""Reads the files of a bundle, from a folder or a zip, and the forms they are written in."""

import collections
import json
import re
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, Final

from consent_service.audit.standalone_verifier.signatures import SIZE, TEXT, FindingError, read_base64

MOST_BYTES: Final = 1 << 20
MOST_ENTRIES_BYTES: Final = 256 * 65_537
TILE: Final = 256
HASH_BYTES: Final = 32
HASH: Final = re.compile("[0-9a-f]{64}")
UNREADABLE: Final = (OSError, EOFError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error, LZMAError)
ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
PROOF: Final = re.compile(rf"c2sp\.org/tlog-proof@v1\nindex {SIZE}\n((?:{TEXT}{{44}}\n)*)\n(.+)", re.DOTALL)
ID: Final = rb"aud_[0-7][0-9A-HJKMNP-TV-Z]{25}"
LEAF: Final = re.compile(
    rb'\{"commit":"([0-9a-f]{64})",(?:"gap":(\{.*\}),)?"id":"(%b)","t":"([a-z0-9_.]+)",'
    rb'"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","v":1\}' % ID
)
OPENED: Final = re.compile(rb'\{"id":"(%b)","key":"([0-9a-f]{64})","payload":(".*")\}\n' % ID)
ERASED: Final = re.compile(rb'\{(?:"erased":true,"id":"(%b)"|"id":"(%b)","erased":true)\}\n' % (ID, ID))


def canonical(value: object) -> str:
    """Write JSON in its canonical form (RFC 8785), for names within the first plane of Unicode."""
    return ENCODER.encode(value)


def entry_of(leaf: bytes) -> str | None:
    """Return the id of the entry that a leaf is about, None where it is no leaf."""
    found = LEAF.fullmatch(leaf)
    return found[3].decode() if found else None


def read_gap(leaf: bytes) -> dict[str, Any] | None:
    """Return what a leaf says was lost before it, None where it says nothing of that; raises FindingError."""
    found = LEAF.fullmatch(leaf)
    if found is None or (found[2] is None) != (found[4] != b"log.recovered"):
        raise FindingError("leaf_mismatch", "this is not written as a leaf of this log is")
    if found[2] is None:
        return None
    try:
        gap = json.loads(text := found[2].decode())
        is_whole = canonical(gap) == text and all(_names_an_end(each) for each in (gap, *gap.get("later", [])))
        is_whole = is_whole and type(gap["kept"]) is int and gap["kept"] >= 0
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise FindingError("gap_hidden", "this does not say as it must what was lost")
    return dict(gap)


def _names_an_end(lost: dict[str, Any]) -> bool:
    size, is_named = lost["size"], isinstance(lost["log"], str) and HASH.fullmatch(lost["root"]) is not None
    return is_named and type(size) is int and size >= 0


def read_proof(name: str, data: bytes) -> tuple[int, list[bytes], bytes]:
    """Read a proof of inclusion (c2sp.org/tlog-proof): index, hashes and checkpoint; raises FindingError."""
    try:
        found = PROOF.fullmatch(data.decode())
        if found is not None:
            return int(found[1]), read_hashes(found[2]), found[3].encode()
    except ValueError:
        pass
    raise FindingError("proof_invalid", f"{name} is not a proof of inclusion")


def read_hashes(text: str) -> list[bytes]:
    """Read hashes, a line in base64 for each; raises ValueError."""
    hashes = [read_base64(line) for line in text.split("\n")[:-1]]
    if not text.endswith("\n" if text else "") or any(len(each) != HASH_BYTES for each in hashes):
        raise ValueError("no hashes")
    return hashes


class Bundle:
    """The files of a bundle, in a folder, or in a zip that is read where it lies and never extracted."""

    def __init__(self, path: Path) -> None:
        self._folder, self._zip = path, None if path.is_dir() else zipfile.ZipFile(path)
        files = [*path.glob("log/**/*"), *path.glob("evidence/*")]
        found = [each.relative_to(path).as_posix() for each in files if each.is_file()]
        self.names = names = collections.Counter(self._zip.namelist() if self._zip else found)
        self.twice = [name for name, count in names.items() if count > 1]
        self.papers = sorted(name for name in names if name.startswith("evidence/") and not name.endswith("/"))
        self.unread = {name for name in names if name.startswith("log/") and not name.endswith("/")}

    def open(self, name: str) -> IO[bytes]:
        """Open a file; raises one of UNREADABLE."""
        self.unread.discard(name)
        return self._zip.open(name) if self._zip else (self._folder / name).open("rb")

    def read(self, name: str, limit: int = MOST_BYTES) -> bytes:
        """Read a file of at most `limit` bytes; raises FindingError."""
        try:
            with self.open(name) as file:
                data = file.read(limit + 1)
        except UNREADABLE as error:
            raise FindingError("truncated", f"{name} is missing, damaged or cut off") from error
        if len(data) > limit:
            raise FindingError("truncated", f"{name} is larger than such a file can be")
        return data

    def entries(self, epoch: int, number: int, width: int) -> list[bytes]:
        """Read the leaves of a bundle of entries, each behind its length; raises FindingError."""
        name = tile_name(epoch, "entries", number, width)
        data = self.read(name, MOST_ENTRIES_BYTES)
        leaves, at = [], 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            leaves.append(data[at + 2 : end])
            at = end
        if at != len(data) or len(leaves) < width:
            raise FindingError("truncated", f"{name} ends too early")
        if len(leaves) > width:
            raise FindingError("entry_extra", f"{name} holds too many entries")
        return leaves

    def tile(self, epoch: int, level: int, number: int, width: int) -> list[bytes]:
        """Read the hashes of a tile; raises FindingError."""
        name = tile_name(epoch, level, number, width)
        data = self.read(name)
        if len(data) != HASH_BYTES * width:
            raise FindingError("tile_mismatch", f"{name} holds {len(data)} bytes instead of {HASH_BYTES * width}")
        return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def tile_name(epoch: int, level: int | str, number: int, width: int) -> str:
    """Return the name of a tile (c2sp.org/tlog-tiles), such as `log/e1/tile/0/x001/234.p/7`."""
    digits = f"{number:0{-(-len(str(number)) // 3) * 3}}"
    parts = [f"x{digits[at : at + 3]}" for at in range(0, len(digits) - 3, 3)] + [digits[-3:]]
    return f"log/e{epoch}/tile/{level}/{'/'.join(parts)}{'' if width == TILE else f'.p/{width}'}"
