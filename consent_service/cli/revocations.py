"""`consent revocations`: sources that were recalled, and how far the ledger has got its entries."""

import click

from consent_service.cli import desk as desks
from consent_service.cli.desk import Desk
from consent_service.consent import revocation
from consent_service.consent.revocation import Recall


@click.group()
def command() -> None:
    """See which sources of consents were recalled; `consent revoke` recalls one."""


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the recalls of a controller, oldest first."""
    with desk.transaction() as session:
        found = revocation.list_all(session)
    desk.show_list([_row(each) for each in found], name="revocation_id")


def _row(recall: Recall) -> dict[str, object]:
    source = recall.extent.source
    return {
        "revocation_id": recall.id,
        "form": source.form_id,
        "form_version": source.form_version,
        "api_key": source.api_key_id,
        "import": source.import_label,
        "recorded_from": recall.extent.recorded_from,
        "recorded_until": recall.extent.recorded_until,
        "status": recall.status,
        "count": recall.counted,
        "ended": recall.ended,
        "recorded_at": recall.recorded_at,
        "applied_at": recall.applied_at,
        "reason": recall.reason,
    }
