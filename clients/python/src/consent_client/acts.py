"""Reports what a person said, withdraws and objects: once each, however often the call has to be repeated."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consent_client import answers, bodies
from consent_client.answers import UnreadableAnswerError
from consent_client.connections import NoAnswerError
from consent_client.errors import OutcomeUnknownError, RequestRefusedError
from consent_client.transport import Reply, Transport

#: Seconds before each repetition.
RETRY_WAITS: Final = (0.2, 1.0, 3.0)
_LONGEST_WAIT: Final = 10.0
_DONE: Final = frozenset({200, 201})
_STILL_RUNNING: Final = "idempotency_in_flight"


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to one question. `granted` has no default: an empty box is not a no."""

    purpose: str
    channel: str
    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How the person acted. `occurred_at` carries its zone and is not in the future."""

    method: str
    act: str
    occurred_at: datetime
    page_url: str | None = None
    ip: str | None = field(default=None, repr=False)
    user_agent: str | None = field(default=None, repr=False)
    operator: str | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CapturedConsent:
    """What became of one choice; `requested` waits until the person confirms by `confirmation`, and is no consent."""

    consent_id: str
    purpose: str
    channel: str
    status: str
    confirmation: str | None


@dataclass(frozen=True, slots=True)
class CaptureOutcome:
    """What became of a report."""

    subject_id: str | None
    consents: tuple[CapturedConsent, ...]
    decided_at: datetime
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class EndedConsent:
    """One declaration that is withdrawn, and since when."""

    consent_id: str
    purpose: str
    channel: str
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawalOutcome:
    """What this call withdrew, and what had been withdrawn before. From now on every check says no."""

    withdrawn: tuple[EndedConsent, ...]
    unchanged: tuple[EndedConsent, ...]
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class ObjectionOutcome:
    """An objection that holds from now on."""

    objection_id: str
    subject_id: str | None
    recorded_at: datetime
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Repeater:
    """Repeats a call with the same key until a clear answer comes, or patience ends."""

    transport: Transport
    timeout: float
    waits: Sequence[float] = RETRY_WAITS
    sleep: Callable[[float], None] = time.sleep

    def perform(self, path: str, body: Mapping[str, object], *, key: str) -> dict[str, Any]:
        """Return the answer of an act that is recorded.

        Raises RequestRefusedError where the service refused it, and OutcomeUnknownError where it never became clear.
        """
        failure, pause, written = "", 0.0, bodies.whole(body)
        for wait in (0.0, *self.waits):
            if wait or pause:
                self.sleep(max(wait, pause))
            try:
                reply = self.transport.post(path, written, timeout=self.timeout, headers={"Idempotency-Key": key})
            except NoAnswerError as error:
                failure, pause = str(error), 0.0
                continue
            read = _read(reply)
            if read is not None:
                return read
            failure, pause = f"HTTP {reply.status}", min(reply.retry_after or 0.0, _LONGEST_WAIT)
        raise OutcomeUnknownError(key, failure=failure)


def new_key() -> str:
    """Return an idempotency key that nobody has used."""
    return str(uuid.uuid4())


def capture_outcome(body: Mapping[str, Any], *, key: str) -> CaptureOutcome:
    """Read what became of a report; raises OutcomeUnknownError."""
    with _Reading(key):
        return CaptureOutcome(
            subject_id=_optional(body.get("subject_id")),
            consents=tuple(
                CapturedConsent(
                    consent_id=answers.identifier(each["consent_id"]),
                    purpose=answers.identifier(each["purpose"]),
                    channel=answers.identifier(each["channel"]),
                    status=answers.identifier(each["status"]),
                    confirmation=_optional(each["confirmation"]),
                )
                for each in body["consents"]
            ),
            decided_at=_moment(body.get("decided_at")),
            idempotency_key=key,
        )


def withdrawal_outcome(body: Mapping[str, Any], *, key: str) -> WithdrawalOutcome:
    """Read what was withdrawn; raises OutcomeUnknownError."""
    with _Reading(key):
        return WithdrawalOutcome(
            withdrawn=_ended(body["withdrawn"]), unchanged=_ended(body["unchanged"]), idempotency_key=key
        )


def objection_outcome(body: Mapping[str, Any], *, key: str) -> ObjectionOutcome:
    """Read the objection that was recorded; raises OutcomeUnknownError."""
    with _Reading(key):
        return ObjectionOutcome(
            objection_id=answers.identifier(body.get("objection_id")),
            subject_id=_optional(body.get("subject_id")),
            recorded_at=_moment(body.get("recorded_at")),
            idempotency_key=key,
        )


class _Reading:
    """Turns an answer that cannot be read into an outcome that is not known."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (UnreadableAnswerError, KeyError, TypeError)):
            raise OutcomeUnknownError(self._key, failure="UnreadableAnswer") from None


def _read(reply: Reply) -> dict[str, Any] | None:
    """Return the body of an act that is recorded, None where it has to be asked again."""
    refused = answers.refusal(reply.status, reply.media_type, reply.body)
    if isinstance(refused, RequestRefusedError) and refused.code != _STILL_RUNNING:
        raise refused
    if reply.status not in _DONE or reply.media_type != "application/json":
        return None
    try:
        return answers.read_object(reply.body)
    except UnreadableAnswerError:
        return None


def _ended(items: Sequence[Mapping[str, Any]]) -> tuple[EndedConsent, ...]:
    return tuple(
        EndedConsent(
            consent_id=answers.identifier(each["consent_id"]),
            purpose=answers.identifier(each["purpose"]),
            channel=answers.identifier(each["channel"]),
            withdrawn_at=_moment(each["withdrawn_at"]),
        )
        for each in items
    )


def _optional(value: object) -> str | None:
    return None if value is None else answers.identifier(value)


def _moment(value: object) -> datetime:
    moment = answers.time(value)
    if moment is None:
        raise UnreadableAnswerError
    return moment
