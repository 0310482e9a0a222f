"""Says how far the writing of a log is: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

#: Takes how much is done, and of how much.
Watch = Callable[[int, int], None]

_SECONDS: Final = 10.0


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch | None]:
    """Hand out what tells standard error how far the work is."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _lines()
    else:
        columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)


def _lines() -> Watch:
    begun = said = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _SECONDS:
            return
        said = now
        left = (now - begun) * (total - done) / max(done, 1)
        click.echo(f"{done / max(total, 1):.0%}, about {left:,.0f} s left", err=True)

    return say
