"""Holds the answer to a check, and refuses to let anybody send on one that is not a yes for now."""

from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Final, NoReturn

from consent_client import moments
from consent_client.errors import DecisionDeniedError, DecisionExpiredError
from consent_client.moments import Moment
from consent_client.references import SubjectReference

#: The reason of every no that this package says by itself.
UNAVAILABLE: Final = "unavailable"
#: However far away `valid_until` is, a decision older than this is none.
LONGEST_LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Decision:
    """May this person be contacted, for this purpose, on this channel? Read `allowed`, or use it as a truth value.

    `obligations` is what a yes asks of whoever sends, None where the answer does not tell: batches and streams do not.
    `failure` says what went wrong where the answer is `unavailable` because none came that could be read. `statement`
    is the answer as the service signed it, where it does: keep it to prove that you asked. The decision itself is good
    for the moment: it cannot be pickled or copied, and `demand_current` refuses it once its time is over.
    """

    _: KW_ONLY
    allowed: bool
    reason: str
    purpose: str
    channel: str
    asked: Moment = field(repr=False, compare=False)
    status: str = "unknown"
    legal_basis: str | None = None
    subject_id: str | None = None
    consent_id: str | None = None
    notice_version: int | None = None
    language: str | None = None
    given_at: datetime | None = None
    confirmed_at: datetime | None = None
    withdrawn_at: datetime | None = None
    expires_at: datetime | None = None
    next_allowed_at: datetime | None = None
    valid_until: datetime | None = None
    obligations: tuple[str, ...] | None = None
    decision_id: str | None = None
    evaluated_at: datetime | None = None
    statement: str | None = field(default=None, repr=False)
    failure: str | None = None

    def __bool__(self) -> bool:
        # Without this every decision would be true, a no included.
        return self.allowed

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("A decision is good for the moment and is not kept; keep its decision_id, and ask again.")

    def demand_current(self, *, at: datetime | None = None) -> None:
        """Return only if a message may leave now on this decision.

        `at` asks about a later moment; it never makes the answer milder than now does. Time is read on two clocks, so
        setting the machine's clock back wins nothing. Raises DecisionDeniedError for a no and DecisionExpiredError for
        a yes that is over, has no end, or speaks of the past.
        """
        if self.allowed is not True:
            raise DecisionDeniedError(f"the answer is no: {self.reason}", decision_id=self.decision_id)
        if self.valid_until is None or self.evaluated_at is None:
            raise DecisionExpiredError("this answer is not meant for sending", decision_id=self.decision_id)
        now = moments.take()
        lifetime = min(self.valid_until - self.evaluated_at, LONGEST_LIFETIME)
        elapsed = timedelta(seconds=now.steady - self.asked.steady)
        moment = now.at if at is None else max(at, now.at)
        if moment >= self.valid_until or not timedelta() <= elapsed + (moment - now.at) < lifetime:
            raise DecisionExpiredError("the time of this answer is over; ask again", decision_id=self.decision_id)


@dataclass(frozen=True, slots=True)
class StreamDecision:
    """One answer of a stream, with the reference that it is about and its place among those sent, from 0."""

    index: int
    subject: SubjectReference
    decision: Decision

    def __bool__(self) -> bool:
        return self.decision.allowed

    @property
    def allowed(self) -> bool:
        """Say whether the answer is yes."""
        return self.decision.allowed

    @property
    def reason(self) -> str:
        """Return why."""
        return self.decision.reason

    def demand_current(self, *, at: datetime | None = None) -> None:
        """Return only if a message may leave now on this answer; as Decision.demand_current."""
        self.decision.demand_current(at=at)


def unavailable(*, purpose: str, channel: str, asked: Moment, failure: str) -> Decision:
    """Return the no for everything that could not be asked, answered or read."""
    return Decision(allowed=False, reason=UNAVAILABLE, purpose=purpose, channel=channel, asked=asked, failure=failure)
