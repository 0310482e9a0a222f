"""Brings a database to the head of the migrations, as its owner."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from consent_service.db.roles import Roles

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def upgrade(url: str, *, roles: Roles) -> None:
    """Run what is missing, on the owner's URL; grants go to `roles`. Each migration commits by itself."""
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            command.upgrade(_config(connection, roles), "head")
    finally:
        engine.dispose()


def head() -> str:
    """Return the revision that this code was written for."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    revision = ScriptDirectory.from_config(config).get_current_head()
    assert revision is not None  # noqa: S101 - the folder is part of the code
    return revision


def current(connection: Connection) -> str | None:
    """Return the revision that the database is at, or None where nothing was ever migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection, roles: Roles) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    config.attributes["roles"] = roles
    return config
