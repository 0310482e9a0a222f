"""Reads what `decisions` wrote: one line of the spool, as values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson

from consent_service import identifiers
from consent_service.consent.decisions import MANY, SINGLE
from consent_service.errors import DecisionLineBrokenError

#: How many things a line has, by the mark that it begins with.
_LENGTHS: Final[Mapping[str, int]] = MappingProxyType({SINGLE: 22, MANY: 17})
_KINDS: Final = frozenset({"batch", "stream"})
_ANSWER_LENGTH: Final = 12
_PUBLIC: Final = re.compile(r"[a-z]{3}_", re.ASCII)


@dataclass(frozen=True, slots=True)
class Heading:
    """One call of a check: who asked, for what, and how many were allowed up to here."""

    controller_id: UUID
    decision_id: UUID
    kind: str
    api_key_id: UUID
    purpose: str
    channel: str
    evaluated_at: datetime
    as_of: datetime | None
    known_at: datetime | None
    recipient: str | None
    min_evidence: str | None
    allowed: int
    denied: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered about one person."""

    item: int
    subject_id: UUID | None
    allowed: bool
    status: str
    reason: str
    legal_basis: str | None
    consent_id: UUID | None
    ledger_entry_id: UUID | None
    notice_version: int | None
    obligations: tuple[str, ...]
    valid_until: datetime | None
    next_allowed_at: datetime | None
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the call, and the answers of it that this line brings."""

    heading: Heading
    evaluated_at: datetime
    _answers: list[list[Any]]

    def __len__(self) -> int:
        """Return how many answers the line brings."""
        return len(self._answers)

    def answers(self) -> Iterator[Answered]:
        """Read answer after answer; raises DecisionLineBrokenError."""
        for answer in self._answers:
            yield _answered(answer, self.evaluated_at)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Return answer after answer as the log's columns, unread where PostgreSQL reads it itself.

        There are millions of them, and reading each costs more than storing it. Raises DecisionLineBrokenError.
        """
        controller_id, decision_id = str(self.heading.controller_id), str(self.heading.decision_id)
        evaluated_at = self.evaluated_at.isoformat()
        try:
            for item, subject, allowed, status, reason, basis, consent, entry, *rest in self._answers:
                ids = (_plain(subject), allowed, status, reason, basis, _plain(consent), _plain(entry))
                yield (controller_id, decision_id, item, *ids, *rest, evaluated_at)
        except (ValueError, TypeError):
            raise DecisionLineBrokenError("an answer in the spool cannot be read") from None


def read(line: bytes) -> Line:
    """Read one line; raises DecisionLineBrokenError, which never repeats what stands in it."""
    try:
        parts = orjson.loads(line)
        if not isinstance(parts, list) or _LENGTHS.get(parts[0]) != len(parts):
            raise DecisionLineBrokenError("a line of the spool is not a decision")
        return _single(parts) if parts[0] == SINGLE else _many(parts)
    except (ValueError, TypeError, IndexError, AttributeError):
        raise DecisionLineBrokenError("a line of the spool cannot be read") from None


def _single(parts: list[Any]) -> Line:
    allowed = parts[12]
    if not isinstance(allowed, bool):
        raise TypeError
    heading = _heading(parts, kind="single", counts=(int(allowed), int(not allowed), 0))
    return Line(heading, heading.evaluated_at, [[0, *parts[11:]]])


def _many(parts: list[Any]) -> Line:
    kind, evaluated_at, *counts, answers = parts[11:]
    if kind not in _KINDS or not isinstance(answers, list) or not all(type(count) is int for count in counts):
        raise TypeError
    return Line(_heading(parts, kind=kind, counts=tuple(counts)), datetime.fromisoformat(evaluated_at), answers)


def _heading(parts: list[Any], *, kind: str, counts: tuple[int, ...]) -> Heading:
    allowed, denied, invalid = counts
    return Heading(
        controller_id=_uuid(parts[1]),
        decision_id=_uuid(parts[2]),
        kind=kind,
        api_key_id=_uuid(parts[3]),
        purpose=_word(parts[4]),
        channel=_word(parts[5]),
        evaluated_at=datetime.fromisoformat(parts[6]),
        as_of=_moment(parts[7]),
        known_at=_moment(parts[8]),
        recipient=None if parts[9] is None else _word(parts[9]),
        min_evidence=None if parts[10] is None else _word(parts[10]),
        allowed=allowed,
        denied=denied,
        invalid=invalid,
    )


def _answered(answer: list[Any], evaluated_at: datetime) -> Answered:
    try:
        if len(answer) != _ANSWER_LENGTH:
            raise DecisionLineBrokenError("an answer in the spool is not whole")
        return Answered(
            item=answer[0],
            subject_id=_uuid_or_none(answer[1]),
            allowed=answer[2],
            status=answer[3],
            reason=answer[4],
            legal_basis=answer[5],
            consent_id=_uuid_or_none(answer[6]),
            ledger_entry_id=_uuid_or_none(answer[7]),
            notice_version=answer[8],
            obligations=tuple(answer[9]),
            valid_until=_moment(answer[10]),
            next_allowed_at=_moment(answer[11]),
            evaluated_at=evaluated_at,
        )
    except (ValueError, TypeError, AttributeError):
        raise DecisionLineBrokenError("an answer in the spool cannot be read") from None


def _uuid(text: str) -> UUID:
    return identifiers.to_uuid(text, text[:3]) if _PUBLIC.match(text) else UUID(text)


def _plain(text: str | None) -> str | None:
    return text if text is None or text[3:4] != "_" else str(identifiers.to_uuid(text, text[:3]))


def _uuid_or_none(text: str | None) -> UUID | None:
    return None if text is None else _uuid(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _word(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text
