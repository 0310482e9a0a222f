"""Reads the clocks: the one on the wall, which may be set back, and the steady one, which may not."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks; `steady` counts seconds from some start and means nothing on another machine."""

    at: datetime
    steady: float


def take() -> Moment:
    """Return this moment."""
    return Moment(at=datetime.now(UTC), steady=_steady())


def _steady() -> float:
    # Where the system has it, the clock that also counts while the machine sleeps.
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
