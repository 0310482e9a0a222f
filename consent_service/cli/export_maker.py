"""Makes the files that were asked for: part of the worker's housekeeping, a slice of each controller's in every round.

What a round began is let go at its end, so that the next worker with time goes on with it; a worker that is killed
leaves a lease behind, after which another one goes on where the last step was committed.
"""

import hashlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from consent_service import clock
from consent_service.db.session import Database
from consent_service.errors import ConsentServiceError
from consent_service.exports import files, jobs
from consent_service.exports.jobs import Claimed
from consent_service.exports.making import Maker

#: How long one round works on the exports of one controller, in seconds; then the other housekeeping has its turn.
SLICE_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class ClaimLostError(Exception):
    """Another worker took the export over, because this one was away for longer than its lease."""


class ExportMaking:
    """Housekeeping that works on exports, with the makers of each kind; remembers how far it has hashed which file."""

    def __init__(self, makers: Mapping[str, Maker], *, slice_seconds: float = SLICE_SECONDS) -> None:
        self._makers = makers
        self._slice_seconds = slice_seconds
        self._hashing: dict[str, _Hashing] = {}

    def __call__(self, database: Database, at: datetime) -> None:
        """Work on the exports of every controller that has some, for one round."""
        with database.platform_transaction() as session:
            waiting = jobs.list_waiting_controllers(session, at=at)
        for controller_id in waiting:
            try:
                self._work(database, controller_id)
            except (DBAPIError, ClaimLostError) as error:
                _log.warning("sweep_failed", controller_id=controller_id, error=type(error).__name__)

    def _work(self, database: Database, controller_id: str) -> None:
        until = time.monotonic() + self._slice_seconds
        while time.monotonic() < until:
            with database.transaction(controller_id) as session:
                claimed = jobs.claim(session, kinds=tuple(self._makers), at=clock.now())
            if claimed is None:
                return
            turn = _Turn(claimed)
            try:
                self._advance(database, controller_id, turn, until)
            except (DBAPIError, ClaimLostError):
                # The lease ends by itself, and whoever comes then goes on.
                raise
            except Exception as error:  # noqa: BLE001 - one export's trouble is not the others'
                self._fail(database, controller_id, turn.claimed, error)

    def _advance(self, database: Database, controller_id: str, turn: "_Turn", until: float) -> None:
        """Take steps until the file is made or the slice is over."""
        maker = self._makers[turn.claimed.kind]
        while not turn.claimed.is_whole:
            with database.transaction(controller_id) as session:
                _demand(jobs.hold(session, claimed=turn.claimed))
                at = clock.now()
                step = maker(session, wanted=turn.claimed.wanted, place=turn.claimed.place, at=at)
                kept = jobs.keep(session, claimed=turn.claimed, step=step, at=at)
            turn.claimed = kept
            if time.monotonic() >= until:
                break
        claimed = turn.claimed
        hashing = self._hash(database, controller_id, claimed, until) if claimed.is_whole else None
        with database.transaction(controller_id) as session:
            _demand(jobs.hold(session, claimed=claimed))
            if hashing is None:
                jobs.release(session, claimed=claimed)
                return
            jobs.finish(session, claimed=claimed, size=hashing.size, sha256=hashing.sha256.digest(), at=clock.now())
        self._hashing.pop(claimed.wanted.export_id, None)
        _log.info("export_ready", kind=claimed.kind, count=claimed.done)

    def _hash(self, database: Database, controller_id: str, claimed: Claimed, until: float) -> "_Hashing | None":
        """Read the whole file again, piece by piece; None where the slice ended first."""
        hashing = self._hashing.setdefault(claimed.wanted.export_id, _Hashing())
        while hashing.chunks < claimed.chunks:
            with database.transaction(controller_id) as session:
                hashing.add(
                    files.read(
                        session,
                        export_id=claimed.wanted.export_id,
                        subject_id=claimed.subject_id,
                        number=hashing.chunks,
                    )
                )
            if time.monotonic() >= until and hashing.chunks < claimed.chunks:
                return None
        return hashing

    def _fail(self, database: Database, controller_id: str, claimed: Claimed, error: Exception) -> None:
        """Write down why an export cannot be made; what only might have been bad luck is tried again."""
        # The text of an error may hold what the export was about; its class and place do not.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rpartition('consent_service/')[2]}:{place.lineno} {place.name}"
        _log.warning("export_failed", kind=claimed.kind, error=type(error).__name__, where=where)
        self._hashing.pop(claimed.wanted.export_id, None)
        with database.transaction(controller_id) as session:
            if not jobs.hold(session, claimed=claimed):
                return
            if isinstance(error, ConsentServiceError):
                jobs.give_up(session, claimed=claimed, failure=error.code, at=clock.now())
            else:
                jobs.put_off(session, claimed=claimed, failure="internal_error", at=clock.now())


@dataclass(slots=True)
class _Turn:
    """The export in hand, under its newest lease."""

    claimed: Claimed


class _Hashing:
    """The hash of a file as far as it was read."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.chunks = 0

    def add(self, piece: bytes) -> None:
        """Take the next piece in."""
        self.sha256.update(piece)
        self.size += len(piece)
        self.chunks += 1


def _demand(held: bool) -> None:  # noqa: FBT001 - the answer of `hold`
    if not held:
        raise ClaimLostError
