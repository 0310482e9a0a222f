"""Asks about one person or about thousands, and answers no for everybody about whom no clear answer came."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from consent_client import answers
from consent_client.answers import Question, UnreadableAnswerError
from consent_client.connections import NoAnswerError
from consent_client.decisions import Decision
from consent_client.references import SubjectReference
from consent_client.transport import Reply, Transport

#: What the service takes in one batch; the bytes leave room for what stands around the subjects.
MOST_SUBJECTS: Final = 10_000
MOST_BYTES: Final = 3_900_000
_OK: Final = 200

_log = logging.getLogger(__name__)


def check(transport: Transport, body: dict[str, object], question: Question, *, timeout: float) -> Decision:
    """Ask about one person; raises RequestRefusedError for the caller's own mistakes and nothing else."""
    try:
        reply = transport.post("/v1/checks", body, timeout=timeout)
        return answers.decision(_expect_ok(reply), question)
    except NoAnswerError as error:
        failure = str(error)
    except UnreadableAnswerError:
        failure = "UnreadableAnswer" if reply.status == _OK else f"HTTP {reply.status}"
    _log.warning("a check was not answered, which is a no: %s", failure)
    return question.unavailable(failure)


def check_batch(
    transport: Transport,
    subjects: Iterable[SubjectReference],
    question: Question,
    *,
    extra: dict[str, object],
    timeout: float,
) -> list[Decision]:
    """Ask about many, in the order given; raises RequestRefusedError for the caller's own mistakes."""
    decisions: list[Decision] = []
    for items in _batches(subjects):
        body = {"purpose": question.purpose, "channel": question.channel, "subjects": items, **extra}
        decisions += _ask_batch(transport, body, items, question, timeout=timeout)
    return decisions


def moment_text(moment: datetime | None) -> str | None:
    """Return a moment as the API reads it; raises ValueError for one without a zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a moment needs its zone")
    return moment.isoformat()


def _ask_batch(
    transport: Transport, body: dict[str, object], items: Sequence[object], question: Question, *, timeout: float
) -> list[Decision]:
    try:
        reply = transport.post("/v1/checks/batch", body, timeout=timeout)
        return _read_batch(_expect_ok(reply), len(items), question)
    except NoAnswerError as error:
        failure = str(error)
    except UnreadableAnswerError:
        failure = "UnreadableAnswer" if reply.status == _OK else f"HTTP {reply.status}"
    _log.warning("a batch of %d was not answered, which is a no for all of them: %s", len(items), failure)
    return [question.unavailable(failure)] * len(items)


def _read_batch(body: dict[str, Any], count: int, question: Question) -> list[Decision]:
    results = body.get("results")
    if not isinstance(results, list) or [_correlation(each) for each in results] != [str(n) for n in range(count)]:
        # Answers that are missing, or stand elsewhere, may belong to anybody.
        raise UnreadableAnswerError
    shared = answers.terms(body.get("decision_id"), body.get("evaluated_at"), body.get("valid_until"))
    return [read_item(each, question, shared) for each in results]


def read_item(body: dict[str, Any], question: Question, shared: answers.Terms) -> Decision:
    """Read one answer among many; one that cannot be read is a no in its place."""
    try:
        return answers.item(body, question, shared)
    except UnreadableAnswerError:
        return question.unavailable("UnreadableAnswer")


def _correlation(result: object) -> object:
    return result.get("correlation_id") if isinstance(result, dict) else None


def _expect_ok(reply: Reply) -> dict[str, Any]:
    refused = answers.refusal(reply.status, reply.media_type, reply.body)
    if refused is not None:
        raise refused
    if reply.status != _OK or reply.media_type != "application/json":
        raise UnreadableAnswerError
    return answers.read_object(reply.body)


def _batches(subjects: Iterable[SubjectReference]) -> Iterator[list[dict[str, object]]]:
    """Divide what is asked into bodies that the service takes; each item carries its place in its body."""
    items: list[dict[str, object]] = []
    size = 0
    for subject in subjects:
        item = {**subject.as_json(), "correlation_id": str(len(items))}
        length = len(json.dumps(item)) + len(", ")
        if items and (len(items) == MOST_SUBJECTS or size + length > MOST_BYTES):
            yield items
            items, size = [], 0
            item["correlation_id"] = "0"
        items.append(item)
        size += length
    if items:
        yield items
