"""Opens the database beside a running service, for commands that touch data."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from environs import Env
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.cli import prepare
from consent_service.cli.data_folder import DEMO_MARK
from consent_service.db import embedded
from consent_service.db.session import Database
from consent_service.errors import ConsentServiceError, InvalidInputError, ServiceStartError
from consent_service.registry import controllers
from consent_service.vault import fingerprints

#: The name of the service's database on the embedded server.
DATABASE: Final = "consent"


@contextmanager
def database(data_dir: Path, *, part: str = "app") -> Iterator[Database]:
    """Open the database of a data folder with the login of a part, the web server's as a rule, and close it afterwards.

    What the service refuses inside the block ends the command with a sentence and exit code 1.
    """
    if is_demo(data_dir):
        os.environ.setdefault(clock.OFFSET_FILE_VARIABLE, str(data_dir.absolute() / "clock"))
    try:
        opened = _open(data_dir, part)
        try:
            with opened.platform_transaction() as session:
                fingerprints.verify(session)
            yield opened
        finally:
            opened.engine.dispose()
    except ConsentServiceError as error:
        raise click.ClickException(describe(error)) from None
    except OperationalError:
        # The driver's message holds the address and login of the database.
        raise click.ClickException("The database does not answer; `consent doctor` may know why.") from None


@contextmanager
def transaction(data_dir: Path, *, controller_key: str | None) -> Iterator[Session]:
    """Open one transaction for one controller; its key may be left out where there is only one."""
    with database(data_dir) as opened, opened.transaction(controller_id(opened, controller_key)) as session:
        yield session


def controller_id(opened: Database, controller_key: str | None) -> str:
    """Find the id of a controller by its key, which may be left out where there is only one."""
    with opened.platform_transaction() as session:
        known = {row.key: row.controller_id for row in controllers.list_directory(session)}
    return _choose(known, controller_key)


def is_demo(data_dir: Path) -> bool:
    """Say whether a data folder is a demo's."""
    return (data_dir / DEMO_MARK).exists()


def describe(error: ConsentServiceError) -> str:
    """Say what was refused, one line for each problem."""
    if isinstance(error, InvalidInputError):
        return "\n".join(f"{problem.pointer or '/'}: {problem.detail} ({problem.code})" for problem in error.problems)
    sentence = (type(error).__doc__ or error.code).strip().splitlines()[0]
    return f"{sentence} ({error.code})" if not str(error) else f"{sentence} ({error.code}: {error})"


def _choose(known: dict[str, str], wanted: str | None) -> str:
    if wanted is None and len(known) == 1:
        return next(iter(known.values()))
    if wanted is None or wanted not in known:
        names = ", ".join(sorted(known)) or "none; make one with `consent controllers add`"
        raise click.UsageError(f"Name a controller with --controller. There are: {names}.")
    return known[wanted]


def _open(data_dir: Path, part: str) -> Database:
    env = Env()
    keys_dir = env.path("CONSENT_KEYS", default=None) or data_dir / "keys"
    return prepare.open_database(migrator_url=_migrator_url(env, data_dir), keys_dir=keys_dir, part=part)


def _migrator_url(env: Env, data_dir: Path) -> str:
    """Return the URL that the service was started with, by which its other logins are known."""
    given = env.str("DATABASE_URL", default="") or env.str(prepare.APP_URL, default="")
    if given:
        return given
    server = embedded.find_running(data_dir / "postgres")
    if server is None:
        raise ServiceStartError(f"no service runs on {data_dir}: start it with `consent up --data {data_dir}`")
    return server.superuser_url(DATABASE)
