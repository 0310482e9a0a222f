"""`consent forms`: where consent is asked for."""

from typing import TextIO

import click

from consent_service import clock
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.errors import FormUnknownError
from consent_service.registry import form_definition, forms
from consent_service.registry.forms import FormVersion


@click.group()
def command() -> None:
    """Add forms, change them by new versions, and see them."""


@command.command()
@click.argument("key")
@click.argument("file", type=click.File(encoding="utf-8"))
@desks.command
def add(desk: Desk, key: str, file: TextIO) -> None:
    """Add a form from a JSON file (`-` for standard input); refused where it pre-ticks, requires or bundles."""
    document = desks.read_document(file)
    with desk.transaction() as session:
        definition = form_definition.parse(document)
        form = forms.create(session, key=key, definition=definition, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(_summary(form), name="form_id", said=f"Added {key}.")


@command.command()
@click.argument("key")
@click.argument("file", type=click.File(encoding="utf-8"))
@desks.command
def change(desk: Desk, key: str, file: TextIO) -> None:
    """Add the next version of a form from a JSON file; earlier versions stay as they were shown."""
    document = desks.read_document(file)
    with desk.transaction() as session:
        form_id = forms.find_id(session, key=key)
        if form_id is None:
            raise FormUnknownError
        definition = form_definition.parse(document)
        form = forms.add_version(session, form_id=form_id, definition=definition, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(_summary(form), name="number", said=f"Added version {form.number} of {key}.")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the forms of a controller, each in the version in force."""
    with desk.transaction() as session:
        found = forms.list_all(session, at=clock.now())
    desk.show_list([_summary(form) for form in found], name="form_id")


@command.command()
@click.argument("key")
@desks.command
def show(desk: Desk, key: str) -> None:
    """Show the version of a form that is in force."""
    with desk.transaction() as session:
        form_id = forms.find_id(session, key=key)
        if form_id is None:
            raise FormUnknownError
        form = forms.current(session, form_id=form_id, at=clock.now())
    row = _summary(form) | {"definition": form_definition.serialise(form.definition)}
    desk.show_one(row, name="form_id", said=key)


def _summary(form: FormVersion) -> dict[str, object]:
    return {
        "key": form.form_key,
        "form_id": form.form_id,
        "number": form.number,
        "languages": list(form.definition.languages),
        "effective_at": form.effective_at,
    }
