"""Says how far the reading of a file has come: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_T = TypeVar("_T")

_SECONDS: Final = 10.0
#: How often the clock is looked at: often enough for a slow line, seldom enough for a million fast ones.
_EVERY: Final = 500


@contextmanager
def watch(*, total: int, read: Callable[[], int]) -> Iterator[Callable[[Iterable[_T]], Iterator[_T]]]:
    """Hand out a function that passes lines through and tells standard error how far the file has been read.

    `total` is the size of the file and `read` says how much of it was read, both in bytes.
    """
    if not sys.stderr.isatty():
        yield lambda lines: _with_lines(lines, total=total, read=read)
        return
    columns = (
        TextColumn("{task.percentage:>3.0f} %"),
        BarColumn(),
        TextColumn("{task.fields[count]:,} lines, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield lambda lines: _with_bar(lines, progress, total=total, read=read)


def _with_bar(lines: Iterable[_T], progress: Progress, *, total: int, read: Callable[[], int]) -> Iterator[_T]:
    begun = time.monotonic()
    task = progress.add_task("", total=total, count=0, rate=0.0)
    count = 0
    for count, line in enumerate(lines, start=1):
        if count % _EVERY == 0:
            rate = count / max(time.monotonic() - begun, 0.001)
            progress.update(task, completed=read(), count=count, rate=rate)
        yield line
    progress.update(task, completed=total, count=count, rate=count / max(time.monotonic() - begun, 0.001))


def _with_lines(lines: Iterable[_T], *, total: int, read: Callable[[], int]) -> Iterator[_T]:
    begun = said = time.monotonic()
    for count, line in enumerate(lines, start=1):
        if count % _EVERY == 0 and (now := time.monotonic()) - said >= _SECONDS:
            said = now
            share = read() / max(total, 1)
            left = (now - begun) * (1 - share) / max(share, 0.001)
            click.echo(f"{count:,} lines, {share:.0%}, about {left:,.0f} s left", err=True)
        yield line
