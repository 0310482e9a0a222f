"""A log that is kept, as tests of its keeper, its witnesses and its verifiers need it."""

from dataclasses import dataclass
from pathlib import Path

import psycopg

from consent_service.audit import checkpoints, logs, merkle, sequencer, trail
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.outside_copy import LogCopy
from consent_service.cli.log_keeper import Keeper
from consent_service.config import LogKeeperSettings
from consent_service.crypto import notes
from consent_service.crypto.notes import NoteSigner, VerifierKey
from consent_service.db.session import Database
from tests.builders import NOON

SEED = bytes(range(32))
HOST = "consent.example"


@dataclass(slots=True)
class House:
    """A controller whose log is kept, the folder outside, and whoever keeps it."""

    database: Database
    sequencer: Database
    controller_id: str
    folder: Path
    superuser_url: str
    keeper: Keeper

    def act(self, times: int = 1) -> None:
        with self.database.transaction(self.controller_id) as session:
            for _ in range(times):
                trail.record(session, type="log.exported", at=NOON, actor=trail.SYSTEM, stream="log", payload={})

    def keep(self) -> None:
        """Place and sign all there is."""
        while self.keeper.place():
            pass
        self.keeper.publish_all()

    def place(self) -> int:
        """Place what waits without signing anything, and return the size of the log."""
        with self.sequencer.transaction(self.controller_id) as session:
            batch = sequencer.place_batch(session, host=HOST, vkey_of=vkey_of, at=NOON)
            assert batch is not None
            return batch.log.size

    def begin_again(self, seed: bytes = SEED) -> None:
        """Start another keeper, which knows nothing of what the first one did."""
        self.keeper = Keeper(self.sequencer, settings_of(self.folder), seed)

    @classmethod
    def of(
        cls, database: Database, sequencer: Database, controller_id: str, folder: Path, superuser_url: str
    ) -> "House":
        """Let a keeper that knows nothing yet keep a controller's log."""
        keeper = Keeper(sequencer, settings_of(folder), SEED)
        return cls(database, sequencer, controller_id, folder, superuser_url, keeper)

    @property
    def copy(self) -> LogCopy:
        return LogCopy(self.folder / self.controller_id / "e1")

    def head(self, epoch: int = 1) -> Checkpoint:
        """Read the head that lies outside, by the key that lies beside it."""
        folder = self.folder / self.controller_id / f"e{epoch}"
        vkey = (folder / "vkey.txt").read_text(encoding="utf-8").strip()
        note = notes.open_note((folder / "checkpoint").read_text(encoding="utf-8"), [VerifierKey.parse(vkey)])
        return checkpoints.read(note.text)

    def log(self) -> logs.Log:
        with self.database.transaction(self.controller_id) as session:
            return logs.get(session)

    def signed(self) -> list[int]:
        with self.database.transaction(self.controller_id) as session:
            return [head.size for head in logs.list_checkpoints(session, logs.get(session))]

    def as_superuser(self, statement: str) -> None:
        with psycopg.connect(self.superuser_url) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement.encode())


def settings_of(folder: Path) -> LogKeeperSettings:
    return LogKeeperSettings(database_url="", log_keys_dir=folder, log_copy_dir=folder, host=HOST)


def vkey_of(origin: str) -> str:
    """Return the public key of a log."""
    return NoteSigner(origin, SEED).vkey


def put_back(house: House, size: int) -> None:
    """Bring the log's tables back to what they were when it had `size` leaves, as a restored backup does."""
    with house.database.transaction(house.controller_id) as session:
        log = logs.get(session)
        read = logs.reader(session, log)
        root = merkle.root_at(size, read)
        edge = read(0, 0)[: size * 32]
    house.as_superuser(f"DELETE FROM audit.leaf WHERE index >= {size}")  # noqa: S608 - a number of this test
    house.as_superuser("DELETE FROM audit.checkpoint")
    house.as_superuser(f"UPDATE audit.tree SET size = {size}, root = '\\x{root.hex()}', edge[1] = '\\x{edge.hex()}'")  # noqa: S608 - hex
