"""Moves decisions from the spool of this machine into the decision log: part of the worker's housekeeping.

A file is deleted only after all of it is committed, and a line that is stored already changes nothing, so whatever
happens half-way happens again.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy.exc import SQLAlchemyError

from consent_service import clock, identifiers
from consent_service.consent import decision_lines, decision_log, spool
from consent_service.consent.decision_lines import Line
from consent_service.consent.spool import Taken
from consent_service.db.session import Database
from consent_service.errors import DecisionLineBrokenError

#: How many answers one transaction takes, and after how many the other housekeeping has its turn.
SLICE: Final = 5_000
MOST_ANSWERS: Final = 200_000
#: Far longer than it takes to make a file.
_BIRTH: Final = timedelta(minutes=1)

Piece = tuple[bytes, Line]

# The web server shows them: all processes of the service keep their figures in one folder.
_registry = CollectorRegistry()
_moved_answers = Counter("consent_decisions_moved", "Answers moved into the decision log.", registry=_registry)
_broken_lines = Counter("consent_decisions_broken", "Lines of the spool that were set aside.", registry=_registry)

_log = structlog.get_logger(__name__)


def move(database: Database, folder: Path) -> int:
    """Move what writers are done with, the oldest first, and return how many answers that were.

    While the database is away everything stays where it is.
    """
    spool.forget_unborn(folder, before=clock.machine_time() - _BIRTH)
    moved = 0
    for path in spool.list_files(folder):
        with spool.take(path) as taken:
            if taken is None:
                continue
            try:
                stored = _move_file(database, taken)
            except (SQLAlchemyError, psycopg.Error) as error:
                _log.warning("decisions_wait", error=type(error).__name__)
                return moved
            _moved_answers.inc(stored)
            moved += stored
            taken.discard()
        if moved >= MOST_ANSWERS:
            break
    return moved


def _move_file(database: Database, taken: Taken) -> int:
    moved, waiting, answers = 0, dict[UUID, list[Piece]](), 0
    for text, line in _readable(taken):
        waiting.setdefault(line.heading.controller_id, []).append((text, line))
        answers += len(line)
        if answers >= SLICE:
            moved += _store_all(database, taken, waiting)
            waiting, answers = {}, 0
    return moved + _store_all(database, taken, waiting)


def _readable(taken: Taken) -> Iterator[Piece]:
    for text in taken.lines():
        if not text.endswith(b"\n"):
            # The process died within the write, so nobody was ever answered.
            _log.info("decision_torn", count=len(text))
            continue
        try:
            yield text, decision_lines.read(text)
        except DecisionLineBrokenError:
            _set_aside(taken, text)


def _store_all(database: Database, taken: Taken, waiting: dict[UUID, list[Piece]]) -> int:
    return sum(
        _store(database, taken, identifiers.from_uuid(controller, "ctl"), pieces)
        for controller, pieces in waiting.items()
    )


def _store(database: Database, taken: Taken, controller_id: str, pieces: Sequence[Piece]) -> int:
    """Store lines of one controller; where the log refuses them, halve them until the one is found that is wrong."""
    try:
        with database.transaction(controller_id) as session:
            return decision_log.store(session, [line for _, line in pieces])
    except DecisionLineBrokenError:
        if len(pieces) == 1:
            _set_aside(taken, pieces[0][0])
            return 0
        middle = len(pieces) // 2
        return sum(_store(database, taken, controller_id, half) for half in (pieces[:middle], pieces[middle:]))


def _set_aside(taken: Taken, text: bytes) -> None:
    spool.set_aside(taken, text)
    _broken_lines.inc()
    _log.error("decision_broken", count=len(text))
