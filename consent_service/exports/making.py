"""What makes a file: one step after the other, each in a transaction of its own, each told where the last one ended.

A process that dies takes nothing with it but the step it was in: piece, place and progress are committed together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file was asked for with, in the maker's own words, and by whom."""

    export_id: str
    parameters: Mapping[str, Any] = field(repr=False)
    requested_by: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one step made: more of the file, how far that is, and where to go on (JSON); None where that was the end."""

    data: bytes = field(repr=False)
    done: int
    total: int | None
    place: Mapping[str, Any] | None


class Maker(Protocol):
    """Makes the files of one kind."""

    def __call__(self, session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime) -> Step:
        """Make the next part of a file in well under the database's time limits; `place` is None at the beginning.

        Raises ConsentServiceError where it never can be made.
        """
        ...
