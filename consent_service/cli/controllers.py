"""`consent controllers`: who decides why data is used."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import click

from consent_service import clock
from consent_service.cli import desk as desks
from consent_service.cli import opening
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.registry import controllers
from consent_service.registry.controllers import Controller


@click.group()
def command() -> None:
    """Add controllers, see them and change their settings."""


@command.command()
@click.argument("key")
@click.option("--legal-name", required=True, help="The company's registered name.")
@click.option("--display-name", help="The name that people know; the legal name if left out.")
@click.option("--organisation-number", required=True, help="Its number in the public register.")
@click.option("--postal-address", required=True, help="Where letters reach it.")
@click.option("--privacy-contact", required=True, help="Where people turn to about their data.")
@click.option("--phone", help="A telephone number that people may call.")
@click.option("--country", default="NO", show_default=True, help="Two letters (ISO 3166).")
@click.option("--timezone", default="Europe/Oslo", show_default=True, help="Zone of its deadlines.")
@desks.command
def add(desk: Desk, key: str, legal_name: str, display_name: str | None, **settings: Any) -> None:  # noqa: ANN401 - texts, named like the settings
    """Add a controller, with keys of its own."""
    at = clock.now()
    with (
        opening.database(desk.data_dir) as database,
        database.transaction(controllers.new_controller_id(at)) as session,
    ):
        controller = controllers.create(
            session,
            key=key,
            legal_name=legal_name,
            display_name=display_name or legal_name,
            actor=COMMAND_LINE,
            at=at,
            **settings,
        )
    desk.show_one(_row(controller), name="controller_id", said=f"Added {key}.")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the controllers of this service."""
    with opening.database(desk.data_dir) as database, database.platform_transaction() as session:
        rows = [{"key": row.key, "controller_id": row.controller_id} for row in controllers.list_directory(session)]
    desk.show_list(rows, name="key")


@command.command()
@desks.command
def show(desk: Desk) -> None:
    """Show a controller and its settings."""
    with desk.transaction() as session:
        controller = controllers.get(session)
    desk.show_one(_row(controller), name="controller_id", said=controller.legal_name)


@command.command("set")
@click.option("--legal-name", help="The company's registered name.")
@click.option("--display-name", help="The name that people know.")
@click.option("--organisation-number", help="Its number in the public register.")
@click.option("--postal-address", help="Where letters reach it.")
@click.option("--privacy-contact", help="Where people turn to about their data.")
@click.option("--phone", help="A telephone number that people may call.")
@click.option("--decision-lifetime-minutes", type=int, help="How long the answer to a check may be acted on.")
@click.option("--keep-traces/--no-traces", "keeps_traces", default=None, help="Keep IP address and user agent.")
@click.option(
    "--allow-company-addresses/--no-company-addresses",
    "allows_company_addresses",
    default=None,
    help="Allow mail to addresses that are classified as a company's.",
)
@click.option(
    "--charity/--no-charity",
    "is_charity",
    default=None,
    help="Heed the reservation against charities, not the general.",
)
@click.option(
    "--sign-decisions/--plain-decisions",
    "signs_decisions",
    default=None,
    help="Answer single checks with a signature, too.",
)
@desks.command
def set_(desk: Desk, decision_lifetime_minutes: int | None, **settings: Any) -> None:  # noqa: ANN401 - texts and a flag, named like the settings
    """Change settings of a controller; what is left out stays."""
    changes = {name: value for name, value in settings.items() if value is not None}
    if decision_lifetime_minutes is not None:
        changes["decision_lifetime"] = timedelta(minutes=decision_lifetime_minutes)
    if not changes:
        raise click.UsageError("Name at least one setting.")
    with desk.transaction() as session:
        changed = replace(controllers.get(session), **changes)
        controllers.change_settings(session, changed=changed, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(_row(changed), name="controller_id", said=f"Changed {changed.key}.")


def _row(controller: Controller) -> dict[str, object]:
    return asdict(controller)
