"""What every command that touches data has in common: where, for whom, and in which form it answers."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

import click
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.cli import opening

Row = Mapping[str, object]

#: Who acts when somebody works at the command line: whoever can read the key folder.
COMMAND_LINE: Final = trail.Actor("system", "command_line")


@dataclass(frozen=True, slots=True)
class Desk:
    """One run of a command: the data folder, the controller, and how the answer is written."""

    data_dir: Path
    controller_key: str | None
    as_json: bool
    quiet: bool

    def transaction(self) -> AbstractContextManager[Session]:
        """Open one transaction for the controller."""
        return opening.transaction(self.data_dir, controller_key=self.controller_key)

    def show_list(self, rows: Sequence[Row], *, name: str) -> None:
        """Write rows as a table, as JSON, or quietly: the column `name` alone, one a line."""
        if self.as_json:
            click.echo(_json(list(rows)))
        elif self.quiet:
            for row in rows:
                click.echo(_text(row[name]))
        else:
            _table(rows)

    def show_one(self, row: Row, *, name: str, said: str) -> None:
        """Write one thing as JSON, as a sentence with what is worth knowing, or quietly: `name` alone."""
        if self.as_json:
            click.echo(_json(row))
        elif self.quiet:
            click.echo(_text(row[name]))
        else:
            click.echo(said)
            for key, value in row.items():
                click.echo(f"  {key}: {_text(value)}")


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--data`, `--controller`, `--json` and `--quiet`, and hand it a desk."""

    @click.option(
        "--data",
        "data_dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("var"),
        show_default=True,
        help="Folder of database and keys.",
    )
    @click.option("--controller", "controller_key", metavar="KEY", help="Whose data; not needed where there is one.")
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @click.option("--quiet", is_flag=True, help="Write only what identifies the answer.")
    @functools.wraps(function)
    def run(*, data_dir: Path, controller_key: str | None, as_json: bool, quiet: bool, **others: object) -> None:
        desk = Desk(data_dir=data_dir, controller_key=controller_key, as_json=as_json, quiet=quiet)
        function(desk, **others)

    return run


def read_document(file: TextIO) -> object:
    """Read a JSON document from a file that click opened; a broken one is a usage error."""
    try:
        document: object = json.load(file)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="FILE") from None
    return document


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back, unless `--yes` was given."""
    if not yes:
        click.confirm(question, abort=True)


def _table(rows: Sequence[Row]) -> None:
    if not rows:
        click.echo("There is none.")
        return
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list() | tuple():
            return ", ".join(_text(item) for item in value)
        case dict():
            return _json(value)
    return str(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    raise TypeError(type(value).__name__)
