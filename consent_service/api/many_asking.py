"""Asks about many people in chunks: reads what was sent, decides, writes down, and counts, in constant memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import marshmallow as ma
import orjson
import structlog
from flask import Request

from consent_service import clock, identifiers
from consent_service.api import parsing
from consent_service.api.asking import Caller
from consent_service.api.subject_references import SubjectReferenceSchema
from consent_service.consent import checking_many, decisions, gathering
from consent_service.consent.checking_many import CHUNK, Answered, CopyIsOldError
from consent_service.consent.decisions import Answer
from consent_service.consent.gathering import Question
from consent_service.errors import ApiKeyInvalidError, InvalidInputError, RegistryUnsettledError
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import SubjectReference
from consent_service.web import json_answers, json_bodies
from consent_service.web.problems import ProblemError

LONGEST_CORRELATION_ID: Final = 200
#: A line of a stream is a reference, and none of ours comes near this.
LONGEST_LINE_BYTES: Final = 16 * 1024

_log = structlog.get_logger(__name__)

_TRIES: Final = 3
_REFERENCE: Final = SubjectReferenceSchema()
_UNREADABLE: Final = "\0"

timestamp = json_answers.timestamp


@dataclass(frozen=True, slots=True)
class Item:
    """One question of many as it was read; without a reference it could not be."""

    correlation_id: str | None
    reference: SubjectReference | ContactValue | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of everybody."""

    kind: Literal["batch", "stream"]
    purpose: str
    channel: str
    as_of: datetime | None


class Readable(Protocol):
    """Where a body comes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and none at the end."""
        ...


class Running:
    """One call while it runs: its id, and how many were answered how up to now."""

    def __init__(self, caller: Caller, asked: Asked) -> None:
        self._caller = caller
        self._asked = asked
        self._read_so_far = 0
        self.decision_id = identifiers.new_id("dec", at=caller.at)
        self.allowed = 0
        self.denied = 0
        self.invalid = 0
        self.valid_until: datetime | None = None

    def answer(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Answer a chunk and write it down; raises what a single check raises, and then nobody was answered."""
        at = self._caller.at if self._asked.kind == "batch" else clock.now()
        if not self._caller.api_key.is_active(at):
            # A stream may outlive the key that opened it.
            raise ApiKeyInvalidError(self._caller.api_key.id)
        answers = self._decide(items, at)
        before = (self._read_so_far, self.allowed, self.denied, self.invalid, self.valid_until)
        results, kept = self._results(items, answers)
        try:
            self._write_down(at, kept)
        except BaseException:
            # Nobody hears these answers, so they must not be counted.
            self._read_so_far, self.allowed, self.denied, self.invalid, self.valid_until = before
            raise
        return results

    def deny(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Answer no to everybody in a chunk that could not be decided: they are counted, and no answer is kept."""
        unread = sum(item.reference is None for item in items)
        self.invalid += unread
        self.denied += len(items) - unread
        self._read_so_far += len(items)
        return [
            {
                "correlation_id": item.correlation_id,
                "allowed": False,
                "status": "unknown",
                "reason": "unavailable" if item.reference is not None else "invalid_reference",
                "subject_id": None,
            }
            for item in items
        ]

    def _write_down(self, at: datetime, kept: Sequence[Answer]) -> None:
        decisions.record_many(
            self._caller.asking.spool,
            kind=self._asked.kind,
            controller_id=self._caller.copy.controller.controller_id,
            decision_id=self.decision_id,
            api_key_id=self._caller.api_key.id,
            purpose=self._asked.purpose,
            channel=self._asked.channel,
            started_at=self._caller.at,
            evaluated_at=at,
            as_of=self._asked.as_of,
            known_at=None,
            recipient=None,
            min_evidence=None,
            allowed=self.allowed,
            denied=self.denied,
            invalid=self.invalid,
            answers=kept,
        )

    def _decide(self, items: Sequence[Item], at: datetime) -> list[Answered]:
        references = [item.reference for item in items]
        for _ in range(_TRIES):
            self._caller.demand_purpose(self._asked.purpose)
            question = Question(
                purpose=self._asked.purpose,
                channel=self._asked.channel,
                at=self._asked.as_of or at,
                until=self._asked.as_of,
            )
            asked = gathering.ask(self._caller.copy, question)
            try:
                return self._answer(asked, references)
            except CopyIsOldError:
                self._caller = self._caller.renewed()
        raise RegistryUnsettledError

    def _answer(
        self, asked: gathering.Asked, references: Sequence[SubjectReference | ContactValue | None]
    ) -> list[Answered]:
        # Where nobody is looked for, the registry is asked by itself whether this still holds.
        if asked.offer is None and self._caller.asking.read(asked, None) is None:
            raise CopyIsOldError
        return checking_many.answer(asked, references, self._caller.asking.direct_many.run)

    def _results(self, items: Sequence[Item], answers: Sequence[Answered]) -> tuple[list[dict[str, Any]], list[Answer]]:
        results: list[dict[str, Any]] = []
        kept: list[Answer] = []
        place = self._read_so_far
        for item, answered in zip(items, answers, strict=True):
            verdict = answered.verdict
            subject = None if answered.subject is None else identifiers.from_uuid(answered.subject, "sub")
            result: dict[str, Any] = {
                "correlation_id": item.correlation_id,
                "allowed": verdict.allowed,
                "status": verdict.status,
                "reason": verdict.reason,
                "subject_id": subject,
            }
            if verdict.allowed:
                self.allowed += 1
                until = verdict.valid_until
                # What held in the past says nothing about sending now.
                if until is not None:
                    result["valid_until"] = until
                    self.valid_until = min(until, self.valid_until or until)
            elif item.reference is None:
                self.invalid += 1
            else:
                self.denied += 1
            results.append(result)
            if answered.subject is not None:
                kept.append(
                    (
                        place,
                        answered.subject,
                        verdict.allowed,
                        verdict.status,
                        verdict.reason,
                        verdict.legal_basis,
                        answered.consent,
                        answered.entry,
                        answered.notice_version,
                        verdict.obligations,
                        verdict.valid_until,
                        verdict.next_allowed_at,
                    )
                )
            place += 1
        self._read_so_far = place
        return results, kept


class Lines:
    """Turns bytes of a stream into bytes of answers, a chunk of lines at a time."""

    def __init__(self, running: Running, *, system: str) -> None:
        self._running = running
        self._system = system
        self._part = b""
        self._is_skipping = False
        self._items: list[Item] = []

    def feed(self, data: bytes) -> bool:
        """Take in what was sent; returns whether a chunk is full and must be answered before more is taken."""
        lines = (self._part + data).split(b"\n")
        self._part = lines.pop()
        for line in lines:
            if self._is_skipping:
                # The rest of a line that was answered when it grew too long.
                self._is_skipping = False
            elif line.strip():
                self._items.append(self._read(line))
        if len(self._part) > LONGEST_LINE_BYTES:
            if not self._is_skipping:
                self._items.append(Item(None, None))
                self._is_skipping = True
            self._part = b""
        return len(self._items) >= CHUNK

    def finish(self) -> None:
        """Take in that nothing more is sent: what is left is the last line."""
        if self._part.strip() and not self._is_skipping:
            self._items.append(self._read(self._part))
        self._part = b""

    @property
    def is_waiting(self) -> bool:
        """Say whether somebody waits for an answer."""
        return bool(self._items)

    def answer(self) -> bytes:
        """Answer for everybody who waits: no for all of them where they could not be decided."""
        items, self._items = self._items, []
        written = []
        for chunk in chunks(items):
            try:
                results = self._running.answer(chunk)
            except Exception as error:  # noqa: BLE001 - the outermost door of a stream, whose 200 has been sent
                _log.error("stream_not_decided", error=type(error).__name__)
                results = self._running.deny(chunk)
            written += [orjson.dumps(result, option=_LINE_OPTIONS) for result in results]
        return b"".join(written)

    def _read(self, line: bytes) -> Item:
        if len(line) > LONGEST_LINE_BYTES:
            return Item(None, None)
        try:
            sent = orjson.loads(line)
            if not _names_no_key_twice(line, sent):
                sent = json_bodies.parse(line)
        except (ValueError, InvalidInputError, ProblemError):
            return Item(None, None)
        return read_item(sent, self._system)


_LINE_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
_PIECE_BYTES: Final = 32 * 1024


def pump(lines: Lines, source: Readable) -> Iterator[bytes]:
    """Answer a stream for a server that cannot send while it receives: piece by piece, as they are asked for."""
    while piece := source.read(_PIECE_BYTES):
        if lines.feed(piece):
            yield lines.answer()
    lines.finish()
    if lines.is_waiting:
        yield lines.answer()


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut what was sent into chunks."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def read_batch(request: Request, schema: ma.Schema) -> Any:  # noqa: ANN401 - what the schema makes
    """Read the body of a batch; raises what reading any body raises."""
    body = json_bodies.read_all(request)
    document: Any = None
    if b"\\" not in body and request.mimetype == json_bodies.MEDIA_TYPE:
        try:
            document = orjson.loads(body)
        except ValueError:
            document = None
    if not isinstance(document, dict) or not _names_no_key_twice(body, document):
        # Whatever is unusual is read by the reader that says what is wrong with it.
        document = json_bodies.read(request)
    return parsing.validated(schema, document)


def read_item(sent: Any, system: str) -> Item:  # noqa: ANN401 - any JSON value
    """Read one question of many."""
    if not isinstance(sent, dict):
        return Item(None, None)
    correlation_id = sent.get("correlation_id")
    if not (isinstance(correlation_id, str) and 0 < len(correlation_id) <= LONGEST_CORRELATION_ID):
        if correlation_id is not None or "correlation_id" in sent:
            return Item(None, None)
    elif _UNREADABLE in correlation_id:
        return Item(None, None)
    email = sent.get("email")
    if isinstance(email, str) and len(sent) == (1 if correlation_id is None else 2):
        plain = fields.plain_email(email)
        if plain is not None:
            return Item(correlation_id, plain)
    try:
        reference = _REFERENCE.load({name: value for name, value in sent.items() if name != "correlation_id"})
    except ma.ValidationError:
        return Item(correlation_id, None)
    return Item(correlation_id, reference.resolve(system=system))


def _names_no_key_twice(text: bytes, value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Say whether every quoted string of a JSON text is in the value: a key that stands twice would be missing.

    A text with an escape is taken for one that does not, and read by the slower reader.
    """
    return b"\\" not in text and text.count(b'"') == 2 * _strings_in(value)


def _strings_in(value: Any) -> int:  # noqa: ANN401 - any JSON value
    # Not by recursion: a thousand brackets in one line would exhaust the interpreter's stack.
    strings = 0
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            strings += 1
        elif isinstance(each, dict):
            strings += len(each)
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
    return strings
