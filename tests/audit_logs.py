"""Does in tests what the keeper of the log does: gives entries their places, and signs heads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import insert

from consent_service.audit import checkpoints, logs, sequencer
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.logs import Log
from consent_service.audit.models import AuditCheckpoint, AuditCosignature
from consent_service.crypto.notes import Cosigner, NoteSigner
from consent_service.db.session import Database
from tests.builders import NOON
from tests.log_house import HOST, SEED, vkey_of

WITNESS: Final = Cosigner("witness.example", bytes(range(32, 64)))


@dataclass(frozen=True, slots=True)
class LogKeeper:
    """Keeps the log of one controller, as far as a test asks for it."""

    database: Database
    controller: str

    def place(self) -> Log:
        """Give every entry that waits its place, and return the head."""
        with self.database.transaction(self.controller) as session:
            batch = sequencer.place_batch(session, host=HOST, vkey_of=vkey_of, at=NOON, limit=100_000)
            assert batch is not None
            return batch.log

    def sign(self, *, cosigned: bool = False, at: datetime = NOON) -> str:
        """Sign the head as it is and return the note."""
        with self.database.transaction(self.controller) as session:
            log = logs.get(session)
            text = Checkpoint(log.origin, log.size, log.root).text()
            note = NoteSigner(log.origin, SEED).sign(text)
            of_head = {"controller_id": self.controller, "epoch": log.epoch, "size": log.size, "signed_at": at}
            session.execute(insert(AuditCheckpoint).values(**of_head, root=log.root, note=note))
            if cosigned:
                line = WITNESS.cosign(text, timestamp=int(NOON.timestamp())).rstrip("\n")
                session.execute(insert(AuditCosignature).values(**of_head, witness=WITNESS.key.name, line=line))
        return note

    def publish(self, *, at: datetime = NOON) -> str:
        """Place what waits, sign the head, and return the note."""
        self.place()
        return self.sign(at=at)


def read_note(note: str) -> Checkpoint:
    """Return what a note of the log says, ignoring signatures."""
    return checkpoints.read(note.partition("\n\n")[0] + "\n")
