"""Asks about any number of people over one connection, and answers for every one of them, in order."""

import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlencode

from consent_client import answers, bodies, checking, moments
from consent_client.answers import Question, Terms, UnreadableAnswerError
from consent_client.connections import Connection, NoAnswerError
from consent_client.decisions import Decision, StreamDecision
from consent_client.endpoints import Endpoint
from consent_client.references import SubjectReference

#: How many may be asked about before the first of them is answered. The service decides in parts of a few thousand, so
#: this is several of them, and bounds what is held here.
MOST_UNANSWERED: Final = 50_000
_FULL: Final = 64 * 2**10
_LONGEST_ANSWER: Final = 64 * 2**10
#: Seconds after which what a slow source has given so far is sent on.
_GATHERING: Final = 0.25
_OK: Final = 200

_log = logging.getLogger(__name__)


def check_stream(
    endpoint: Endpoint, subjects: Iterable[SubjectReference], *, purpose: str, channel: str, timeout: float
) -> Iterator[StreamDecision]:
    """Yield one answer for every subject, in order.

    When the connection breaks, everybody who is not answered yet, and everybody the source still gives, is a no.
    Raises RequestRefusedError, before the first answer, for the caller's own mistakes.
    """
    source = iter(subjects)
    first = list(itertools.islice(source, 1))
    if not first:
        return
    source = itertools.chain(first, source)
    question = Question(purpose, channel, asked=moments.take())
    run = _Run(question, timeout)
    try:
        with contextlib.closing(Connection(endpoint, give_up_at=time.monotonic() + timeout)) as connection:
            query = urlencode({"purpose": purpose, "channel": channel})
            headers = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
            connection.begin(f"{endpoint.path}/v1/checks/stream?{query}", {**endpoint.headers, **headers})
            yield from run.exchange(connection, source)
        return
    except NoAnswerError as error:
        failure = str(error)
    except UnreadableAnswerError:
        failure = "UnreadableAnswer"
    _log.warning("a stream broke after %d answers, and the rest is a no: %s", run.answered, failure)
    no = question.unavailable(failure)
    while run.unanswered:
        yield run.answer(no)
    for subject in source:
        run.unanswered.append(subject)
        yield run.answer(no)


class _Run:
    """What was asked and is not answered yet, and how far the answers are."""

    def __init__(self, question: Question, timeout: float) -> None:
        self.question = question
        self.timeout = timeout
        self.unanswered: deque[SubjectReference] = deque()
        self._asked = 0
        self.answered = 0
        self._rest = b""
        self._shared: Terms | None = None
        self._is_complete = False
        self._is_finished = False

    def answer(self, decision: Decision) -> StreamDecision:
        """Answer for the one who has waited longest."""
        index, self.answered = self.answered, self.answered + 1
        return StreamDecision(index, self.unanswered.popleft(), decision)

    def exchange(self, connection: Connection, source: Iterator[SubjectReference]) -> Iterator[StreamDecision]:
        """Send and read until all are answered.

        Raises NoAnswerError and UnreadableAnswerError where that cannot be, RequestRefusedError where the service
        refuses the question itself.
        """
        while self.unanswered or not self._is_complete:
            if connection.is_ended:
                raise NoAnswerError("EndedEarly")
            filled = self._fill(connection, source)
            body = connection.exchange(give_up_at=time.monotonic() + self.timeout, wait=not filled)
            if connection.status is not None and self._shared is None:
                body = self._begin(connection, body)
            yield from self._read(body)

    def _fill(self, connection: Connection, source: Iterator[SubjectReference]) -> bool:
        """Ask about as many as there is room for, and say whether the source has more at once."""
        lines, size, until = [], connection.backlog, time.monotonic() + _GATHERING
        while not self._is_complete and size < _FULL and len(self.unanswered) < MOST_UNANSWERED:
            try:
                subject = next(source)
            except StopIteration:
                self._is_complete = True
                break
            line = bodies.item(subject, self._asked) + b"\n"
            self.unanswered.append(subject)
            self._asked += 1
            lines.append(line)
            size += len(line)
            if time.monotonic() > until:
                break
        connection.send(b"".join(lines))
        if self._is_complete and not self._is_finished:
            self._is_finished = True
            connection.finish()
        return bool(lines) and not self._is_complete

    def _begin(self, connection: Connection, body: bytes) -> bytes:
        """Read the head of the answer and return what has come of its body."""
        if connection.status != _OK:
            raise self._refusal(connection, body)
        if connection.media_type != "application/x-ndjson":
            raise UnreadableAnswerError
        names = ("decision-id", "evaluated-at", "valid-until")
        self._shared = answers.terms(*(connection.headers.get(name) for name in names))
        return body

    def _refusal(self, connection: Connection, body: bytes) -> Exception:
        status = connection.status or 0
        while not connection.is_ended and len(body) < _LONGEST_ANSWER:
            body += connection.exchange(give_up_at=time.monotonic() + self.timeout)
        return answers.refusal(status, connection.media_type, body) or NoAnswerError(f"HTTP {status}")

    def _read(self, body: bytes) -> Iterator[StreamDecision]:
        if not body:
            return
        *lines, self._rest = (self._rest + body).split(b"\n")
        if len(self._rest) > _LONGEST_ANSWER:
            raise UnreadableAnswerError
        for line in lines:
            if line.strip():
                yield self.answer(self._decide(line))

    def _decide(self, line: bytes) -> Decision:
        """Read one line; raises UnreadableAnswerError where nobody knows whose answer it is."""
        read = answers.read_object(line)
        if not self.unanswered or self._shared is None or not answers.is_about(read, str(self.answered)):
            raise UnreadableAnswerError
        return checking.read_item(read, self.question, self._shared)
