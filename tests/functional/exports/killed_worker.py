"""A worker that is killed by the machine in the third step of its first file, for test_jobs."""

import os
import signal
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import time_machine
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.cli.export_maker import ExportMaking
from consent_service.crypto import keyring
from consent_service.db.session import Database, make_engine
from consent_service.exports import files
from consent_service.exports.making import Step, Wanted
from tests.builders import NOON
from tests.functional.exports.test_jobs import PATIENCE, Counting


class Killed(Counting):
    """Makes what Counting makes, and dies with a part half written."""

    def __call__(self, session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime) -> Step:
        """Make a part."""
        if place is not None and place["part"] == 2:
            files.add(session, export_id=wanted.export_id, subject_id=None, first=99, data=b"half a part")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(session, wanted=wanted, place=place, at=at)


if __name__ == "__main__":
    database = Database(
        make_engine(os.environ["DATABASE_URL_WORKER"]), keyring.load_keyring(Path(os.environ["CONSENT_KEYS"]))
    )
    with time_machine.travel(NOON, tick=False):
        ExportMaking({"audit": Killed()}, slice_seconds=PATIENCE)(database, clock.now())
