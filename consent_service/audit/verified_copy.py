"""Holds the copy of a log outside the database against the tree that the entries make, file by file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consent_service.audit import merkle, tiles
from consent_service.audit.findings import Findings
from consent_service.audit.merkle import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH
from consent_service.audit.tiles import Place
from consent_service.errors import LogCopyError, TileInvalidError

#: No bundle of ours is longer: 256 leaves with their lengths.
_MOST_BYTES: Final = TILE_WIDTH * (tiles.LONGEST_LEAF + 2)


class CopyCheck:
    """Compares the tiles and bundles of one epoch's copy with what the database makes; `size` leaves are copied."""

    def __init__(self, folder: Path, *, size: int, findings: Findings) -> None:
        self.size = size
        self.files = 0
        self.lost: list[Place] = []
        self._folder = folder
        self._findings = findings

    def compare_tile(self, place: Place, hashes: bytes) -> None:
        """Compare a tile byte by byte; one that is not full may have given way to a longer one meanwhile."""
        content = self._read(place)
        if content is not None and content != hashes:
            self._differs(place)

    def compare_bundle(self, place: Place, hashes: Sequence[bytes]) -> None:
        """Compare the leaves of a bundle, which stand there in clear, with their hashes."""
        content = self._read(place)
        if content is None:
            return
        try:
            found = [merkle.leaf_hash(leaf) for leaf in tiles.read_bundle(content)]
        except TileInvalidError:
            found = []
        if found != list(hashes):
            self._differs(place)

    def compare_beginning(self, *, size: int, edge: Sequence[bytes]) -> None:
        """Compare the tiles with which the database's tree ends, where the copy goes on and names what was lost."""
        for level, row in enumerate(edge):
            number = size >> TILE_HEIGHT * (level + 1)
            width = min((self.size >> TILE_HEIGHT * level) - number * TILE_WIDTH, TILE_WIDTH)
            place = Place(level, number, width)
            if row and (content := self._read(place)) is not None and content[: len(row)] != row:
                self._differs(place)

    def demand_root(self, root: bytes) -> None:
        """Compare the tiles of what was lost with the head that was signed over it."""

        def read(level: int, number: int) -> bytes:
            width = min((self.size >> TILE_HEIGHT * level) - number * TILE_WIDTH, TILE_WIDTH)
            return self._read(Place(level, number, width)) or b""

        try:
            is_right = merkle.root_at(self.size, read) == root
        except TileInvalidError:
            is_right = False
        if not is_right:
            self._findings.add(
                "copy_differs", f"copy {self._folder.name}", "the tiles outside do not make the root that was signed"
            )

    def report_lost(self, findings: Findings) -> None:
        """Report the files that were not there."""
        for place in self.lost:
            where = f"copy {self._folder.name}/{place.path}"
            findings.add("copy_missing", where, "the file is not there")

    def _read(self, place: Place) -> bytes | None:
        self.files += 1
        try:
            with (self._folder / place.path).open("rb") as file:
                return file.read(_MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self.lost.append(place)
            return None
        except OSError as error:
            raise LogCopyError(f"the copy of the log cannot be read: {error.strerror}") from None

    def _differs(self, place: Place) -> None:
        where = f"copy {self._folder.name}/{place.path}"
        self._findings.add("copy_differs", where, "what lies outside is not what the entries in the database make")


def is_full(place: Place) -> bool:
    """Say whether a tile holds all it ever will."""
    return place.width * HASH_BYTES == merkle.TILE_BYTES
