"""What a verification of a log finds wrong: a stable name, the place, and a sentence without personal data."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: How many findings of one name a verification describes; the rest are counted.
MOST_OF_A_NAME: Final = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and in words."""

    name: str
    where: str
    words: str


@dataclass(slots=True)
class Findings:
    """Collects findings in the order in which they are found, and forgets all but the first ones of each name."""

    described: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, where: str, words: str) -> None:
        """Take down one thing that is wrong."""
        self.counts[name] += 1
        if self.counts[name] <= MOST_OF_A_NAME:
            self.described.append(Finding(name, where, words))


@dataclass(frozen=True, slots=True)
class VerifiedEpoch:
    """One epoch that was verified: its leaves, and how many of them lie outside too (None where nobody looked)."""

    epoch: int
    origin: str
    size: int
    copied: int | None


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was verified of one log, and what was found.

    `waiting` entries have no place yet. Of all entries `opened` say what they committed to, `erased` cannot be opened
    by anybody any more. `findings` holds the first ones of each name, `counts` how many there are.
    """

    controller_id: str
    epochs: tuple[VerifiedEpoch, ...]
    entries: int
    waiting: int
    opened: int
    erased: int
    streams: int
    tiles: int
    heads: int
    files: int
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]

    @property
    def is_sound(self) -> bool:
        """Say whether nothing was found."""
        return not self.findings
