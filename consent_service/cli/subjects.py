"""`consent subjects`: people whose records turned out to be one."""

from dataclasses import asdict

import click

from consent_service import clock, identifiers
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.consent import merging


@click.group()
def command() -> None:
    """Put right who is who."""


@command.command()
@click.argument("survivor")
@click.argument("duplicate")
@click.option("--reason", required=True, help="How you know; kept sealed in the audit log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def merge(desk: Desk, *, survivor: str, duplicate: str, reason: str, yes: bool) -> None:
    """Merge the record DUPLICATE into SURVIVOR (both sub_…); the strictest of what either said holds."""
    desks.confirm("A merge cannot be undone. Merge?", yes=yes)
    with desk.transaction() as session:
        merged = merging.merge(
            session,
            survivor_id=_canonical(survivor),
            duplicate_id=_canonical(duplicate),
            source="command_line",
            reason=reason,
            actor=COMMAND_LINE,
            at=clock.now(),
        )
    desk.show_one(asdict(merged), name="subject_id", said=f"Merged; both mean {merged.subject_id} from now on.")


def _canonical(typed: str) -> str:
    return identifiers.from_uuid(identifiers.to_uuid(typed, "sub"), "sub")
