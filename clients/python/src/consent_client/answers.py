"""Reads what the service answered, and believes a yes only when every part of it is as it must be."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from consent_client import moments
from consent_client.decisions import Decision, unavailable
from consent_client.errors import FieldProblem, InvalidRequestError, KeyRefusedError, RequestRefusedError
from consent_client.moments import Moment

# A word from the service may end in a log, so nothing but a word is taken for one.
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_JWS: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}", re.ASCII)
_POINTER: Final = re.compile(r"(/[A-Za-z0-9_-]{0,64}){0,10}", re.ASCII)
_BAD_REQUEST, _SERVER_ERROR = 400, 500
_KEY_REFUSALS: Final = frozenset({401, 403})
_INVALID: Final = frozenset({400, 405, 413, 415, 422})
#: Client errors that pass by themselves, and so are no mistake of the caller.
PASSING: Final = frozenset({408, 425, 429})


class UnreadableAnswerError(Exception):
    """An answer is not what the service says."""


def read_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object, strictly; raises UnreadableAnswerError.

    A member that stands twice is refused: who says yes and no at once has said nothing.
    """
    try:
        read = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise UnreadableAnswerError from None
    if not isinstance(read, dict):
        raise UnreadableAnswerError
    return read


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and when; `is_past` where it was about another moment than now."""

    purpose: str
    channel: str
    asked: Moment
    is_past: bool = False

    def unavailable(self, failure: str) -> Decision:
        """Return the no for this question when nothing came that could be read."""
        return unavailable(purpose=self.purpose, channel=self.channel, asked=self.asked, failure=failure)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an answer to many says once, for all of them."""

    decision_id: str
    evaluated_at: datetime
    valid_until: datetime | None


def decision(body: Mapping[str, Any], question: Question) -> Decision:
    """Read the answer to one check; raises UnreadableAnswerError."""
    if (body.get("purpose"), body.get("channel")) != (question.purpose, question.channel):
        # The answer to another question, whoever mixed them up.
        raise UnreadableAnswerError
    if body.get("obligations") is None:
        # Whoever sends has to know them, even that there are none.
        raise UnreadableAnswerError
    return item(body, question, terms(body.get("decision_id"), body.get("evaluated_at"), None))


def item(body: Mapping[str, Any], question: Question, shared: Terms) -> Decision:
    """Read one answer among many; raises UnreadableAnswerError.

    A yes ends at its own `valid_until` or at that of all, whichever comes first. One about another moment is history:
    it has no end, and nothing may be sent on it.
    """
    ends = [end for end in (time(body.get("valid_until")), shared.valid_until) if end is not None]
    allowed = _flag(body, "allowed")
    valid_until = min(ends) if ends and allowed and not question.is_past else None
    if allowed and not question.is_past:
        _demand_time_left(valid_until, shared.evaluated_at)
    return Decision(
        allowed=allowed,
        status=_word(body, "status"),
        reason=_word(body, "reason"),
        purpose=question.purpose,
        channel=question.channel,
        asked=question.asked,
        legal_basis=_name(body, "legal_basis"),
        subject_id=_name(body, "subject_id"),
        consent_id=_name(body, "consent_id"),
        notice_version=_number(body, "notice_version"),
        language=_name(body, "language"),
        given_at=time(body.get("given_at")),
        confirmed_at=time(body.get("confirmed_at")),
        withdrawn_at=time(body.get("withdrawn_at")),
        expires_at=time(body.get("expires_at")),
        next_allowed_at=time(body.get("next_allowed_at")),
        valid_until=valid_until,
        obligations=_words(body, "obligations"),
        decision_id=shared.decision_id,
        evaluated_at=shared.evaluated_at,
        statement=_statement(body.get("statement")),
    )


def is_about(body: Mapping[str, Any], correlation_id: str) -> bool:
    """Say whether one answer among many is the one to that question.

    A question that the service could not read at all has lost its name; the answer to it is a no, and in its place.
    """
    named = body.get("correlation_id")
    if named is None and "correlation_id" in body:
        return body.get("allowed") is False and body.get("reason") == "invalid_reference"
    return isinstance(named, str) and named == correlation_id


def terms(decision_id: object, evaluated_at: object, valid_until: object) -> Terms:
    """Read what holds for all answers; raises UnreadableAnswerError."""
    moment = time(evaluated_at)
    if moment is None:
        raise UnreadableAnswerError
    return Terms(identifier(decision_id), moment, time(valid_until))


def refusal(status: int, media_type: str, body: bytes) -> RequestRefusedError | None:
    """Return the error for a mistake of the caller, or None where this is none that the service itself names.

    A bare status is not enough: a proxy in between says 404 while the service restarts.
    """
    if not _BAD_REQUEST <= status < _SERVER_ERROR or status in PASSING or media_type != "application/problem+json":
        return None
    try:
        problem = read_object(body)
        code, request_id = _word(problem, "code"), problem.get("instance")
    except UnreadableAnswerError:
        return None
    kind = RequestRefusedError
    if status in _KEY_REFUSALS:
        kind = KeyRefusedError
    elif status in _INVALID:
        kind = InvalidRequestError
    known_id = request_id if isinstance(request_id, str) and _ID.fullmatch(request_id) else None
    return kind(status, code, request_id=known_id, problems=_field_problems(problem.get("errors")))


def time(value: object) -> datetime | None:
    """Read an RFC 3339 time as UTC, None for None; raises UnreadableAnswerError."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableAnswerError
    try:
        read = datetime.fromisoformat(value)
        if read.tzinfo is None:
            raise UnreadableAnswerError
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableAnswerError from None


def identifier(value: object) -> str:
    """Read an id of the service; raises UnreadableAnswerError."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UnreadableAnswerError
    return value


def _demand_time_left(valid_until: datetime | None, evaluated_at: datetime) -> None:
    if valid_until is None or not valid_until > max(evaluated_at, moments.take().at):
        raise UnreadableAnswerError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise UnreadableAnswerError
    return value


def _word(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise UnreadableAnswerError
    return value


def _name(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value is None else identifier(value)


def _number(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UnreadableAnswerError
    return value


def _words(body: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) and _WORD.fullmatch(each) for each in value):
        raise UnreadableAnswerError
    return tuple(value)


def _statement(value: object) -> str | None:
    """Return a compact JWS; whatever else stands there proves nothing, and changes nothing either."""
    return value if isinstance(value, str) and _JWS.fullmatch(value) else None


def _field_problems(errors: object) -> tuple[FieldProblem, ...]:
    found = []
    for error in errors if isinstance(errors, list) else ():
        if not isinstance(error, dict):
            continue
        pointer, code, detail = error.get("pointer"), error.get("code"), error.get("detail")
        if isinstance(pointer, str) and _POINTER.fullmatch(pointer) and isinstance(code, str) and _WORD.fullmatch(code):
            found.append(FieldProblem(pointer, code, detail if isinstance(detail, str) else ""))
    return tuple(found)
