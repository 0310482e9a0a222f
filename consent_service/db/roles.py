"""The login roles of the service: none of them owns a table, and none may bypass row level security."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Roles:
    """Who connects: `app` answers requests, `worker` sends and sweeps, `retention` destroys sealed bodies.

    `sequencer` gives audit entries their places and signs for them; it can open nothing.
    """

    app: str
    worker: str
    retention: str
    sequencer: str

    def names(self) -> tuple[str, str, str, str]:
        """Return the names, in the order of their declaration."""
        return (self.app, self.worker, self.retention, self.sequencer)


def default_roles(database: str) -> Roles:
    """Return the role names of a database that the service may create itself, prefixed with the database's name."""
    return Roles(
        app=f"{database}_app",
        worker=f"{database}_worker",
        retention=f"{database}_retention",
        sequencer=f"{database}_sequencer",
    )


def create_missing(connection: Connection, roles: Roles) -> None:
    """Create the roles that are not there, without a way to log in, and let the worker do what the app does."""
    for name in roles.names():
        if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}) is None:
            connection.exec_driver_sql(
                _composed("CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS INHERIT", name)
            )
    connection.exec_driver_sql(_composed("GRANT {} TO {}", roles.app, roles.worker))
    connection.exec_driver_sql(_composed("GRANT {} TO {}", roles.app, roles.retention))


def set_logins(connection: Connection, verifiers: Mapping[str, str]) -> None:
    """Let roles log in with the given SCRAM verifiers; the passwords themselves never reach the server or its log."""
    for name, verifier in verifiers.items():
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier))
        connection.exec_driver_sql(statement.as_string(None).replace("%", "%%"))


def _composed(template: str, *names: str) -> str:
    statement = sql.SQL(template).format(*(sql.Identifier(name) for name in names))
    return statement.as_string(None)
