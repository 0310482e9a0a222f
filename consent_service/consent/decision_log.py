"""The decision log: decisions as they were answered, put there from the spool and never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import CursorResult, Delete, delete, func, select, tuple_
from sqlalchemy.orm import Session

from consent_service.consent.decision_lines import Heading, Line
from consent_service.consent.models import Decision, DecisionAnswer
from consent_service.db.session import controller_of
from consent_service.errors import DecisionLineBrokenError

_DECISION: Final = (
    "controller_id, id, kind, api_key_id, purpose, channel, evaluated_at, as_of, known_at, recipient, min_evidence,"
    " allowed, denied, invalid"
)
_ANSWER: Final = (
    "controller_id, decision_id, item, subject_id, allowed, status, reason, legal_basis, consent_id, ledger_entry_id,"
    " notice_version, obligations, valid_until, next_allowed_at, evaluated_at"
)
# COPY is refused where row level security holds, so rows arrive in tables of this connection. They stay there empty:
# making them anew each second would only fill the catalogue.
_ARRIVALS: Final = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS arrived_decision (LIKE decision) ON COMMIT DELETE ROWS;"
    "CREATE TEMPORARY TABLE IF NOT EXISTS arrived_answer (LIKE decision_answer) ON COMMIT DELETE ROWS"
)
_COPY_DECISION: Final = f"COPY arrived_decision ({_DECISION}) FROM STDIN"
_COPY_ANSWER: Final = f"COPY arrived_answer ({_ANSWER}) FROM STDIN"
# A stream arrives in pieces, each with the count up to it, in any order and perhaps twice: the largest is the last.
_KEEP_DECISION: Final = (
    f"INSERT INTO decision ({_DECISION}) SELECT {_DECISION} FROM arrived_decision"  # noqa: S608 - constants of this module
    " ON CONFLICT (controller_id, id) DO UPDATE SET allowed = greatest(decision.allowed, excluded.allowed),"
    " denied = greatest(decision.denied, excluded.denied), invalid = greatest(decision.invalid, excluded.invalid)"
    " WHERE decision.kind <> 'single'"
)
_KEEP_ANSWER: Final = (
    f"INSERT INTO decision_answer ({_ANSWER}) SELECT {_ANSWER} FROM arrived_answer"  # noqa: S608 - as above
    " ON CONFLICT (controller_id, decision_id, item) DO NOTHING"
)


def store(session: Session, lines: Sequence[Line]) -> int:
    """Put lines of this transaction's controller into the log and return how many answers they bring.

    A line that is there already changes nothing. Raises DecisionLineBrokenError where the log does not take one of
    them; the transaction is then of no more use.
    """
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the only driver of this service
    try:
        with raw.cursor() as cursor:
            cursor.execute(_ARRIVALS)
            _copy(cursor, _COPY_DECISION, [_decision_row(heading) for heading in _newest(lines)])
            answers = [row for line in lines for row in line.rows()]
            _copy(cursor, _COPY_ANSWER, answers)
            cursor.execute(_KEEP_DECISION)
            cursor.execute(_KEEP_ANSWER)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is not None:
            # The statement is at fault, and with it the schema or a privilege; the lines are good and wait.
            raise
        # The driver's message would repeat the row.
        raise DecisionLineBrokenError(
            f"controller {controller_of(session)}: the log refuses a line with {error.sqlstate}"
        ) from None
    return len(answers)


def _newest(lines: Sequence[Line]) -> list[Heading]:
    """Return one heading for each decision, with the largest counts that these lines know."""
    found: dict[UUID, Heading] = {}
    for line in lines:
        known = found.get(line.heading.decision_id)
        if known is None or _counted(known) < _counted(line.heading):
            found[line.heading.decision_id] = line.heading
    return list(found.values())


def _counted(heading: Heading) -> int:
    return heading.allowed + heading.denied + heading.invalid


def _copy(cursor: psycopg.Cursor[TupleRow], statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)


def _decision_row(heading: Heading) -> tuple[Any, ...]:
    return (
        heading.controller_id,
        heading.decision_id,
        heading.kind,
        heading.api_key_id,
        heading.purpose,
        heading.channel,
        heading.evaluated_at,
        heading.as_of,
        heading.known_at,
        heading.recipient,
        heading.min_evidence,
        heading.allowed,
        heading.denied,
        heading.invalid,
    )


def count_until(session: Session, until: datetime) -> int:
    """Count the answers of this controller that are as old as `until` or older."""
    mine = DecisionAnswer.controller_id == controller_of(session)
    return session.execute(
        select(func.count()).select_from(DecisionAnswer).where(mine, DecisionAnswer.evaluated_at <= until)
    ).scalar_one()


def purge(session: Session, *, until: datetime, limit: int) -> int:
    """Delete up to `limit` answers that are as old as `until` or older, then as many calls that have none left.

    Returns how many rows there were. Only the role `retention` may.
    """
    controller_id = controller_of(session)
    old_answers = (
        select(DecisionAnswer.decision_id, DecisionAnswer.item)
        .where(DecisionAnswer.controller_id == controller_id, DecisionAnswer.evaluated_at <= until)
        .order_by(DecisionAnswer.evaluated_at)
        .limit(limit)
    )
    key = tuple_(DecisionAnswer.decision_id, DecisionAnswer.item)
    answers = _deleted(
        session, delete(DecisionAnswer).where(DecisionAnswer.controller_id == controller_id, key.in_(old_answers))
    )
    has_answers = (
        select(DecisionAnswer.item)
        .where(DecisionAnswer.controller_id == controller_id, DecisionAnswer.decision_id == Decision.id)
        .exists()
    )
    old_calls = (
        select(Decision.id)
        .where(Decision.controller_id == controller_id, Decision.evaluated_at <= until, ~has_answers)
        .order_by(Decision.evaluated_at)
        .limit(limit)
    )
    calls = _deleted(
        session, delete(Decision).where(Decision.controller_id == controller_id, Decision.id.in_(old_calls))
    )
    return max(answers, calls)


def _deleted(session: Session, statement: Delete) -> int:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)  # noqa: S101 - what a DELETE gives
    return result.rowcount
