"""`consent purposes`: why data is used, and what people are told about it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, TextIO

import click

from consent_service import clock
from consent_service.cli import desk as desks
from consent_service.cli.desk import COMMAND_LINE, Desk
from consent_service.registry import notice_content, notices, purpose_settings, purposes, terms
from consent_service.registry.notices import NoticeVersion


@click.group()
def command() -> None:
    """Add purposes, write their notices, publish and retire them."""


@command.command()
@click.argument("key")
@click.option("--legal-basis", type=click.Choice(terms.LEGAL_BASES), default="consent", show_default=True)
@click.option("--double-opt-in/--single-opt-in", default=True, show_default=True, help="Confirm what systems report.")
@click.option("--special-category", is_flag=True, help="About health, belief and the like (GDPR Art. 9).")
@click.option("--valid-for-months", type=int, help="How long a consent lasts; for ever if left out.")
@click.option("--age-condition", is_flag=True, help="Demand that the person said to be old enough.")
@click.option("--existing-customer", is_flag=True, help="Admit the exception for customers (mfl. § 15).")
@click.option(
    "--product-category",
    "product_categories",
    multiple=True,
    metavar="KEY",
    help="Goods that existing customers hear about; may be repeated.",
)
@click.option("--reservation-enabled", is_flag=True, help="Admit calls and post to whoever made no reservation.")
@click.option("--balancing", metavar="TEXT", help="Reference or summary of the recorded balancing of interests.")
@click.option("--balanced-on", type=click.DateTime(("%Y-%m-%d",)), metavar="DATE", help="When that was made.")
@desks.command
def add(desk: Desk, balanced_on: datetime | None, **settings: Any) -> None:  # noqa: ANN401 - named and typed by the options
    """Add a purpose; its texts follow with `consent purposes draft`."""
    settings["balanced_on"] = None if balanced_on is None else balanced_on.date()
    with desk.transaction() as session:
        purpose = purposes.create(session, **settings, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(asdict(purpose), name="id", said=f"Added {purpose.key}.")


@command.command("set")
@click.argument("key")
@click.option("--age-condition/--no-age-condition", default=None, help="Demand that the person said to be old enough.")
@click.option("--existing-customer/--no-existing-customer", default=None, help="Admit the exception for customers.")
@click.option(
    "--product-category",
    "product_categories",
    multiple=True,
    metavar="KEY",
    help="Goods that existing customers hear about, in place of those before; may be repeated.",
)
@click.option(
    "--reservation-enabled/--reservation-disabled", default=None, help="Admit calls and post without a reservation."
)
@click.option("--balancing", metavar="TEXT", help="Reference or summary of the recorded balancing of interests.")
@click.option("--balanced-on", type=click.DateTime(("%Y-%m-%d",)), metavar="DATE", help="When that was made.")
@desks.command
def set_(desk: Desk, key: str, balanced_on: datetime | None, **settings: Any) -> None:  # noqa: ANN401 - named and typed by the options
    """Change what a purpose admits beside consent; what is left out stays, and so does the legal basis."""
    settings["balanced_on"] = None if balanced_on is None else balanced_on.date()
    changes = {name: value for name, value in settings.items() if value is not None and value != ()}
    if not changes:
        raise click.UsageError("Name at least one setting.")
    with desk.transaction() as session:
        purpose = purpose_settings.change(session, key=key, changes=changes, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(asdict(purpose), name="id", said=f"Changed {key}.")


@command.command("list")
@desks.command
def list_(desk: Desk) -> None:
    """List the purposes of a controller, with the notice version in force."""
    at = clock.now()
    with desk.transaction() as session:
        found = purposes.list_all(session)
        in_force = notices.current_of_all(session, purpose_keys=[purpose.key for purpose in found], at=at)
    rows = [
        {
            "key": purpose.key,
            "legal_basis": purpose.legal_basis,
            "double_opt_in": purpose.double_opt_in,
            "valid_for_months": purpose.valid_for_months,
            "version": in_force[purpose.key].number if purpose.key in in_force else None,
            "retired_at": purpose.retired_at,
        }
        for purpose in found
    ]
    desk.show_list(rows, name="key")


@command.command()
@click.argument("key")
@desks.command
def show(desk: Desk, key: str) -> None:
    """Show a purpose with all versions of its notice."""
    with desk.transaction() as session:
        purpose = purposes.get(session, key=key)
        versions = notices.list_versions(session, purpose_key=key)
        former = purpose_settings.list_former(session, key=key)
    row = asdict(purpose) | {
        "notice_versions": [_version_row(version) for version in versions],
        "former_settings": [asdict(settings) for settings in former],
    }
    desk.show_one(row, name="id", said=key)


@command.command()
@click.argument("key")
@click.argument("file", type=click.File(encoding="utf-8"))
@desks.command
def draft(desk: Desk, key: str, file: TextIO) -> None:
    """Add the next version of a notice from a JSON file (`-` for standard input)."""
    document = desks.read_document(file)
    with desk.transaction() as session:
        content = notice_content.parse(document)
        version = notices.draft(session, purpose_key=key, content=content, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(_summary(version), name="number", said=f"Drafted version {version.number} of {key}.")


@command.command()
@click.argument("key")
@click.argument("number", type=int)
@click.option(
    "--material/--not-material", required=True, default=None, help="Whether everybody must be asked for consent anew."
)
@click.option("--reason", default="", help="Why the change is not material.")
@click.option(
    "--effective-at", type=click.DateTime(("%Y-%m-%dT%H:%M:%S%z",)), metavar="TIME", help="From when; now if left out."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def publish(
    desk: Desk, key: str, number: int, reason: str, effective_at: datetime | None, *, material: bool, yes: bool
) -> None:
    """Put a version of a notice in force; refused with the list of what is missing."""
    if material:
        desks.confirm("Consents under earlier versions stop counting. Publish?", yes=yes)
    with desk.transaction() as session:
        version = notices.publish(
            session,
            purpose_key=key,
            number=number,
            material=material,
            reason=reason,
            effective_at=effective_at,
            actor=COMMAND_LINE,
            at=clock.now(),
        )
    desk.show_one(_summary(version), name="number", said=f"Published version {number} of {key}.")


@command.command()
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desks.command
def retire(desk: Desk, key: str, *, yes: bool) -> None:
    """End a purpose: it is asked for nowhere, and every check says no."""
    desks.confirm(f"Every check for {key} says no from now on, and this is for good. Retire it?", yes=yes)
    with desk.transaction() as session:
        purpose = purposes.retire(session, key=key, actor=COMMAND_LINE, at=clock.now())
    desk.show_one(asdict(purpose), name="id", said=f"Retired {key}.")


def _summary(version: NoticeVersion) -> dict[str, object]:
    return {
        "id": version.id,
        "purpose": version.purpose_key,
        "number": version.number,
        "content_sha256": version.content_sha256.hex(),
        "publication": None if version.publication is None else asdict(version.publication),
    }


def _version_row(version: NoticeVersion) -> dict[str, object]:
    return _summary(version) | {"content": notice_content.serialise(version.content)}
