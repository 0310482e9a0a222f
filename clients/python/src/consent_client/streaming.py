"""Asks about any number of people over one connection, and answers for every one of them, in order."""

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlencode

from consent_client import answers, checking, moments
from consent_client.answers import Question, Terms, UnreadableAnswerError
from consent_client.decisions import Decision, StreamDecision
from consent_client.duplex import Duplex
from consent_client.references import SubjectReference
from consent_client.transport import Endpoint, NoAnswerError

#: How many may be asked about before the first of them is answered. The service decides in parts of a few thousand, so
#: this is several of them, and bounds what is held here.
MOST_UNANSWERED: Final = 50_000
_FULL: Final = 64 * 2**10
_LONGEST_ANSWER: Final = 64 * 2**10
#: Seconds after which what a slow source has given so far is sent on.
_GATHERING: Final = 0.25
_OK: Final = 200


def check_stream(
    endpoint: Endpoint, subjects: Iterable[SubjectReference], *, purpose: str, channel: str, timeout: float
) -> Iterator[StreamDecision]:
    """Yield one answer for every subject, in order.

    When the connection breaks, everybody who is not answered yet, and everybody the source still gives, is a no.
    Raises RequestRefusedError, before the first answer, for the caller's own mistakes.
    """
    source = iter(subjects)
    question = Question(purpose, channel, asked=moments.take())
    run = _Run(question)
    failure = "ConnectionClosed"
    try:
        query = urlencode({"purpose": purpose, "channel": channel})
        with Duplex(
            endpoint, f"/v1/checks/stream?{query}", content_type="application/x-ndjson", timeout=timeout
        ) as duplex:
            yield from run.exchange(duplex, source)
    except NoAnswerError as error:
        failure = str(error)
    except UnreadableAnswerError:
        failure = "UnreadableAnswer"
    no = question.unavailable(failure)
    while run.unanswered:
        yield run.answer(no)
    for subject in source:
        run.unanswered.append(subject)
        yield run.answer(no)


class _Run:
    """What was asked and is not answered yet, and how far the answers are."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.unanswered: deque[SubjectReference] = deque()
        self._asked = 0
        self._answered = 0
        self._rest = b""
        self._shared: Terms | None = None
        self._is_complete = False
        self._is_finished = False

    def answer(self, decision: Decision) -> StreamDecision:
        """Answer for the one who has waited longest."""
        index, self._answered = self._answered, self._answered + 1
        return StreamDecision(index, self.unanswered.popleft(), decision)

    def exchange(self, duplex: Duplex, source: Iterator[SubjectReference]) -> Iterator[StreamDecision]:
        """Send and read until all are answered.

        Raises NoAnswerError and UnreadableAnswerError where that cannot be, RequestRefusedError where the service
        refuses the question itself.
        """
        while not duplex.is_ended:
            filled = self._fill(duplex, source)
            body = duplex.exchange(wait=not filled)
            if duplex.status is not None and self._shared is None:
                body = self._begin(duplex, body)
            yield from self._read(body)
        if self._rest or not self._is_complete or self.unanswered:
            raise NoAnswerError("ConnectionClosed")

    def _fill(self, duplex: Duplex, source: Iterator[SubjectReference]) -> bool:
        """Ask about as many as there is room for, and say whether the source has more at once."""
        lines, size, until = [], duplex.backlog, time.monotonic() + _GATHERING
        while not self._is_complete and size < _FULL and len(self.unanswered) < MOST_UNANSWERED:
            try:
                subject = next(source)
            except StopIteration:
                self._is_complete = True
                break
            line = json.dumps({**subject.as_json(), "correlation_id": str(self._asked)}).encode() + b"\n"
            self.unanswered.append(subject)
            self._asked += 1
            lines.append(line)
            size += len(line)
            if time.monotonic() > until:
                break
        duplex.send(b"".join(lines))
        if self._is_complete and not self._is_finished:
            self._is_finished = True
            duplex.finish()
        return bool(lines) and not self._is_complete

    def _begin(self, duplex: Duplex, body: bytes) -> bytes:
        """Read the head of the answer and return what has come of its body."""
        if duplex.status != _OK:
            raise self._refusal(duplex, body)
        if duplex.media_type != "application/x-ndjson":
            raise UnreadableAnswerError
        names = ("decision-id", "evaluated-at", "valid-until")
        self._shared = answers.terms(*(duplex.headers.get(name) for name in names))
        return body

    def _refusal(self, duplex: Duplex, body: bytes) -> Exception:
        status = duplex.status or 0
        while not duplex.is_ended and len(body) < _LONGEST_ANSWER:
            body += duplex.exchange(wait=True)
        return answers.refusal(status, duplex.media_type, body) or NoAnswerError(f"HTTP {status}")

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
        if not self.unanswered or self._shared is None or read.get("correlation_id") != str(self._answered):
            raise UnreadableAnswerError
        return checking.read_item(read, self.question, self._shared)
