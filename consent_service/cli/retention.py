"""`consent retention`: destroys what has been kept long enough, by a login that may do nothing else."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from consent_service import clock, config
from consent_service.cli import opening
from consent_service.cli.desk import Desk
from consent_service.db.session import Database
from consent_service.registry import controllers
from consent_service.rights import retention

#: How many rows one transaction takes, and how many transactions one round gives a controller.
BATCH: Final = 5_000
MOST_BATCHES: Final = 200


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows of a class a controller had that were kept long enough."""

    data_class: str
    controller: str
    rows: int


def run(
    database: Database, *, decision_log_months: int, at: datetime, only: str | None = None, dry_run: bool = False
) -> list[Swept]:
    """Destroy what is over, controller by controller; count it alone where `dry_run` says so.

    A controller with very much of it has some left for the next round. `only` is the key of one controller.
    """
    with database.platform_transaction() as session:
        directory = controllers.list_directory(session)
    return [
        Swept(data_class.name, row.key, _sweep(database, row.controller_id, data_class, at, dry_run=dry_run))
        for row in directory
        if only in {None, row.key}
        for data_class in retention.data_classes(decision_log_months=decision_log_months)
    ]


def _sweep(
    database: Database, controller_id: str, data_class: retention.DataClass, at: datetime, *, dry_run: bool
) -> int:
    if dry_run:
        with database.transaction(controller_id) as session:
            return retention.count_due(session, data_class=data_class, at=at)
    total = 0
    for _ in range(MOST_BATCHES):
        with database.transaction(controller_id) as session:
            swept = retention.purge_due(session, data_class=data_class, at=at, limit=BATCH)
        total += swept
        if swept < BATCH:
            break
    return total


@click.group()
def command() -> None:
    """Destroy what has been kept long enough."""


@command.command("run")
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder of database and keys.",
)
@click.option("--controller", "controller_key", metavar="KEY", help="Whose data; everybody's if left out.")
@click.option("--dry-run", is_flag=True, help="Count, and destroy nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def run_command(*, data_dir: Path, controller_key: str | None, dry_run: bool, as_json: bool) -> None:
    """Destroy what has been kept long enough; the worker does this each hour too."""
    desk = Desk(data_dir=data_dir, controller_key=controller_key, as_json=as_json, quiet=False)
    months = config.decision_log_months()
    with opening.database(data_dir, part="retention") as database:
        found = run(database, decision_log_months=months, at=clock.now(), only=controller_key, dry_run=dry_run)
    if controller_key is not None and not found:
        raise click.UsageError("There is no controller with this key.")
    column = "would be destroyed" if dry_run else "destroyed"
    desk.show_list(
        [{"class": each.data_class, "controller": each.controller, column: each.rows} for each in found],
        name="class",
    )
