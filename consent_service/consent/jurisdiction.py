"""What the law of a country says on a day: ages, regimes of calls and post, calling hours. Data, and look-ups in it.

A change of the law is a new row with its date. What a country has no row for gets the strictest answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import count
from typing import Final, Literal, TypeVar
from zoneinfo import ZoneInfo

import holidays

#: `reservation`: who has not reserved may be called and written to; `opt_in`: only who said yes.
Regime = Literal["reservation", "opt_in"]
_Value = TypeVar("_Value")
#: Country, the first day that the value holds, the value.
Rows = tuple[tuple[str, date, _Value], ...]

OPENS: Final = time(9)
CLOSES: Final = time(21)
_SATURDAY: Final = 5
_STRICTEST_AGE: Final = 16
_FALLBACK_HOLIDAYS: Final = "NO"


@dataclass(frozen=True, slots=True)
class Law:
    """The dated tables; a test or a country's new act puts other rows in."""

    #: The age from which a child consents alone (GDPR Art. 8(1); personopplysningsloven § 5).
    age_limits: Rows[int] = (("NO", date(2018, 7, 20), 13),)
    #: How people may be called live and written to by post (markedsføringsloven §§ 12-14).
    regimes: Rows[Regime] = (("NO", date(2009, 6, 1), "reservation"),)
    #: Where legitimate interest is enough. Norway takes consent for all electronic channels that reach a person
    #: (markedsføringsloven § 15) and has the reservation regime for calls and post, which leaves the site.
    interest_channels: Rows[frozenset[str]] = (("NO", date(2009, 6, 1), frozenset({"web"})),)


IN_FORCE: Final = Law()


@dataclass(frozen=True, slots=True)
class CallingHours:
    """The hours of one day in which people may be called: from `opens_at`, until just before `closes_at`."""

    opens_at: datetime
    closes_at: datetime


def age_limit(country: str, on: date, *, law: Law = IN_FORCE) -> int:
    """Return the age in years from which a child consents alone in a country on a day (GDPR Art. 8(1))."""
    return _in_force(law.age_limits, country, on, _STRICTEST_AGE)


def regime(country: str, on: date, *, law: Law = IN_FORCE) -> Regime:
    """Return the regime of live calls and addressed post in a country on a day (markedsføringsloven §§ 12-14)."""
    return _in_force(law.regimes, country, on, "opt_in")


def interest_channels(country: str, on: date, *, law: Law = IN_FORCE) -> frozenset[str]:
    """Return the channels on which legitimate interest is enough in a country on a day."""
    return _in_force(law.interest_channels, country, on, frozenset())


def next_change(country: str, at: datetime, *, timezone: str, law: Law = IN_FORCE) -> datetime | None:
    """Return when the next row of a country comes into force, in UTC; None where no change is known."""
    today = local_day(at, timezone)
    rows = (*law.age_limits, *law.regimes, *law.interest_channels)
    days = [effective_from for of, effective_from, _ in rows if of == country and effective_from > today]
    return _moment(min(days), time(), timezone) if days else None


# The items of a batch share one moment.
@lru_cache(maxsize=256)
def local_day(at: datetime, timezone: str) -> date:
    """Return the day that a moment falls on in a zone."""
    return at.astimezone(ZoneInfo(timezone)).date()


def is_same_month(one: datetime, other: datetime, *, timezone: str) -> bool:
    """Say whether two moments fall in one calendar month of a zone."""
    first, second = local_day(one, timezone), local_day(other, timezone)
    return (first.year, first.month) == (second.year, second.month)


def month_end(at: datetime, *, timezone: str) -> datetime:
    """Return the first moment of the next calendar month of a zone, in UTC."""
    return _first_moment_after_month(local_day(at, timezone).replace(day=1), timezone)


def calling_hours(at: datetime, *, country: str, timezone: str) -> CallingHours | None:
    """Return the calling hours that a moment falls in, None outside them.

    Monday to Friday, 09:00 to 21:00 in the controller's zone, not on public holidays.
    A country without a calendar gets Norway's.
    """
    hours = _hours_of_day(local_day(at, timezone), country, timezone)
    return hours if hours is not None and hours.opens_at <= at < hours.closes_at else None


def next_calling_time(at: datetime, *, country: str, timezone: str) -> datetime:
    """Return the first moment from now on, in UTC, at which people may be called; that is now inside calling hours."""
    return next(
        max(at, hours.opens_at)
        for hours in _hours_from(local_day(at, timezone), country, timezone)
        if at < hours.closes_at
    )


def _in_force(rows: Rows[_Value], country: str, on: date, otherwise: _Value) -> _Value:
    newest, value = date.min, otherwise
    for of, effective_from, candidate in rows:
        if of == country and newest <= effective_from <= on:
            newest, value = effective_from, candidate
    return value


def _hours_from(day: date, country: str, timezone: str) -> Iterator[CallingHours]:
    for days in count():
        hours = _hours_of_day(day + timedelta(days=days), country, timezone)
        if hours is not None:
            yield hours


# A batch asks about one day ten thousand times; computed once, in UTC, so that comparing costs no change of zone.
@lru_cache(maxsize=1024)
def _hours_of_day(day: date, country: str, timezone: str) -> CallingHours | None:
    if day.weekday() >= _SATURDAY or day in _holidays_of_year(country, day.year):
        return None
    return CallingHours(_moment(day, OPENS, timezone), _moment(day, CLOSES, timezone))


@lru_cache(maxsize=256)
def _holidays_of_year(country: str, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset(holidays.country_holidays(_FALLBACK_HOLIDAYS, years=year))


@lru_cache(maxsize=256)
def _first_moment_after_month(first: date, timezone: str) -> datetime:
    return _moment((first + timedelta(days=31)).replace(day=1), time(), timezone)


def _moment(day: date, clock: time, timezone: str) -> datetime:
    return datetime.combine(day, clock, tzinfo=ZoneInfo(timezone)).astimezone(UTC)
