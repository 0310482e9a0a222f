"""Promise: crashes of log keepers and of PostgreSQL at any moment lose nothing, place nothing twice, and fork nothing.

Two writers act without a pause, two keepers compete, and one of them is killed, or stopped for a while, at random
moments; now and then PostgreSQL is stopped at once. Everything runs as the service runs it.
"""

import base64
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.crypto import keyring as key_folder
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import Database, make_engine
from tests import builders, own_server
from tests.builders import NOON
from tests.conftest import ROLES
from tests.log_house import SEED, House
from tests.own_server import OwnServer
from tests.promises import keepers
from tests.promises.keepers import Forge, Watch
from tests.services import PATIENCE

KEEPERS = 2
WRITERS = 2
#: Between two blows so many acts are acknowledged at most, so that every moment of a keeper's life is hit.
MOST_ACTS = 40


@dataclass
class Siege:
    """A log under attack."""

    server: OwnServer
    watch: Watch
    forge: Forge
    environment: dict[str, str]
    running: list[int] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self, number: int) -> None:
        """Act without a pause; what raises may have happened or not."""
        while not self.stop.is_set():
            with contextlib.suppress(SQLAlchemyError):
                with self.watch.house.database.transaction(self.watch.house.controller_id) as session:
                    entry_id = trail.record(
                        session,
                        type="log.exported",
                        at=NOON,
                        actor=trail.SYSTEM,
                        stream=f"writer:{number}",
                        payload={},
                    )
                self.acknowledged.append(entry_id)

    def start_keeper(self) -> None:
        self.running.append(self.forge.start(wait=False, environment=self.environment)["pid"])

    def kill(self) -> None:
        """Kill -9 one keeper, and start another in its place."""
        pid = self.running.pop(0)
        os.kill(pid, signal.SIGKILL)
        ended = self.forge.wait(pid)
        assert ended["signal"] == signal.SIGKILL, self.forge.said.read_text(encoding="utf-8")[-3_000:]
        self.start_keeper()

    def pause(self) -> None:
        """Stop one keeper for a while, as a machine that swaps does."""
        pid = self.running[0]
        os.kill(pid, signal.SIGSTOP)
        self.let_them_work(MOST_ACTS)
        os.kill(pid, signal.SIGCONT)

    def crash(self) -> None:
        """Stop PostgreSQL at once, as `pg_ctl stop -m immediate` does, and start it again."""
        self.server.stop(signal.SIGQUIT)
        self.server.start()

    def let_them_work(self, acts: int) -> None:
        enough, give_up_at = len(self.acknowledged) + acts, time.monotonic() + PATIENCE
        while len(self.acknowledged) < enough:
            assert time.monotonic() < give_up_at
            time.sleep(0.005)

    def end(self) -> None:
        """Let the keepers that are left end as they are asked to."""
        while self.running:
            pid = self.running.pop()
            os.kill(pid, signal.SIGTERM)
            assert self.forge.wait(pid)["code"] == 0, self.forge.said.read_text(encoding="utf-8")[-3_000:]

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Let writers and keepers work while the block lasts."""
        threads = [threading.Thread(target=self.write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(KEEPERS):
                self.start_keeper()
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(PATIENCE)
            while self.running:
                os.kill(pid := self.running.pop(), signal.SIGKILL)
                self.forge.wait(pid)

    def demand_everything(self) -> None:
        """Demand that each acknowledged entry has its place, once, and that one history was signed."""
        self.watch.see(self.forge.signed())
        self.watch.finish()
        self.watch.demand_whole()
        self.watch.demand_one_history()
        ids = [identifiers.to_uuid(entry_id, "aud") for entry_id in self.acknowledged]
        with psycopg.connect(self.watch.house.superuser_url) as connection:
            placed = connection.execute("SELECT count(*) FROM audit.leaf WHERE entry_id = ANY (%s)", (ids,)).fetchone()
        assert placed == (len(set(ids)),)


@pytest.fixture
def siege(tmp_path: Path, keyring: Keyring) -> Iterator[Siege]:
    """Run a durable cluster of its own, with a controller."""
    with (
        own_server.running(tmp_path / "own", keyring) as server,
        keepers.forge(tmp_path / "forge") as forge,
        contextlib.ExitStack() as closing,
    ):
        log_keys = a_log_key(tmp_path / "log_keys")
        server.cluster.record_keys(key_folder.load_keyring(log_keys, names=key_folder.LOG_NAMES))
        engines = {login: make_engine(server.cluster.url(login=login)) for login in (ROLES.app, ROLES.sequencer)}
        for engine in engines.values():
            closing.callback(engine.dispose)
        database = Database(engines[ROLES.app], keyring)
        controller = builders.a_controller(database)
        house = House.of(
            database,
            Database(engines[ROLES.sequencer], Keyring({})),
            controller,
            tmp_path / "outside",
            server.cluster.database_url,
        )
        environment = {
            "DATABASE_URL_SEQUENCER": server.cluster.url(login=ROLES.sequencer),
            "CONSENT_LOG_KEYS": str(log_keys),
            "CONSENT_LOG_COPY": str(tmp_path / "outside"),
            "PUBLIC_URL": "https://consent.example",
        }
        yield Siege(server, Watch(house), forge, environment)


def a_log_key(folder: Path) -> Path:
    """Write the key that the tests' own keepers sign with, so that they can finish what others began."""
    folder.mkdir(mode=0o700)
    path = folder / "log.1.key"
    path.touch(mode=0o600)
    path.write_text(base64.b64encode(SEED).decode() + "\n", encoding="ascii")
    return folder


def besiege(siege: Siege, *, kills: int, crashes: int, seed: int) -> None:
    """Strike so often, in an order that chance decides."""
    chance = random.Random(seed)  # noqa: S311 - nobody has to guess it
    blows: list[Callable[[], None]] = [siege.kill] * kills + [siege.crash] * crashes + [siege.pause] * (kills // 10)
    chance.shuffle(blows)
    with siege.under_way():
        for blow in blows:
            siege.let_them_work(chance.randint(0, MOST_ACTS))
            blow()
        siege.let_them_work(MOST_ACTS)
        siege.stop.set()
        siege.end()
    siege.demand_everything()


class TestCrashesAtRandom:
    @pytest.mark.rule("LOG-03")
    def test_a_few_lose_nothing(self, siege: Siege) -> None:
        besiege(siege, kills=8, crashes=1, seed=1)

    @pytest.mark.long
    def test_hundreds_lose_nothing(self, siege: Siege, record_property: Callable[[str, object], None]) -> None:
        besiege(siege, kills=220, crashes=22, seed=random.SystemRandom().randrange(2**32))

        record_property("acknowledged", len(siege.acknowledged))
        record_property("leaves", siege.watch.house.log().size)
        record_property("signed", len(siege.forge.signed()))
