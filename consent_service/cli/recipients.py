"""`consent recipients`: who gets data."""

from dataclasses import asdict
from typing import Any

import click

from consent_service import clock
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.registry import recipients


@click.group()
def command() -> None:
    """Add the processors and partners who get data, and see them."""


@command.command()
@click.argument("key")
@click.option("--legal-name", required=True, help="The name that people are told.")
@click.option("--role", required=True, type=click.Choice(recipients.ROLES), help="Works for you, or for itself.")
@click.option("--country", required=True, help="Two letters (ISO 3166).")
@click.option("--agreement", required=True, help="Under which agreement it gets data.")
@desks.command
def add(desk: Desk, **settings: Any) -> None:  # noqa: ANN401 - named and typed by the options
    """Add a recipient; notices name it by its key."""
    with desk.transaction() as session:
        recipient = recipients.create(session, **settings, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(asdict(recipient), name="id", said=f"Added {recipient.key}.")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the recipients of a controller."""
    with desk.transaction() as session:
        found = recipients.list_all(session)
    desk.show_list([asdict(recipient) for recipient in found], name="key")
