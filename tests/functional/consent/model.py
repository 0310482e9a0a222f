"""A second opinion: whether one address may be mailed for a purpose, written without looking at the service.

It keeps a plain list of what was said, and answers every question by reading it from the beginning.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

What = Literal["confirmed", "reported", "no", "stop"]
Who = Literal["holder", "reported"]


@dataclass(frozen=True, slots=True)
class Said:
    """Something that counts from a moment on: a yes (confirmed by the person, or only reported), a no, or a stop."""

    what: What
    purpose: str
    since: datetime
    who: Who
    notice: int = 0


@dataclass(slots=True)
class Request:
    """A form that was sent: for which purposes, told by which notices, and for which of them it still waits."""

    told: dict[str, int]
    since: datetime
    waits_for: set[str]

    def open(self, at: datetime) -> set[str]:
        """Return what still waits at a moment."""
        return self.waits_for if at < self.since + timedelta(days=7) else set()


@dataclass(slots=True)
class Model:
    """What happened to one address.

    `holder_since` is when somebody proved to hold it; before that there may be somebody who was only reported under
    it, whose yes is not the holder's and whose no binds the address all the same.
    """

    said: list[Said] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    changes: dict[str, list[datetime]] = field(default_factory=dict)
    holder_since: datetime | None = None
    was_reported: bool = False

    @property
    def is_known(self) -> bool:
        """Say whether anybody is known under the address."""
        return self.was_reported or self.holder_since is not None

    def say(self, what: What, purpose: str, since: datetime, *, notice: int = 0) -> None:
        """Note that something was said."""
        if not self.is_known and what == "reported":
            self.was_reported = True
        who: Who = "holder" if self.holder_since is not None else "reported"
        self.said.append(Said(what, purpose, since, who, notice))

    def notice(self, purpose: str, at: datetime) -> int:
        """Return the number of the notice that is in force at a moment; each changed something material."""
        return sum(moment <= at for moment in self.changes[purpose])

    def may_mail(self, purpose: str, at: datetime, *, then: bool = False) -> bool:
        """Say whether the address may be mailed at a moment; `then` leaves out what counts from later."""
        counted = [each for each in self.said if each.purpose == purpose and (not then or each.since <= at)]
        yes = [each for each in counted if each.what in {"confirmed", "reported"} and each.who == self._who(at, then)]
        if not yes or self.is_stopped(purpose, counted):
            return False
        last = max(yes, key=lambda each: each.since)
        refused_since = any(each.what == "no" and each.since >= last.since for each in counted)
        return not refused_since and at < _a_year_after(last.since) and self.notice(purpose, at) <= last.notice

    def is_stopped(self, purpose: str, counted: list[Said] | None = None) -> bool:
        """Say whether a stop stands: the person has confirmed nothing for this purpose since."""
        about = [each for each in (self.said if counted is None else counted) if each.purpose == purpose]
        stops = [each.since for each in about if each.what == "stop"]
        return any(all(stop >= each.since for each in about if each.what == "confirmed") for stop in stops)

    def _who(self, at: datetime, then: bool) -> Who:  # noqa: FBT001 - handed on
        if self.holder_since is None:
            return "reported"
        return "reported" if then and self.was_reported and at < self.holder_since else "holder"


def _a_year_after(moment: datetime) -> datetime:
    is_leap_day = (moment.month, moment.day) == (2, 29)
    return moment.replace(year=moment.year + 1, day=28 if is_leap_day else moment.day)
