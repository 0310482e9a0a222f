"""Asks about one person or about thousands, and answers no for everybody about whom no clear answer came."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from consent_client import answers, bodies
from consent_client.answers import Question, UnreadableAnswerError
from consent_client.connections import NoAnswerError
from consent_client.decisions import Decision
from consent_client.references import SubjectReference
from consent_client.transport import Reply, Transport

_OK: Final = 200

_log = logging.getLogger(__name__)


def check(transport: Transport, body: dict[str, object], question: Question, *, timeout: float) -> Decision:
    """Ask about one person; raises RequestRefusedError for the caller's own mistakes and nothing else."""
    try:
        reply = transport.post("/v1/checks", bodies.whole(body), timeout=timeout)
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
    members = {"purpose": question.purpose, "channel": question.channel, **extra}
    for items in bodies.batches(subjects):
        decisions += _ask_batch(transport, bodies.batch(members, items), len(items), question, timeout=timeout)
    return decisions


def _ask_batch(transport: Transport, body: bytes, count: int, question: Question, *, timeout: float) -> list[Decision]:
    try:
        reply = transport.post("/v1/checks/batch", body, timeout=timeout)
        return _read_batch(_expect_ok(reply), count, question)
    except NoAnswerError as error:
        failure = str(error)
    except UnreadableAnswerError:
        failure = "UnreadableAnswer" if reply.status == _OK else f"HTTP {reply.status}"
    _log.warning("a batch of %d was not answered, which is a no for all of them: %s", count, failure)
    return [question.unavailable(failure)] * count


def _read_batch(body: dict[str, Any], count: int, question: Question) -> list[Decision]:
    results = body.get("results")
    if not isinstance(results, list) or len(results) != count or not all(map(_is_in_place, results, range(count))):
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


def _is_in_place(result: object, place: int) -> bool:
    return isinstance(result, dict) and answers.is_about(result, str(place))


def _expect_ok(reply: Reply) -> dict[str, Any]:
    refused = answers.refusal(reply.status, reply.media_type, reply.body)
    if refused is not None:
        raise refused
    if reply.status != _OK or reply.media_type != "application/json":
        raise UnreadableAnswerError
    return answers.read_object(reply.body)
