"""The one object that a program talks to: checks that fail as a no, and acts that are recorded once."""

import contextlib
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, Self

from consent_client import acts, bodies, checking, endpoints, moments, progress, streaming
from consent_client.acts import CaptureOutcome, Choice, Evidence, ObjectionOutcome, Repeater, WithdrawalOutcome
from consent_client.answers import Question
from consent_client.decisions import Decision, StreamDecision
from consent_client.references import ContactPoint, SubjectReference
from consent_client.transport import Transport


class Answer(Protocol):
    """What can say whether a message may leave: a Decision or a StreamDecision."""

    def demand_current(self, *, at: datetime | None = None) -> None:
        """Return only if a message may leave now."""


class ConsentClient:
    """Asks one consent service, with one API key. Threads may share it; it keeps no answer.

    Checks never raise for what can go wrong on the way or at the service: they answer no, with the reason
    `unavailable`. They raise RequestRefusedError for a mistake of the calling program alone.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 5.0,
        batch_timeout: float = 60.0,
        stream_timeout: float = 30.0,
        retry_waits: Sequence[float] = acts.RETRY_WAITS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Read where the service is; nothing is sent yet.

        `timeout` holds for a single call, `batch_timeout` for each 10,000 of a batch, `stream_timeout` for a stream in
        which nothing moves; all in seconds. `retry_waits` are the pauses before an act is repeated. `ssl_context` is
        for a service with a certificate of one's own authority. Raises InsecureUrlError for anything but https, except
        on loopback, and ValueError for a key that cannot be one.
        """
        self._endpoint = endpoints.read(base_url, api_key, tls=ssl_context)
        self._transport = Transport(self._endpoint)
        self._timeout = timeout
        self._batch_timeout = batch_timeout
        self._stream_timeout = stream_timeout
        self._repeater = Repeater(self._transport, timeout=timeout, waits=tuple(retry_waits))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ConsentClient({self._endpoint.url!r})"

    def close(self) -> None:
        """Close the connections; the client may be used again and opens new ones."""
        self._transport.close()

    def check(
        self,
        subject: SubjectReference,
        purpose: str,
        channel: str,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        recipient: str | None = None,
        min_evidence: str | None = None,
    ) -> Decision:
        """Ask whether one person may be contacted now, or, with `as_of`, whether they might have been.

        A yes about another moment (`as_of`, `known_at`) is history: nothing can be sent on it. Raises
        RequestRefusedError for a mistake of the caller.
        """
        is_past = as_of is not None or known_at is not None
        body = {
            "subject": subject.as_json(),
            "purpose": purpose,
            "channel": channel,
            **_given(
                as_of=bodies.moment(as_of),
                known_at=bodies.moment(known_at),
                recipient=recipient,
                min_evidence=min_evidence,
            ),
        }
        question = Question(purpose, channel, asked=moments.take(), is_past=is_past)
        return checking.check(self._transport, body, question, timeout=self._timeout)

    def check_batch(
        self, subjects: Iterable[SubjectReference], purpose: str, channel: str, *, as_of: datetime | None = None
    ) -> list[Decision]:
        """Ask about many people at once, and answer for each in the order given.

        Any number: it is divided into parts that the service takes. Whoever is in a part that fails is a no, and so is
        whoever's own answer cannot be read. Raises RequestRefusedError for a mistake of the caller.
        """
        question = Question(purpose, channel, asked=moments.take(), is_past=as_of is not None)
        extra = _given(as_of=bodies.moment(as_of))
        return checking.check_batch(self._transport, subjects, question, extra=extra, timeout=self._batch_timeout)

    def check_stream(
        self,
        subjects: Iterable[SubjectReference],
        purpose: str,
        channel: str,
        *,
        show_progress: bool = False,
        total: int | None = None,
    ) -> Iterator[StreamDecision]:
        """Ask about any number of people over one connection, in constant memory, and yield each answer in order.

        Exactly as many answers come as subjects were given: when the connection breaks, all that are not answered yet
        are a no. Whoever stops taking answers holds up the service, which ends a stream in which nothing moves for
        30 seconds; what follows is then a no as well. Raises RequestRefusedError, before the first answer, for a
        mistake of the caller. `show_progress` draws a bar on a terminal, and says a line every ten seconds elsewhere.
        """
        stream = streaming.check_stream(
            self._endpoint, subjects, purpose=purpose, channel=channel, timeout=self._stream_timeout
        )
        if not show_progress:
            return stream
        return progress.shown(stream, total=progress.length_of(subjects) if total is None else total)

    @contextlib.contextmanager
    def sending(self, answer: Answer) -> Iterator[None]:
        """Guard the sending of one message: the block is entered only while the answer is a yes for now.

        Raises DecisionDeniedError for a no, DecisionExpiredError for a yes that is over; then ask again.
        """
        answer.demand_current()
        yield

    def capture(
        self,
        subject: SubjectReference,
        *,
        form: str,
        language: str,
        choices: Iterable[Choice],
        evidence: Evidence,
        form_version: int | None = None,
        additional_contact_points: Iterable[ContactPoint] = (),
        personal_fields: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> CaptureOutcome:
        """Report what a person said, once, however often the call has to be repeated.

        `requested` in the outcome is no consent yet. Raises RequestRefusedError where nothing was recorded, and
        OutcomeUnknownError where that never became clear.
        """
        points = [point.as_json() for point in additional_contact_points]
        body = {
            "subject": subject.as_json(),
            "form": form,
            "language": language,
            "decisions": [
                {"purpose": choice.purpose, "channel": choice.channel, "granted": choice.granted} for choice in choices
            ],
            "evidence": _evidence(evidence),
            **_given(
                form_version=form_version,
                additional_contact_points=points or None,
                personal_fields=dict(personal_fields) if personal_fields else None,
            ),
        }
        key = idempotency_key or acts.new_key()
        return acts.capture_outcome(self._repeater.perform("/v1/consents", body, key=key), key=key)

    def withdraw(
        self,
        subject: SubjectReference,
        *,
        purpose: str | None = None,
        channel: str | None = None,
        reason: str | None = None,
        evidence: Evidence | None = None,
        idempotency_key: str | None = None,
    ) -> WithdrawalOutcome:
        """Withdraw for a person; what is left out means all (GDPR Art. 7(3)).

        When it returns, every check says no. Raises RequestRefusedError where nothing was recorded, and
        OutcomeUnknownError where that never became clear: repeat it then with the same key.
        """
        body = {
            "subject": subject.as_json(),
            **_given(
                purpose=purpose,
                channel=channel,
                reason=reason,
                evidence=None if evidence is None else _evidence(evidence),
            ),
        }
        key = idempotency_key or acts.new_key()
        return acts.withdrawal_outcome(self._repeater.perform("/v1/withdrawals", body, key=key), key=key)

    def object_to(
        self,
        subject: SubjectReference,
        *,
        purpose: str | None = None,
        channel: str | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> ObjectionOutcome:
        """Record an objection to direct marketing: to all of it, a channel, or a purpose (GDPR Art. 21(2)).

        Raises as withdraw does.
        """
        body = {"subject": subject.as_json(), **_given(purpose=purpose, channel=channel, reason=reason)}
        key = idempotency_key or acts.new_key()
        return acts.objection_outcome(self._repeater.perform("/v1/objections", body, key=key), key=key)


def _given(**members: object) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}


def _evidence(evidence: Evidence) -> dict[str, object]:
    return {
        "method": evidence.method,
        "act": evidence.act,
        **_given(
            occurred_at=bodies.moment(evidence.occurred_at),
            page_url=evidence.page_url,
            ip=evidence.ip,
            user_agent=evidence.user_agent,
            operator=evidence.operator,
            reference=evidence.reference,
        ),
    }
