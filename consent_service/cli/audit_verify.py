"""`consent audit verify`: verifies the logs in the database against themselves and their copies, while all runs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from consent_service import clock
from consent_service.audit import logs
from consent_service.audit.findings import LogReport
from consent_service.audit.verification import Verification
from consent_service.cli import audit_progress, opening, prepare
from consent_service.cli.audit_progress import Watch
from consent_service.db.session import Database
from consent_service.registry import controllers

#: How the command ends where a log is not what it has to be; 1 is for a verification that could not be done.
EXIT_FOUND: Final = 3
PLATFORM: Final = "platform"

_LIMITS: Final = (
    "Not shown by this: that what was recorded is true; an act whose entry was never written; and a change to entries"
    " that no signed head outside covers yet, if the tree was changed with them. It also trusts this machine: for a"
    " verification elsewhere make a bundle and run the verify.py in it."
)
_NO_COPY: Final = (
    "The copy outside was not looked at: a database that was put back, or changed together with its signed heads by"
    " whoever has the key, does not show."
)


@dataclass(frozen=True, slots=True)
class NamedReport:
    """What was verified of the log of one controller, by its key."""

    name: str
    report: LogReport


@click.command()
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder of database and keys.",
)
@click.option("--controller", "controller_key", metavar="KEY", help="Whose log; all of them if left out.")
@click.option("--platform", is_flag=True, help="The log of the installation itself.")
@click.option(
    "--copy",
    "copy_dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the copies lie, if not CONSENT_LOG_COPY and not in the data folder.",
)
@click.option("--without-copy", is_flag=True, help="Do not look at the copies; then less is shown.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--quiet", is_flag=True, help="Write only what is wrong.")
def verify(
    *,
    data_dir: Path,
    controller_key: str | None,
    platform: bool,
    copy_dir: Path | None,
    without_copy: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Verify the audit logs: entries, tree, signed heads, streams, and the copy outside the database.

    The service goes on meanwhile. Ends with 0 where nothing was found, 3 where something was, and 1 where it could not
    be verified.
    """
    copies = None if without_copy else copy_dir or Path(os.environ.get(prepare.LOG_COPY) or data_dir / "log-copy")
    with opening.database(data_dir) as database:
        chosen = _choose(database, controller_key, platform=platform)
        with audit_progress.watching(quiet=quiet or as_json) as watch:
            found = [
                NamedReport(name, run(database, each, copies=copies, name=name, watch=watch)) for name, each in chosen
            ]
    if as_json:
        click.echo(json.dumps(_as_json(found, copies), indent=2, ensure_ascii=False))
    else:
        for line in _lines(found, copies, quiet=quiet):
            click.echo(line)
    if not all(each.report.is_sound for each in found):
        sys.exit(EXIT_FOUND)


def run(
    database: Database, controller_id: str, *, copies: Path | None, name: str = "", watch: Watch | None = None
) -> LogReport:
    """Verify one log, in short transactions; raises LogCopyError where its copy cannot be read."""
    one_moment = replace(database, engine=database.engine.execution_options(isolation_level="REPEATABLE READ"))
    verification = Verification(copies=copies, at=clock.now())
    with database.transaction(controller_id) as session:
        verification.begin(session)
    goes_on = True
    while goes_on:
        with database.transaction(controller_id) as session:
            goes_on = verification.advance(session)
        if watch is not None:
            watch(verification, name)
    with one_moment.transaction(controller_id) as session:
        return verification.finish(session)


def _choose(database: Database, controller_key: str | None, *, platform: bool) -> Sequence[tuple[str, str]]:
    """Return the names and ids of the logs that are meant."""
    with database.platform_transaction() as session:
        known = {row.key: row.controller_id for row in controllers.list_directory(session)}
    if controller_key is not None and controller_key not in known:
        raise click.UsageError(f"Name a controller with --controller. There are: {', '.join(sorted(known)) or 'none'}.")
    chosen = [(PLATFORM, logs.PLATFORM)] if platform else []
    if controller_key is not None:
        return [(controller_key, known[controller_key]), *chosen]
    return chosen or [*sorted(known.items()), (PLATFORM, logs.PLATFORM)]


def _lines(found: Sequence[NamedReport], copies: Path | None, *, quiet: bool) -> Iterator[str]:
    for each in found:
        report = each.report
        if not quiet:
            yield from _said(each.name, report)
        for finding in report.findings:
            yield f"{each.name}: {finding.name}: {finding.where}: {finding.words}"
        described = len(report.findings)
        total = sum(report.counts.values())
        if total > described:
            yield f"{each.name}: and {total - described:,} more ({_counted(report.counts)})"
    if quiet:
        return
    bad = [each.name for each in found if not each.report.is_sound]
    yield f"NOT SOUND: {', '.join(bad)}." if bad else "Nothing was found."
    if copies is None:
        yield _NO_COPY
    yield _LIMITS


def _said(name: str, report: LogReport) -> Iterator[str]:
    """Say in words what was verified of one log."""
    if not report.epochs:
        yield f"{name}: no entry has a place yet; {report.waiting:,} wait."
        return
    copied = sum(each.copied or 0 for each in report.epochs)
    epochs = "" if len(report.epochs) == 1 else f" in {len(report.epochs)} epochs (the database was restored)"
    yield (
        f"{name}: {report.entries:,} entries{epochs}, {report.tiles:,} tiles, {report.heads:,} signed heads,"
        f" {copied:,} entries outside in {report.files:,} files; {report.waiting:,} wait for their place."
    )
    yield (
        f"{name}: {report.opened:,} payloads opened and held against their commitments in {report.streams:,} streams;"
        f" {report.erased:,} were erased: of them only the existence is shown."
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _as_json(found: Sequence[NamedReport], copies: Path | None) -> object:
    return {
        "sound": all(each.report.is_sound for each in found),
        "copy": None if copies is None else str(copies),
        "logs": [
            {
                "controller": each.name,
                "epochs": [
                    {"epoch": one.epoch, "origin": one.origin, "size": one.size, "copied": one.copied}
                    for one in each.report.epochs
                ],
                "entries": each.report.entries,
                "waiting": each.report.waiting,
                "opened": each.report.opened,
                "erased": each.report.erased,
                "streams": each.report.streams,
                "tiles": each.report.tiles,
                "heads": each.report.heads,
                "files": each.report.files,
                "counts": each.report.counts,
                "findings": [
                    {"name": one.name, "where": one.where, "words": one.words} for one in each.report.findings
                ],
            }
            for each in found
        ],
        "limits": _LIMITS if copies is not None else f"{_NO_COPY} {_LIMITS}",
    }
