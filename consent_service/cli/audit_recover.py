"""`consent audit recover`: lets a log go on after its database was put back to an earlier state."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.audit import logs, outside_copy, recovery
from consent_service.audit.outside_copy import LogCopy
from consent_service.audit.recovery import Loss
from consent_service.cli import desk as desks
from consent_service.cli import opening, prepare
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.db.session import controller_of


@click.command()
@click.option("--platform", is_flag=True, help="The log of what concerns the whole installation.")
@click.option("--reason", required=True, help="Why the database was put back, in words that name no person.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def recover(desk: Desk, reason: str, *, platform: bool, yes: bool) -> None:
    """Let a log go on that is refused, for its database does not hold what was signed.

    Shows what lies outside and is not in the database any more, and records an entry that says so in clear. The log
    keeper begins the next epoch of the log with it, so that everybody who reads the log sees the gap for ever. What was
    signed stays where it is and can still be verified. First see that the volume of the copy is mounted and that this
    is the newest backup: what is given up here does not come back.
    """
    if platform and desk.controller_key is not None:
        raise click.UsageError("Name --controller or --platform, not both.")
    with _transaction(desk, platform=platform) as session:
        loss = _assess(desk, session)
    if not yes:
        _describe(loss)
        desks.confirm("Go on without them, in a new epoch that says so for ever?", yes=yes)
    with _transaction(desk, platform=platform) as session:
        loss = _assess(desk, session)
        entry_id = recovery.record(session, loss, reason=reason, actor=COMMAND_LINE, at=clock.now())
    row = {
        "entry": entry_id,
        "next_epoch": loss.next_epoch,
        **loss.gap,
        "lost": loss.lost.count,
        "lost_types": dict(loss.lost.types),
        "first_lost_at": loss.lost.first_at,
        "last_lost_at": loss.lost.last_at,
        "spared": loss.lost.spared,
        "unread": loss.lost.unread,
    }
    desk.show_one(row, name="entry", said="Recorded. The log keeper begins the next epoch with it.")


@contextmanager
def _transaction(desk: Desk, *, platform: bool) -> Iterator[Session]:
    if not platform:
        with desk.transaction() as session:
            yield session
        return
    with opening.database(desk.data_dir) as opened, opened.transaction(logs.PLATFORM) as session:
        yield session


def _assess(desk: Desk, session: Session) -> Loss:
    given = os.environ.get(prepare.LOG_COPY)
    folder = Path(given or desk.data_dir / "log-copy")
    # A recovery that overlooks the copy names too small a loss, and the log is refused for it.
    if not given and not folder.is_dir():
        raise click.ClickException(
            f"There is no copy of the log in {folder}. Where the service was started with {prepare.LOG_COPY}, set it "
            "here too; where the copy is lost for good, make that folder."
        )

    def find_copy(epoch: int) -> LogCopy:
        return outside_copy.of_log(folder, controller_id=controller_of(session), epoch=epoch)

    return recovery.assess(session, find_copy=find_copy)


def _describe(loss: Loss) -> None:
    """Say on standard error what is left and what is not."""
    lost = loss.lost
    lines = [
        f"The log {loss.head.origin} is refused: {loss.log.refused}.",
        f"  last signed head: {loss.head.size} entries{'' if loss.is_copied else ' (known to the database only)'}",
        f"  in the database: {loss.log.size} entries, {_says_of_prefix(loss)}",
        *(f"  and the later epoch {head.origin} with {head.size} entries is not there at all" for head in loss.later),
        f"  lost: {lost.count} entries" + (f", from {lost.first_at} to {lost.last_at}" if lost.types else ""),
        *(f"    {name}: {count}" for name, count in lost.types.items()),
    ]
    if lost.spared:
        lines.append(f"  not lost: {lost.spared} entries stand outside there and are in the database all the same")
    if lost.unread:
        lines.append(f"  nobody can say of {lost.unread} places what stood there: the copy does not hold them")
    click.echo("\n".join(lines), err=True)


def _says_of_prefix(loss: Loss) -> str:
    return "the beginning of what was signed" if loss.is_prefix else "and nothing proves that they were signed so"
