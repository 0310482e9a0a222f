"""Every way to ask the service, each with the same questions and the same form of answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service.consent import check
from consent_service.consent.check import CheckRequest
from tests.acts import Stage, refer


@dataclass(frozen=True, slots=True)
class Desk:
    """Who asks: a controller, from inside and with a key of its own."""

    stage: Stage
    client: FlaskClient
    key: str


@dataclass(frozen=True, slots=True)
class Question:
    """Whether an address may be mailed for a purpose; now, or then. Those asked together differ in nobody but who."""

    who: str
    purpose: str
    as_of: datetime | None


def in_a_session(desk: Desk, questions: list[Question], at: datetime) -> list[bool]:
    """Ask as the service itself does, inside a transaction."""
    with desk.stage.act() as session:
        return [
            check.decide(
                session,
                request=CheckRequest(refer(each.who), each.purpose, "email", as_of=each.as_of),
                at=at,
            ).allowed
            for each in questions
        ]


def one_by_one(desk: Desk, questions: list[Question], at: datetime) -> list[bool]:
    """Ask over HTTP, one person at a time."""
    answers = [
        post(desk, at, "/v1/checks", json={"subject": {"email": each.who}, "channel": "email", **said(each)})
        for each in questions
    ]
    return [answer.get_json()["allowed"] for answer in answers]


def as_a_batch(desk: Desk, questions: list[Question], at: datetime) -> list[bool]:
    """Ask over HTTP about all of them at once."""
    body = {"subjects": [{"email": each.who} for each in questions], "channel": "email", **said(questions[0])}
    return [each["allowed"] for each in post(desk, at, "/v1/checks/batch", json=body).get_json()["results"]]


def as_a_stream(desk: Desk, questions: list[Question], at: datetime) -> list[bool]:
    """Ask over HTTP line by line."""
    query = urlencode({"channel": "email", **said(questions[0])})
    lines = b"".join(json.dumps({"email": each.who}).encode() + b"\n" for each in questions)
    answer = post(desk, at, f"/v1/checks/stream?{query}", data=lines, content_type="application/x-ndjson")
    return [json.loads(line)["allowed"] for line in answer.data.splitlines()]


def said(question: Question) -> dict[str, str]:
    """Return what a question is about, in the words of the API."""
    then = {} if question.as_of is None else {"as_of": question.as_of.isoformat()}
    return {"purpose": question.purpose, **then}


def post(desk: Desk, at: datetime, path: str, **sent: Any) -> TestResponse:  # noqa: ANN401 - the client's options
    with time_machine.travel(at, tick=False):
        answer = desk.client.post(path, headers={"Authorization": f"Bearer {desk.key}"}, **sent)
    assert answer.status_code == 200, answer.data
    return answer


Asker = Callable[[Desk, list[Question], datetime], list[bool]]
#: Every way to ask beside the batch.
OTHER_DOORS: Final[tuple[Asker, ...]] = (in_a_session, one_by_one, as_a_stream)
