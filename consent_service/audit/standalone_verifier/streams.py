"""Follows the streams of the opened entries: each number once, and each entry behind the one that it names."""

from dataclasses import dataclass
from typing import Final

from consent_service.audit.standalone_verifier.findings import Findings

#: Of a commitment its first 120 bits are kept, and of a stream's name 60 bits of a keyed hash, so that the ends of a
#: million streams fit in memory. Two streams that met would give a finding, not hide one.
PIECE_DIGITS: Final = 30
PIECE: Final = 1 << 4 * PIECE_DIGITS
NAMES: Final = 1 << 60
#: A stream in more pieces is not put together, for that would take for ever.
MOST_STRETCHES: Final = 10_000
Place = tuple[int, str, int]


@dataclass(slots=True)
class Stretch:
    """Entries of a stream that follow one another: first and last number, what the first follows, and how it ends."""

    first: int
    last: int
    link: int
    end: int
    place: Place


class Streams:
    """How far each stream was followed from its beginning, and what stands further on: a batch is in any order."""

    def __init__(self, findings: Findings, *, is_evidence: bool) -> None:
        #: How many entries a recovery kept that are under no checkpoint, and so not in the bundle.
        self.unsupplied = 0
        #: How many entries stand before the one they follow, which hides nothing.
        self.out_of_order = 0
        self._findings, self._is_evidence = findings, is_evidence
        #: The last number of each stream and the beginning of its commitment, as one integer.
        self._ends: dict[int, int] = {}
        self._further: dict[int, list[Stretch]] = {}
        self._closed: set[int] = set()

    def close(self, commit: bytes) -> None:
        """Take an entry that is not opened: another may follow it."""
        self._closed.add(int(commit[:PIECE_DIGITS], 16))

    def follow(self, stream: str, number: int, previous: str | None, commit: bytes, *, place: Place) -> None:
        """Take an opened entry; `place` is its index, its id and its epoch."""
        name, end = hash(stream) % NAMES, int(commit[:PIECE_DIGITS], 16)
        link = int(previous[:PIECE_DIGITS], 16) if previous else 0
        last, last_end = divmod(self._ends.get(name, 0), PIECE)
        further = self._further.get(name)
        if number <= last or (further and any(each.first <= number <= each.last for each in further)):
            self._findings.add("stream_gap", f"another entry is number {number} of its stream too", *place)
        elif number == last + 1 and link == last_end:
            self._ends[name] = number * PIECE + end
        else:
            self._extend(name, Stretch(number, number, link, end, place))

    def finish(self) -> None:
        """Join what stands further on to what it follows, and find what follows nothing."""
        for name, further in self._further.items():
            last, end = divmod(self._ends.get(name, 0), PIECE)
            for each in sorted(further, key=lambda stretch: stretch.first):
                missing = each.first - last - 1
                # Entries between may be here unopened, and a bundle of proofs may begin anywhere in a stream.
                is_joined = each.link == end if missing == 0 else each.link in self._closed
                self.out_of_order += is_joined and missing == 0
                if not is_joined and not (missing and self._is_evidence and last == 0):
                    self._excuse(each, missing)
                last, end = each.last, each.end

    def _extend(self, name: int, entry: Stretch) -> None:
        further = self._further.setdefault(name, [])
        for each in further:
            if each.last == entry.first - 1 and each.end == entry.link:
                each.last, each.end = entry.last, entry.end
                return
        if len(further) < MOST_STRETCHES:
            further.append(entry)
        else:
            self._excuse(entry, 0)

    def _excuse(self, stretch: Stretch, missing: int) -> None:
        if 0 < missing <= self.unsupplied:
            self.unsupplied -= missing
        else:
            says = f"it is number {stretch.first} of its stream, and follows an entry that is not here"
            self._findings.add("stream_gap", says, *stretch.place)
