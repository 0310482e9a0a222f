"""`consent operators`: the people who work in the console."""

import sys
from dataclasses import asdict

import click

from consent_service import clock
from consent_service.accounts import operators
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk


@click.group()
def command() -> None:
    """Add operators and see them."""


@command.command()
@click.option("--email", prompt="E-mail address", help="Asked for if left out, which keeps it out of the history.")
@click.option("--role", required=True, type=click.Choice(operators.ROLES))
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@desks.command
def add(desk: Desk, email: str, role: str, *, password_stdin: bool) -> None:
    """Add an operator; the password is asked for and never an argument."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with desk.transaction() as session:
        operator = operators.create(
            session, email=email, password=password, role=role, actor=COMMAND_LINE, at=clock.now()
        )
    desk.show_one(asdict(operator), name="id", said="Added.")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the operators of a controller; addresses stay sealed."""
    with desk.transaction() as session:
        found = operators.list_all(session)
    desk.show_list([asdict(operator) for operator in found], name="id")
