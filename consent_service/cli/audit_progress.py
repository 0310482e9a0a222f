"""Says how far the verification of a log is: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from consent_service.audit.verification import Verification

Watch = Callable[[Verification, str], None]

_SECONDS: Final = 10.0


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch | None]:
    """Hand out what tells standard error how far a verification is: a bar on a terminal, else a line now and then."""
    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield _Lines().say
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} entries, {task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[found]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield _Bars(progress).say


class _Bars:
    """A bar for each log."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begun = time.monotonic()
        self._name: str | None = None

    def say(self, verification: Verification, name: str) -> None:
        if name != self._name:
            self._begun, self._name = time.monotonic(), name
            self._task = self._progress.add_task(name, total=verification.total, rate=0.0, found="")
        rate = verification.done / max(time.monotonic() - self._begun, 0.001)
        found = verification.first_finding
        self._progress.update(
            self._task,
            total=verification.total,
            completed=verification.done,
            rate=rate,
            found="" if found is None else f"first bad: {found}",
        )


class _Lines:
    """A line every ten seconds, for a log file."""

    def __init__(self) -> None:
        self._begun = self._said = time.monotonic()
        self._name: str | None = None

    def say(self, verification: Verification, name: str) -> None:
        now = time.monotonic()
        if name != self._name:
            self._begun, self._name = now, name
        if now - self._said < _SECONDS:
            return
        self._said = now
        rate = verification.done / max(now - self._begun, 0.001)
        left = (verification.total - verification.done) / max(rate, 0.001)
        words = (
            f"{name}: {verification.done:,} of {verification.total:,} entries, {rate:,.0f}/s, about {left:,.0f} s left"
        )
        click.echo(
            words if verification.first_finding is None else f"{words}; first bad: {verification.first_finding}",
            err=True,
        )
