"""`consent audit bundle`: writes a bundle that proves something about a log to whoever has no reason to trust us."""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from consent_service import clock, config
from consent_service.audit import log_bundles, logs
from consent_service.audit.log_bundles import BundleFile, SignedLog
from consent_service.cli import bundle_progress, opening
from consent_service.cli.bundle_progress import Watch
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.db.session import Database
from consent_service.registry import controllers
from consent_service.rights import bundle_readme, evidence_bundle
from consent_service.rights.bundle_facts import About

#: How many tiles of leaves, and how many openings, one transaction reads.
TILES: Final = 32
OPENINGS: Final = 4_096
#: The largest member of a zip that is quick to make; hashes do not get smaller anyhow.
_QUICK: Final = 1
_PLATFORM: Final = "the installation"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: how many entries of the log the bundle holds, and how many files."""

    entries: int
    files: int


@click.command()
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder of database and keys.",
)
@click.option("--controller", "controller_key", metavar="KEY", help="Whose log; not needed where there is one.")
@click.option("--subject", "subject_id", metavar="ID", help="The evidence of one person (sub_…).")
@click.option("--consent", "consent_id", metavar="ID", help="The evidence of one declaration (con_…).")
@click.option("--all", "whole", is_flag=True, help="The whole log, with everything opened that can be.")
@click.option("--platform", is_flag=True, help="With --all: the log of the installation itself.")
@click.option(
    "--out", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The zip to be written."
)
@click.option("--reason", help="Why somebody looks at a person's evidence; it is written into the log.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--quiet", is_flag=True, help="Write only the name of the file.")
def bundle(
    *,
    data_dir: Path,
    controller_key: str | None,
    subject_id: str | None,
    consent_id: str | None,
    whole: bool,
    platform: bool,
    target: Path,
    reason: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a zip with which anybody verifies evidence, or a whole log, offline: `python3 verify.py` in it.

    What is opened is written into the audit log, and the file is readable by its owner alone.
    """
    if sum((subject_id is not None, consent_id is not None, whole)) != 1:
        raise click.UsageError("Name exactly one of --subject, --consent and --all.")
    if platform and (not whole or controller_key is not None):
        raise click.UsageError("--platform goes with --all, and without --controller.")
    desk = Desk(data_dir=data_dir, controller_key=controller_key, as_json=as_json, quiet=quiet)
    with opening.database(data_dir) as database:
        controller_id = logs.PLATFORM if platform else opening.controller_id(database, controller_key)
        with _fresh(target) as path:
            if whole:
                with bundle_progress.watching(quiet=quiet or as_json) as watch:
                    written = write_whole(database, controller_id, path, at=clock.now(), watch=watch)
            else:
                about = About(subject_id, consent_id)
                reason = reason or "an evidence bundle was made at the command line"
                written = _write_evidence(database, controller_id, path, about=about, reason=reason)
    desk.show_one(
        {"file": str(target), "entries": written.entries, "files": written.files, "bytes": target.stat().st_size},
        name="file",
        said=f"{target} was written. Verify it with `python3 verify.py --vkey KEY` in it.",
    )


def write_whole(
    database: Database, controller_id: str, path: Path, *, at: datetime, watch: Watch | None = None
) -> Written:
    """Write a whole log up to its newest signed heads, in short transactions and bounded memory.

    Raises LogUnknownError where no head was signed yet.
    """
    with database.transaction(controller_id) as session:
        signed = log_bundles.signed_logs(session)
        name = _PLATFORM if controller_id == logs.PLATFORM else controllers.get(session).legal_name
        entries = sum(each.head.size for each in signed)
        evidence_bundle.note_asked(session, said={"whole": True, "entries": entries}, actor=COMMAND_LINE, at=at)
    total = 2 * entries
    done = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_QUICK) as packed:
        readme = bundle_readme.of_whole_log(name, signed, at=at)
        _put(packed, BundleFile("README.txt", readme.encode()), at)
        _put(packed, log_bundles.verifier(), at)
        for each in signed:
            for count, found in _tiles(database, controller_id, each):
                for file in found:
                    _put(packed, file, at)
                done += count
                if watch is not None:
                    watch(done, total)
        info = evidence_bundle.described(log_bundles.OPENINGS, at=at)
        with packed.open(info, "w", force_zip64=True) as openings:
            for each in signed:
                for first in range(0, each.head.size, OPENINGS):
                    with database.transaction(controller_id) as session:
                        openings.write(log_bundles.opened(session, each, first=first, limit=OPENINGS))
                    done += min(OPENINGS, each.head.size - first)
                    if watch is not None:
                        watch(done, total)
        return Written(entries, len(packed.namelist()))


def _write_evidence(database: Database, controller_id: str, path: Path, *, about: About, reason: str) -> Written:
    at = clock.now()
    with database.transaction(controller_id) as session:
        made = evidence_bundle.build(
            session, about=about, reason=reason, actor=COMMAND_LINE, at=at, public_url=config.public_url()
        )
        said = {"subject": about.subject_id, "consent": about.consent_id, "entries": made.entries}
        evidence_bundle.note_asked(session, said=said, actor=COMMAND_LINE, at=at, about=about)
    # It leaves only once that it was looked at is on record.
    path.write_bytes(made.content)
    with zipfile.ZipFile(path) as packed:
        return Written(made.entries, len(packed.namelist()))


def _tiles(database: Database, controller_id: str, signed: SignedLog) -> Iterator[tuple[int, list[BundleFile]]]:
    """Give the files of an epoch, a share of its tiles at a time, with how many entries are in it."""
    with database.transaction(controller_id) as session:
        yield 0, list(log_bundles.head_files(session, signed, with_proofs=False))
    tiles = -(-signed.head.size // log_bundles.TILE_WIDTH)
    for first in range(0, tiles, TILES):
        with database.transaction(controller_id) as session:
            found = list(log_bundles.tile_files(session, signed, first=first, limit=TILES))
        yield min(TILES * log_bundles.TILE_WIDTH, signed.head.size - first * log_bundles.TILE_WIDTH), found


def _put(packed: zipfile.ZipFile, file: BundleFile, at: datetime) -> None:
    info = evidence_bundle.described(file.path, at=at)
    is_hashes = "/tile/" in file.path and "/entries/" not in file.path
    packed.writestr(info, file.content, zipfile.ZIP_STORED if is_hashes else None, _QUICK)


@contextlib.contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """Hand out where to write, and put it in place when it is whole; nothing of ours is left where that fails."""
    if target.exists():
        raise click.UsageError(f"{target} exists already.")
    path = target.with_name(f".{target.name}.part")
    try:
        # It may hold clear addresses.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        yield path
        path.replace(target)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from None
    finally:
        path.unlink(missing_ok=True)
