"""`consent api-keys`: which systems may call."""

from dataclasses import asdict
from datetime import datetime

import click

from consent_service import clock
from consent_service.accounts import api_keys
from consent_service.cli import desk as desks
from consent_service.cli import opening
from consent_service.cli.desk import COMMAND_LINE, Desk


@click.group()
def command() -> None:
    """Add API keys, see them and revoke them."""


@command.command()
@click.argument("name")
@click.option("--system", required=True, help="Namespace of the external ids that this system uses, such as crm.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(api_keys.SCOPES))
@click.option("--purpose", "purposes", multiple=True, help="Limit the key to this purpose (may be repeated).")
@click.option("--form", "forms", multiple=True, help="Limit the key to this form id (may be repeated).")
@click.option(
    "--expires-at",
    type=click.DateTime(("%Y-%m-%dT%H:%M:%S%z",)),
    metavar="TIME",
    help="When the key ends; never if left out.",
)
@desks.command
def add(
    desk: Desk,
    name: str,
    system: str,
    scopes: tuple[str, ...],
    purposes: tuple[str, ...],
    forms: tuple[str, ...],
    expires_at: datetime | None,
) -> None:
    """Add an API key; its text is shown once and kept nowhere."""
    with desk.transaction() as session:
        created = api_keys.create(
            session,
            name=name,
            system=system,
            scopes=scopes,
            environment="demo" if opening.is_demo(desk.data_dir) else "live",
            purposes=purposes or None,
            forms=forms or None,
            expires_at=expires_at,
            actor=COMMAND_LINE,
            at=clock.now(),
        )
    row = {"text": created.text} | asdict(created.api_key)
    desk.show_one(row, name="text", said="Added. The text of the key is not shown again:")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the API keys of a controller, ended ones included, without their text."""
    with desk.transaction() as session:
        found = api_keys.list_all(session)
    desk.show_list([asdict(api_key) for api_key in found], name="id")


@command.command()
@click.argument("api_key_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def revoke(desk: Desk, api_key_id: str, *, yes: bool) -> None:
    """End an API key at once."""
    desks.confirm("Whatever uses this key is refused from now on. Revoke it?", yes=yes)
    with desk.transaction() as session:
        api_key = api_keys.revoke(session, api_key_id=api_key_id, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(asdict(api_key), name="id", said="Revoked.")
