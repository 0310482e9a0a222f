"""A PostgreSQL of its own for the API tests, with two controllers that never meet."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from consent_service import web
from consent_service.app import create_app
from consent_service.config import Settings
from consent_service.crypto import keyring
from consent_service.db import migrate, roles

BINARIES = Path("/usr/lib/postgresql/15/bin")


def _as_postgres(*command: str) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="consent-api-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    _as_postgres(str(BINARIES / "initdb"), "-D", f"{folder}/data", "--auth=trust", "-U", "owner", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    start = ("-D", f"{folder}/data", "-w", "-o", options, "-l", f"{folder}/log")
    _as_postgres(str(BINARIES / "pg_ctl"), *start, "start")
    yield folder
    _as_postgres(str(BINARIES / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def settings(server: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    keys_dir = tmp_path_factory.mktemp("api") / "keys"
    keys = keyring.create_keyring(keys_dir)
    logins = roles.default_roles("postgres")
    url = f"postgresql://{{}}@/postgres?host={server}"
    engine = create_engine(url.format("owner"))
    with engine.begin() as connection:
        roles.create_missing(connection, logins)
        connection.exec_driver_sql(f"ALTER ROLE {logins.app} LOGIN")
    migrate.upgrade(url.format("owner"), roles=logins)
    with engine.begin() as connection:
        for name, fingerprint in keyring.fingerprints(keys).items():
            connection.execute(
                text("INSERT INTO key_fingerprint (name, fingerprint) VALUES (:name, :fingerprint)"),
                {"name": name, "fingerprint": fingerprint},
            )
    engine.dispose()
    return Settings(
        database_url=url.format(logins.app),
        keys_dir=keys_dir,
        data_dir=tmp_path_factory.mktemp("data"),
        public_url="http://127.0.0.1:8000",
        demo=False,
        mail_server="127.0.0.1",
        mail_port=2525,
        mail_username=None,
        mail_password=None,
        mail_use_tls=False,
        mail_use_ssl=False,
        mail_sender="post@nordlys.example",
        trusted_proxies=0,
        signups_per_ip_per_hour=0,
    )


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[Settings], Flask]]:
    """Start applications and close their connections at the end."""
    started: list[Flask] = []

    def start_one(settings: Settings) -> Flask:
        app = create_app(settings)
        started.append(app)
        return app

    yield start_one
    for app in started:
        app.extensions[web.EXTENSION].database.engine.dispose()


@pytest.fixture(scope="session")
def app(start: Callable[[Settings], Flask], settings: Settings) -> Flask:
    return start(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
