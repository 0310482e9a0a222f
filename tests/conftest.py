"""The parts that tests share: a PostgreSQL of their own, the service's logins, keys, two controllers and a mail sink.

Every test begins with the same content of the database, so no test can see another's rows. That content is a
controller named *noise*: a query that forgets its controller finds too much.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import hypothesis
import psycopg
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql
from sqlalchemy import URL, Engine, QueuePool, create_engine, make_url
from sqlalchemy.orm import Session

from consent_service import web
from consent_service.api import asking
from consent_service.app import create_app
from consent_service.config import Settings
from consent_service.crypto import keyring as key_folder
from consent_service.crypto.keyring import Keyring
from consent_service.db import embedded, migrate, roles
from consent_service.db.roles import Roles
from consent_service.db.session import Database, make_engine
from tests import beginning, builders
from tests.beginning import Beginning
from tests.smtp_sink import SmtpSink

pytest_plugins = ("tests.rules_report",)

ROLES = Roles(app="consent_app", worker="consent_worker", retention="consent_retention", sequencer="consent_sequencer")
OWNER = "consent_owner"
DATABASE = "consent"
PASSWORD = "known-to-everybody"
#: The world in which there is the controller that a test is about.
NORDLYS = "nordlys"


T = TypeVar("T")
Lending = Callable[[str], AbstractContextManager[Engine]]


@dataclass(slots=True)
class Cluster:
    """A running PostgreSQL with one migrated database, and that database's content at the start of every test."""

    superuser_url: str
    beginning: Beginning | None = None
    worlds: dict[str, tuple[Beginning, Any]] = field(default_factory=dict)

    def url(self, *, login: str) -> str:
        """Return the URL of the database for one of the logins."""
        return _text(make_url(self.superuser_url).set(username=login, password=PASSWORD, database=DATABASE))

    @property
    def database_url(self) -> str:
        """Return the URL of the database for the superuser."""
        return _text(make_url(self.superuser_url).set(database=DATABASE))

    def prepare(self) -> None:
        """Create the logins, and migrate the database as an owner who is no superuser."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            # Tests connect thousands of times, and the strength of their password protects nothing.
            connection.execute("SET scram_iterations = 1")
            _make_login(connection, OWNER, "CREATE ROLE {} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD {}")
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
            self._migrate()
            for name in ROLES.names():
                _make_login(connection, name, "ALTER ROLE {} LOGIN PASSWORD {}")

    def record_keys(self, keyring: Keyring) -> None:
        """Let the database know its keys, as the first start does."""
        with psycopg.connect(self.database_url) as connection:
            for name, fingerprint in key_folder.fingerprints(keyring).items():
                connection.execute("INSERT INTO key_fingerprint VALUES (%s, %s)", (name, fingerprint))

    def remember(self) -> None:
        """Take what is in the database now as the start of every test."""
        self.beginning = beginning.take_down(self.database_url)

    def restore(self) -> None:
        """Bring back the start of every test."""
        assert self.beginning is not None
        self.beginning.restore()

    def world(self, name: str, build: Callable[[], T], *, on: str = "") -> T:
        """Return what `build` returned the first time, with the database as it was after that.

        For content that many tests begin with. All of it comes from `build`, on top of the world `on` or of the start
        of every test; where a test has more than that already, `build` adds to it. Nothing but rows and what is
        returned may come of it.
        """
        ground = self.worlds[on][0] if on in self.worlds else self.beginning
        if ground is None or (on and on not in self.worlds) or not ground.is_there():
            return build()
        if name in self.worlds:
            content, built = self.worlds[name]
            content.restore()
            return cast("T", built)
        made = build()
        self.worlds[name] = beginning.take_down(self.database_url), made
        return made

    def hang_up(self) -> None:
        """Close what is still open to the database."""
        for content in [self.beginning, *(content for content, _ in self.worlds.values())]:
            if content is not None:
                content.hang_up()

    def _migrate(self) -> None:
        url = self.url(login=OWNER)
        engine = create_engine(url)
        with engine.begin() as connection:
            roles.create_missing(connection, ROLES)
        engine.dispose()
        migrate.upgrade(url, roles=ROLES)


def pytest_configure(config: pytest.Config) -> None:
    """Let properties be tried on the same few examples each time, and on many new ones with `--long`."""
    hypothesis.settings.register_profile("normal", max_examples=40, derandomize=True)
    hypothesis.settings.register_profile("long", max_examples=1_000)
    hypothesis.settings.load_profile("long" if config.getoption("--long") else "normal")


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the first version of every key."""
    folder = tmp_path_factory.mktemp("keyring") / "keys"
    key_folder.create_keyring(folder)
    return folder


@pytest.fixture(scope="session")
def keyring(keys_dir: Path) -> Keyring:
    """Return the keys of the service."""
    return key_folder.load_keyring(keys_dir)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, keyring: Keyring) -> Iterator[Cluster]:
    """Run PostgreSQL for this process of tests, with a migrated database in which *noise* lives."""
    with embedded.running(tmp_path_factory.mktemp("postgresql"), durable=False) as superuser_url:
        cluster = Cluster(superuser_url)
        cluster.prepare()
        cluster.record_keys(keyring)
        engine = make_engine(cluster.url(login=ROLES.app))
        builders.make_noise(Database(engine, keyring))
        engine.dispose()
        cluster.remember()
        yield cluster
        cluster.hang_up()


@pytest.fixture
def fresh(cluster: Cluster) -> Cluster:
    """Give this test the database as if it were the first one."""
    cluster.restore()
    return cluster


@pytest.fixture
def owner_url(fresh: Cluster) -> str:
    """Return the URL of the login that owns the tables; the service itself never uses it."""
    return fresh.url(login=OWNER)


@pytest.fixture
def superuser_url(fresh: Cluster) -> str:
    """Return the URL of the login that may do anything, for looking at what the service wrote."""
    return fresh.database_url


@pytest.fixture
def app_url(fresh: Cluster) -> str:
    """Return the URL of the login of the web server."""
    return fresh.url(login=ROLES.app)


@pytest.fixture
def worker_url(fresh: Cluster) -> str:
    """Return the URL of the login of the worker."""
    return fresh.url(login=ROLES.worker)


@pytest.fixture
def retention_url(fresh: Cluster) -> str:
    """Return the URL of the login that destroys sealed bodies."""
    return fresh.url(login=ROLES.retention)


@pytest.fixture
def sequencer_url(fresh: Cluster) -> str:
    """Return the URL of the login that gives audit entries their places."""
    return fresh.url(login=ROLES.sequencer)


@pytest.fixture(scope="session")
def lend() -> Iterator[Lending]:
    """Return what lends the engine of a URL to a test.

    Tests use the same engine one after the other: what it knows about statements takes longer to find out anew than
    most tests take. A connection that a test has not given back is closed.
    """
    engines: dict[str, Engine] = {}

    @contextmanager
    def lend_one(url: str) -> Iterator[Engine]:
        engine = engines.setdefault(url, make_engine(url))
        yield engine
        assert isinstance(engine.pool, QueuePool)
        if engine.pool.checkedout():
            engine.dispose()

    yield lend_one
    for engine in engines.values():
        engine.dispose()


@pytest.fixture
def database(app_url: str, lend: Lending, keyring: Keyring) -> Iterator[Database]:
    """Connect as the web server does."""
    with lend(app_url) as engine:
        yield Database(engine, keyring)


@pytest.fixture
def worker_database(worker_url: str, lend: Lending, keyring: Keyring) -> Iterator[Database]:
    """Connect as the worker does."""
    with lend(worker_url) as engine:
        yield Database(engine, keyring)


@pytest.fixture
def retention_database(retention_url: str, lend: Lending, keyring: Keyring) -> Iterator[Database]:
    """Connect as the jobs that destroy sealed bodies do."""
    with lend(retention_url) as engine:
        yield Database(engine, keyring)


@pytest.fixture
def sequencer_database(sequencer_url: str, lend: Lending) -> Iterator[Database]:
    """Connect as the keeper of the log does: it holds no key that opens anything."""
    with lend(sequencer_url) as engine:
        yield Database(engine, Keyring({}))


@pytest.fixture
def controller(database: Database) -> str:
    """Create the controller that a test is about, and return its id."""
    return builders.a_controller(database, key="nordlys")


@pytest.fixture
def known_controller(cluster: Cluster, database: Database) -> str:
    """Return the id of the controller that a test is about, the same in every test that asks for this one.

    It is not for tests that ask the application: what a process remembers of a controller would outlive them.
    """
    return cluster.world(NORDLYS, lambda: builders.a_controller(database, key="nordlys"))


@pytest.fixture
def other_controller(database: Database) -> str:
    """Create a second controller, which must not be seen by the first, and return its id."""
    return builders.a_controller(database, key="fjord")


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    """Open one transaction for the controller that the test is about."""
    with database.transaction(controller) as session:
        yield session


@pytest.fixture(scope="session")
def settings(cluster: Cluster, keys_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a web server on loopback; its mails find nobody unless a test says where."""
    return Settings(
        database_url=cluster.url(login=ROLES.app),
        keys_dir=keys_dir,
        data_dir=tmp_path_factory.mktemp("data"),
        public_url="http://127.0.0.1:8000",
        demo=False,
        mail_server="127.0.0.1",
        mail_port=9,
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
    """Return what starts a web application and closes its connections in the end."""
    started: list[Flask] = []

    def start_one(settings: Settings) -> Flask:
        app = create_app(settings)
        started.append(app)
        return app

    yield start_one
    for app in started:
        app.extensions[asking.EXTENSION].close()
        app.extensions[web.EXTENSION].database.engine.dispose()


@pytest.fixture(scope="session")
def app(start: Callable[[Settings], Flask], settings: Settings) -> Flask:
    """Return the one web application of this process of tests."""
    return start(settings)


@pytest.fixture
def client(app: Flask, fresh: Cluster) -> FlaskClient:
    """Return a caller of the web application, with the database as at the start of every test."""
    del fresh
    return app.test_client()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Let the doors in this process read NOON; `clock.shift(timedelta)` lets time pass."""
    with time_machine.travel(builders.NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """Run an SMTP server on loopback that keeps every message."""
    with SmtpSink() as sink:
        yield sink


def _make_login(connection: psycopg.Connection[tuple[object, ...]], name: str, statement: str) -> None:
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(PASSWORD)))


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
