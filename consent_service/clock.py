"""The only reader of the time.

Everything else is given its `at`, so that a decision about yesterday is the same function as one about now, and so
that a demo can move the clock of all its processes at once.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

#: Set only in a demo folder: a file whose text is the number of seconds by which the demo's clock is ahead.
OFFSET_FILE_VARIABLE = "CONSENT_CLOCK_FILE"


def now() -> datetime:
    """Return the present moment in UTC, moved forward by the demo's offset where there is one."""
    return machine_time() + _offset()


def machine_time() -> datetime:
    """Return the machine's own time in UTC, for comparing it with the database's."""
    return datetime.now(UTC)


def advance(duration: timedelta) -> datetime:
    """Move the clock of every process of this demo forward and return the new now.

    Raises RuntimeError outside a demo and ValueError when asked to go back: acts are never reordered.
    """
    path = _offset_path()
    if path is None:
        message = "the clock moves only in a demo"
        raise RuntimeError(message)
    if duration < timedelta(0):
        message = "the clock does not go back"
        raise ValueError(message)
    seconds = (_offset() + duration).total_seconds()
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{seconds}\n", encoding="ascii")
    fresh.replace(path)
    return now()


def _offset_path() -> Path | None:
    name = os.environ.get(OFFSET_FILE_VARIABLE)
    return Path(name) if name else None


def _offset() -> timedelta:
    path = _offset_path()
    if path is None:
        return timedelta(0)
    try:
        return timedelta(seconds=float(path.read_text(encoding="ascii")))
    except FileNotFoundError:
        return timedelta(0)
