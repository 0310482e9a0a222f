"""`consent import`: what comes in from files."""

import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from consent_service import clock
from consent_service.cli import desk as desks
from consent_service.cli import file_progress
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.registry import controllers
from consent_service.subjects import reservation_file, reservations
from consent_service.subjects.reservation_file import WashKind


@click.group()
def command() -> None:
    """Bring in what comes as a file."""


@command.command("reservations")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--kind", type=click.Choice(reservation_file.KINDS), help="Which addresses to compare, where the file has both."
)
@click.option(
    "--washed-at",
    type=click.DateTime(("%Y-%m-%dT%H:%M:%S%z",)),
    metavar="TIME",
    help="As of when the register says this; now if left out.",
)
@click.option("--lines", "expected_lines", type=click.IntRange(min=1), help="Refuse a file that has another number.")
@click.option("--skip-broken", is_flag=True, help="Leave out lines that cannot be read; who stands there is missed.")
@click.option("--dry-run", is_flag=True, help="Compare and say what was found; record nothing and keep the file.")
@desks.command
def reservations_(
    desk: Desk,
    file: Path,
    kind: WashKind | None,
    washed_at: datetime | None,
    expected_lines: int | None,
    *,
    skip_broken: bool,
    dry_run: bool,
) -> None:
    """Compare our contact points with a file of the reservation register, keep the matches, and delete the file.

    FILE is CSV in UTF-8 with a header; docs/reservations.md says which columns it may have.
    """
    at = clock.now()
    # A link to the file would go, and the register would stay.
    whole = file.resolve()
    if not dry_run and not os.access(whole.parent, os.W_OK):
        raise click.BadParameter("it could not be deleted afterwards, so nothing was read", param_hint="FILE")
    with whole.open("rb") as stream, desk.transaction() as session:
        opened = reservation_file.open_file(stream, kind=kind)
        lines = opened.lines(region=controllers.get(session).country)
        with file_progress.watch(total=whole.stat().st_size, read=lambda: opened.bytes_read) as watched:
            found = reservations.compare(session, watched(lines), kind=opened.kind, washed_at=washed_at or at, at=at)
        reservations.demand_whole(found, skip_broken=skip_broken, expected_lines=expected_lines)
        if not dry_run:
            wash = reservations.record(session, found, file_sha256=opened.sha256(), actor=COMMAND_LINE, at=at)
    if dry_run:
        row = {"kind": found.kind, "lines": found.lines, "broken": found.broken, "matches": len(found.matches)}
        desk.show_one(row, name="matches", said="Nothing was recorded, and the file is still there: delete it.")
        return
    _delete(whole)
    desk.show_one(asdict(wash), name="wash_id", said="Compared, recorded, and deleted the file.")


def _delete(file: Path) -> None:
    try:
        file.unlink()
    except OSError as error:
        raise click.ClickException(
            f"The wash is recorded, but the file could not be deleted ({error.strerror}): delete it yourself."
        ) from None
