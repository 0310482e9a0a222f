"""A second opinion: whether addresses may be mailed for a purpose, written without looking at the service.

It keeps plain lists of what was said and what happened, and answers every question by reading them from the beginning.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

What = Literal["confirmed", "reported", "no", "stop"]
Who = Literal["holder", "reported"]
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Said:
    """Something that counts from a moment on: a yes (confirmed by the person, or only reported), a no, or a stop.

    `recorded` is when it was written down; an import has a `label`.
    """

    what: What
    purpose: str
    since: datetime
    who: Who
    recorded: datetime
    notice: int = 0
    label: str | None = None

    @property
    def is_yes(self) -> bool:
        """Say whether it is a yes of either kind."""
        return self.what in {"confirmed", "reported"}


@dataclass(frozen=True, slots=True)
class Sale:
    """A membership that was sold to whoever is at the address, and how long it runs."""

    who: Who
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Edition:
    """A published notice: whether it changed something material, and from when it is in force."""

    is_material: bool
    since: datetime


@dataclass(slots=True)
class Request:
    """A form that was sent: for which purposes, told by which notices, and for which of them it still waits."""

    told: dict[str, int]
    since: datetime
    waits_for: set[str]

    def open(self, at: datetime) -> set[str]:
        """Return what still waits at a moment."""
        return self.waits_for if at < self.since + WEEK else set()


@dataclass(slots=True)
class Address:
    """What happened to one address.

    `holder_since` is when somebody proved to hold it; before that there may be somebody who was only reported under
    it, whose yes is not the holder's and whose no binds the address all the same.
    """

    said: list[Said] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    restricted: list[tuple[datetime, Who, bool]] = field(default_factory=list)
    holder_since: datetime | None = None
    was_reported: bool = False

    @property
    def is_known(self) -> bool:
        """Say whether anybody is known under the address."""
        return self.was_reported or self.holder_since is not None

    @property
    def speaker(self) -> Who:
        """Return who is meant by the address now."""
        return "holder" if self.holder_since is not None else "reported"

    def who(self, at: datetime | None) -> Who:
        """Return who is meant by the address now, or was at a moment."""
        if at is not None and self.holder_since is not None and self.was_reported and at < self.holder_since:
            return "reported"
        return self.speaker

    def is_restricted(self, who: Who, until: datetime | None) -> bool:
        """Say whether the last word on the person was to restrict."""
        words = [on for at, whom, on in self.restricted if whom == who and (until is None or at <= until)]
        return bool(words) and words[-1]


@dataclass(slots=True)
class Model:
    """Two addresses, whose holders may turn out to be one person, and one controller."""

    addresses: dict[str, Address]
    editions: dict[str, list[Edition]]
    for_customers: frozenset[str]
    recalls: list[tuple[str, datetime]] = field(default_factory=list)
    merged_at: datetime | None = None

    def say(
        self, address: str, what: What, purpose: str, since: datetime, recorded: datetime | None = None, **more: object
    ) -> None:
        """Note that something was said."""
        here = self.addresses[address]
        here.was_reported |= what == "reported" and not here.is_known
        here.said.append(Said(what, purpose, since, here.speaker, recorded or since, **more))  # type: ignore[arg-type]

    def family(self, address: str, until: datetime | None = None) -> list[str]:
        """Return the addresses of whoever is meant: both once they are one person."""
        is_one = self.merged_at is not None and (until is None or self.merged_at <= until)
        return sorted(self.addresses) if is_one and self.addresses[address].who(until) == "holder" else [address]

    def notice(self, purpose: str, at: datetime) -> int:
        """Return the number of the notice that is in force at a moment."""
        return max(number for number, each in enumerate(self.editions[purpose], 1) if each.since <= at)

    def may_mail(self, address: str, purpose: str, at: datetime, *, then: bool = False) -> bool:
        """Say whether an address may be mailed at a moment; `then` leaves out what counts from later."""
        until = at if then else None
        who, kin = self.addresses[address].who(until), self.family(address, until)
        if any(self.addresses[each].is_restricted(who, until) for each in kin) or self._stands(address, purpose, until):
            return False
        heard = self._heard(address, purpose, until)
        own = [each for each in heard if each.is_yes and each.who == who]
        noes = self._noes(address, purpose, until)
        if not own and not noes:
            return self._is_customer(address, purpose, at, until)
        if not own:
            return False
        last = max(own, key=lambda each: each.since)
        return (
            all(no < last.since for no in noes)
            and at < _a_year_after(last.since)
            and not self._is_superseded(purpose, last.notice, at)
            and not self._is_recalled(last, until)
        )

    def is_stopped(self, address: str, purpose: str) -> bool:
        """Say whether anything stands now that only the person's own confirmed act may lift."""
        kin = self.family(address)
        is_restricted = any(self.addresses[each].is_restricted(self.addresses[each].speaker, None) for each in kin)
        return is_restricted or self._stands(address, purpose, None)

    def _heard(self, address: str, purpose: str, until: datetime | None) -> list[Said]:
        said = self.addresses[address].said
        return [each for each in said if each.purpose == purpose and (until is None or each.since <= until)]

    def _stands(self, address: str, purpose: str, until: datetime | None) -> bool:
        """Say whether a stop stands: the person has confirmed nothing for this purpose at this address since."""
        stops = [
            one.since if each == address else self._not_before_the_merge(one.since)
            for each in self.family(address, until)
            for one in self._heard(each, purpose, until)
            if one.what == "stop" and (each == address or one.who == "holder")
        ]
        acts = [each.since for each in self._heard(address, purpose, until) if each.what == "confirmed"]
        return any(all(stop >= act for act in acts) for stop in stops)

    def _noes(self, address: str, purpose: str, until: datetime | None) -> list[datetime]:
        """Return from when each no counts: of anybody at the address, and of the other record of the same person."""
        noes = [each.since for each in self._heard(address, purpose, until) if each.what == "no"]
        for other in set(self.family(address, until)) - {address}:
            words = [
                each for each in self._heard(other, purpose, until) if each.what != "stop" and each.who == "holder"
            ]
            words.sort(key=lambda each: each.since)
            before = [each for each in words if each.since <= self._not_before_the_merge(each.since) == self.merged_at]
            after = [each for each in words if each not in before]
            counted = [each for each in [*before[-1:], *after] if each.what == "no"]
            noes += [self._not_before_the_merge(each.since) for each in counted]
        return noes

    def _not_before_the_merge(self, moment: datetime) -> datetime:
        return moment if self.merged_at is None else max(moment, self.merged_at)

    def _is_customer(self, address: str, purpose: str, at: datetime, until: datetime | None) -> bool:
        """Say whether a sale carries a mail that nobody said anything about; another address's yes does not help."""
        if purpose not in self.for_customers:
            return False
        here = self.addresses[address]
        for other in set(self.family(address, until)) - {address}:
            words = [
                each for each in self._heard(other, purpose, until) if each.what != "stop" and each.who == "holder"
            ]
            if words and max(words, key=lambda each: each.since).is_yes:
                return False
        sales = [each for each in here.sales if each.who == here.who(until) and (until is None or each.since <= until)]
        return bool(sales) and sales[-1].since <= at < sales[-1].until

    def _is_superseded(self, purpose: str, notice: int, at: datetime) -> bool:
        return any(each.is_material and each.since <= at for each in self.editions[purpose][notice:])

    def _is_recalled(self, said: Said, until: datetime | None) -> bool:
        return any(
            said.label == label and said.recorded <= when and (until is None or when <= until)
            for label, when in self.recalls
        )


def _a_year_after(moment: datetime) -> datetime:
    is_leap_day = (moment.month, moment.day) == (2, 29)
    return moment.replace(year=moment.year + 1, day=28 if is_leap_day else moment.day)
