"""Shows how far a stream is: a bar on a terminal, and elsewhere a line every ten seconds."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Final, TextIO

from consent_client.decisions import StreamDecision

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
except ImportError:
    HAS_RICH = False
else:
    HAS_RICH = True

#: Seconds between two lines where there is no terminal.
EVERY: Final = 10.0
_REDRAW: Final = 0.1


def shown(
    answers: Iterable[StreamDecision], *, total: int | None, out: TextIO | None = None
) -> Iterator[StreamDecision]:
    """Yield what comes; show on `out`, standard error by default, how many, how many a second, and how many yeses."""
    out = sys.stderr if out is None else out
    if HAS_RICH and out.isatty():
        return _with_bar(answers, total, out)
    return _with_lines(answers, total, out)


def length_of(subjects: object) -> int | None:
    """Return how many there are, where that is known beforehand."""
    return len(subjects) if isinstance(subjects, Sized) else None


def _with_bar(answers: Iterable[StreamDecision], total: int | None, out: TextIO) -> Iterator[StreamDecision]:
    columns = (
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s, {task.fields[yes]} yes"),
        TimeRemainingColumn(),
    )
    begun = drawn = time.monotonic()
    count = yes = 0
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task("", total=total, rate=0, yes=0)
        for answer in answers:
            count, yes = count + 1, yes + answer.allowed
            now = time.monotonic()
            if now - drawn >= _REDRAW:
                drawn = now
                bar.update(task, completed=count, rate=_rate(count, now - begun), yes=yes)
            yield answer
        bar.update(task, completed=count, rate=_rate(count, time.monotonic() - begun), yes=yes)


def _with_lines(answers: Iterable[StreamDecision], total: int | None, out: TextIO) -> Iterator[StreamDecision]:
    begun = said = time.monotonic()
    count = yes = 0
    for answer in answers:
        count, yes = count + 1, yes + answer.allowed
        now = time.monotonic()
        if now - said >= EVERY:
            said = now
            _say(out, count, total, yes, now - begun)
        yield answer
    _say(out, count, total, yes, time.monotonic() - begun)


def _say(out: TextIO, count: int, total: int | None, yes: int, seconds: float) -> None:
    of = "" if total is None else f" of {total}"
    print(f"checked {count}{of}, {yes} yes, {_rate(count, seconds)}/s", file=out, flush=True)


def _rate(count: int, seconds: float) -> int:
    return round(count / seconds) if seconds else 0
