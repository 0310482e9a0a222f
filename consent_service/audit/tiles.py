"""Where the tiles and the entries of a log lie, as paths, and how entries are bundled (C2SP tlog-tiles)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consent_service.audit.merkle import TILE_HEIGHT, TILE_WIDTH
from consent_service.errors import TileInvalidError

#: The longest leaf that a bundle can hold, in bytes: its length is written in two.
LONGEST_LEAF: Final = 0xFFFF
_HIGHEST_LEVEL: Final = 63
#: No log has more leaves than PostgreSQL's bigint can count, and so none has more tiles.
_TILES_MOST: Final = 2**63 // TILE_WIDTH
_PREFIX_BYTES: Final = 2

_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")
_UNGROUPED: Final = str.maketrans("", "", "x/")


@dataclass(frozen=True, slots=True)
class Place:
    """A tile of hashes, or the bundle of the entries under tile `number` of level 0, where `level` is None.

    `width` is how many hashes or entries it holds; 256 is a full one.
    """

    level: int | None
    number: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        """Refuse what is no place in any log; raises TileInvalidError."""
        within = 0 <= (self.level or 0) <= _HIGHEST_LEVEL and 0 <= self.number < _TILES_MOST
        if not within or not 1 <= self.width <= TILE_WIDTH:
            raise TileInvalidError("no log has a tile of this level, number and width")

    @property
    def path(self) -> str:
        """Return the path below the log's prefix, such as `tile/0/x001/x234/067.p/8`."""
        kind = "entries" if self.level is None else str(self.level)
        return f"tile/{kind}/{number_path(self.number)}{'' if self.width == TILE_WIDTH else f'.p/{self.width}'}"


def number_path(number: int) -> str:
    """Write a tile's number in groups of three digits, all but the last with an `x` before them."""
    groups = f"{number:,}".split(",")
    return "/".join([*(f"x{group:>03}" for group in groups[:-1]), f"{groups[-1]:>03}"])


def read_path(text: str) -> Place:
    """Read the path of a tile or a bundle; raises TileInvalidError unless it is written the one way it can be."""
    match = _PATH.fullmatch(text)
    if match:
        kind, number, width = match.groups()
        level = None if kind == "entries" else int(kind)
        place = Place(level, int(number.translate(_UNGROUPED)), TILE_WIDTH if width is None else int(width))
        if place.path == text:
            return place
    raise TileInvalidError("this is not the path of a tile")


def tiles_of(size: int, *, since: int = 0) -> Iterator[Place]:
    """Name every tile of hashes that a tree of `size` leaves has and one of `since` leaves has not, lower levels first.

    Of each level only the last tile can be partial. The bundles of entries are those of level 0.
    """
    level = 0
    while size >> TILE_HEIGHT * level:
        old, new = since >> TILE_HEIGHT * level, size >> TILE_HEIGHT * level
        for number in range(old // TILE_WIDTH, new // TILE_WIDTH):
            yield Place(level, number)
        if new > old and new % TILE_WIDTH:
            yield Place(level, new // TILE_WIDTH, new % TILE_WIDTH)
        level += 1


def write_bundle(leaves: Sequence[bytes]) -> bytes:
    """Write the leaves of a tile one after another, each behind its length.

    Raises TileInvalidError for no leaf, for more than a tile has, and for one that is too long.
    """
    if not 1 <= len(leaves) <= TILE_WIDTH or any(len(leaf) > LONGEST_LEAF for leaf in leaves):
        raise TileInvalidError(f"{len(leaves)} leaves, or one of them, do not fit a bundle")
    return b"".join(len(leaf).to_bytes(_PREFIX_BYTES) + leaf for leaf in leaves)


def read_bundle(bundle: bytes) -> tuple[bytes, ...]:
    """Read the leaves of a bundle; raises TileInvalidError where it is empty, cut short, or longer than a tile."""
    leaves: list[bytes] = []
    at = 0
    while at < len(bundle) and len(leaves) < TILE_WIDTH:
        start = at + _PREFIX_BYTES
        end = start + int.from_bytes(bundle[at:start])
        leaves.append(bundle[start:end])
        at = end
    if not leaves or at != len(bundle):
        raise TileInvalidError("a bundle of entries is empty, cut short or too long")
    return tuple(leaves)
