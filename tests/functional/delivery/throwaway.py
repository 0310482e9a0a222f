"""A PostgreSQL that lives as long as the test run, with the service's roles and its schema."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from consent_service.db import migrate, roles

DATABASE = "test"
OWNER = "test_owner"

_BINARIES = Path(os.environ.get("CONSENT_PG_BIN", "/usr/lib/postgresql/15/bin"))


class Cluster:
    """A server on a socket of its own that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._become = [] if os.geteuid() else ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c timezone=UTC"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        # pg_ctl's server would keep a pipe open for ever, so its output goes nowhere.
        subprocess.run(
            [*self._become, str(_BINARIES / program), *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a server in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="consent-pg-"))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        cluster = Cluster(folder)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def migrate_database(cluster: Cluster) -> None:
    """Make the roles and the database, and migrate it."""
    names = roles.default_roles(DATABASE)
    engine = create_engine(cluster.url("postgres"), poolclass=NullPool)
    with engine.begin() as connection:
        roles.create_missing(connection, names)
        connection.execute(text(f"CREATE ROLE {OWNER} NOSUPERUSER"))
        for name in (*names.names(), OWNER):
            connection.execute(text(f'ALTER ROLE "{name}" LOGIN'))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {DATABASE} OWNER {OWNER}"))
    migrate.upgrade(cluster.url(DATABASE, OWNER), roles=names)


def wipe(cluster: Cluster) -> None:
    """Empty what is seen across controllers; everything else belongs to controllers that a test makes for itself."""
    with create_engine(cluster.url(DATABASE), poolclass=NullPool).begin() as connection:
        for table in ("outbox_message", "admitted_mail", "mail_refusal", "platform_mail"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the names stand one line above
