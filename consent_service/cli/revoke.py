"""`consent revoke`: recalls a source of consents that proved defective."""

from datetime import datetime

import click

from consent_service import clock, identifiers
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.consent import revocation
from consent_service.consent.counting import StandingCount
from consent_service.consent.revocation import Extent
from consent_service.consent.sources import NO_SOURCE, Source
from consent_service.errors import IdentifierInvalidError


class _Id(click.ParamType[str]):
    """An id of one kind."""

    name = "id"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the id; anything else is a usage error."""
        try:
            return identifiers.from_uuid(identifiers.to_uuid(value, self.prefix), self.prefix)
        except IdentifierInvalidError as error:
            self.fail(str(error), param, ctx)


_TIME = click.DateTime(("%Y-%m-%dT%H:%M:%S%z",))


@click.command()
@click.option("--form", "form_id", type=_Id("frm"), metavar="FORM", help="What this form brought.")
@click.option("--form-version", type=click.IntRange(1), help="Only what this version of the form brought.")
@click.option("--api-key", "api_key_id", type=_Id("key"), metavar="KEY_ID", help="What this API key reported.")
@click.option("--import", "import_label", metavar="LABEL", help="What this import brought, such as crm-2026-03.")
@click.option("--from", "recorded_from", type=_TIME, metavar="TIME", help="Only what was recorded from then on.")
@click.option("--until", "recorded_until", type=_TIME, metavar="TIME", help="Only until then; now if left out.")
@click.option("--reason", required=True, help="Why the source is not to be trusted, in words that name no person.")
@click.option("--dry-run", is_flag=True, help="Count only, and write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def command(
    desk: Desk,
    form_id: str | None,
    form_version: int | None,
    api_key_id: str | None,
    import_label: str | None,
    recorded_from: datetime | None,
    recorded_until: datetime | None,
    reason: str,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Recall a source of consents: every check says no for what it brought, from now on and for good.

    Name at least one of form, API key, import, or a time from which; only what fits all of them ends. The worker gives
    the ledger its entries; `consent revocations list` says how far it has come. A key that leaked goes on reporting
    until `consent api-keys revoke` ends it: do that first.
    """
    source = Source(form_id, form_version, api_key_id, import_label)
    extent = Extent(source, recorded_from, recorded_until)
    if source == NO_SOURCE and recorded_from is None:
        raise click.UsageError("Name at least one of --form, --api-key, --import and --from.")
    if form_version is not None and form_id is None:
        raise click.UsageError("--form-version needs --form.")
    with desk.transaction() as session:
        counted = revocation.preview(session, extent=extent, at=clock.now())
    if dry_run:
        _show_preview(desk, counted)
        return
    if not yes:
        _demand_typed(counted)
    with desk.transaction() as session:
        recall, _ = revocation.record(session, extent=extent, reason=reason, actor=COMMAND_LINE, at=clock.now())
    row = {"revocation_id": recall.id, "status": recall.status, "count": recall.counted}
    desk.show_one(row, name="revocation_id", said="Recalled. Every check says no from now on.")


def _show_preview(desk: Desk, counted: tuple[StandingCount, ...]) -> None:
    consents = [{"purpose": each.purpose, "channel": each.channel, "count": each.count} for each in counted]
    total = _total(counted)
    if desk.as_json or desk.quiet:
        desk.show_one({"status": "dry_run", "count": total, "consents": consents}, name="count", said="")
        return
    desk.show_list(consents, name="count")
    click.echo(f"{total} consents stand and would end. Nothing was written.")


def _demand_typed(counted: tuple[StandingCount, ...]) -> None:
    """Ask for the number to be typed; anything else ends the command with exit code 1."""
    for each in counted:
        click.echo(f"  {each.purpose} by {each.channel}: {each.count}", err=True)
    total = _total(counted)
    click.echo(f"{total} consents end now, and only a new act of each person brings one back.", err=True)
    typed = click.prompt(f"Type {total} to recall them", default="", show_default=False, err=True)
    if typed.strip() != str(total):
        click.echo("Nothing was written.", err=True)
        raise click.Abort


def _total(counted: tuple[StandingCount, ...]) -> int:
    return sum(each.count for each in counted)
