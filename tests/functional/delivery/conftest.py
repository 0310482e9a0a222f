"""What the tests of the outbox stand on: a real PostgreSQL, keys, two controllers without any other row."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from consent_service.crypto.keyring import Keyring, create_keyring
from consent_service.db.session import Database, make_engine
from tests.functional.delivery import throwaway


@pytest.fixture(scope="session")
def cluster() -> Iterator[throwaway.Cluster]:
    with throwaway.running_cluster() as cluster:
        throwaway.migrate_database(cluster)
        yield cluster


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder: Path = tmp_path_factory.mktemp("key-parent") / "keys"
    return create_keyring(folder)


@pytest.fixture
def connect(cluster: throwaway.Cluster, keyring: Keyring) -> Iterator[Callable[[str], Database]]:
    """Log in as `app` or `worker`."""
    throwaway.wipe(cluster)
    engines: list[Engine] = []

    def as_role(role: str) -> Database:
        engine = make_engine(cluster.url(throwaway.DATABASE, f"test_{role}"), pool_size=20)
        engines.append(engine)
        return Database(engine=engine, keyring=keyring)

    yield as_role
    for engine in engines:
        engine.dispose()


@pytest.fixture
def app(connect: Callable[[str], Database]) -> Database:
    return connect("app")


@pytest.fixture
def worker(connect: Callable[[str], Database]) -> Database:
    return connect("worker")
