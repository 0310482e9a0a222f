"""Reads which days or moments `created:` means: whole days in the controller's zone, moments as exact as written."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)
_OPERATOR: Final = re.compile(r">=|<=|>|<|=")
_RANGE: Final = ".."
_MICROSECOND_DIGITS: Final = 6


class PeriodInvalidError(ValueError):
    """The text names no period; `code` says why, the message what is expected."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time from `since` on and before `until`; None is for ever.

    A bound (`>=2026-11-01`) leaves one side open; `text` is the period in its one canonical form.
    """

    text: str
    since: datetime | None
    until: datetime | None

    @property
    def is_bound(self) -> bool:
        """Say whether one side is open."""
        return self.since is None or self.until is None


def read(text: str, *, zone: tzinfo) -> Period:
    """Read a day, a moment, a range `a..b` of these (both ends belong to it), or a bound with > >= < <= or =.

    A day is the whole day in `zone`. A moment (RFC 3339) is as long as its last digit: a second, or a part of one.
    Raises PeriodInvalidError.
    """
    written = text.upper()
    if _RANGE in written:
        return _range(written, zone)
    found = _OPERATOR.match(written)
    operator = found[0] if found else "="
    rest = written.removeprefix(found[0] if found else "")
    start, end = _span(rest, zone)
    if operator == "=":
        return Period(rest, start, end)
    since = {">": end, ">=": start}.get(operator)
    until = {"<": start, "<=": end}.get(operator)
    return Period(operator + rest, since, until)


def _range(written: str, zone: tzinfo) -> Period:
    first, _, last = written.partition(_RANGE)
    if not first or not last:
        raise PeriodInvalidError(
            "created_range_open",
            "A range has two ends, as in 2026-11-01..2026-11-30; write >= or <= where one is open.",
        )
    (since, _), (start, until) = _span(first, zone), _span(last, zone)
    if start < since:
        raise PeriodInvalidError(
            "created_range_backwards", "The range ends before it begins; put the earlier end first."
        )
    return Period(f"{first}{_RANGE}{last}", since, until)


def _span(written: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the first moment of a day or moment, and the first one after it."""
    try:
        if _DAY.fullmatch(written):
            day = date.fromisoformat(written)
            return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        found = _MOMENT.fullmatch(written)
        if found is not None:
            moment = datetime.fromisoformat(written).astimezone(UTC)
            digits = min(len(found[1] or ""), _MICROSECOND_DIGITS)
            return moment, moment + timedelta(microseconds=10 ** (_MICROSECOND_DIGITS - digits))
    except (ValueError, OverflowError):
        raise PeriodInvalidError("created_unknown_day", "There is no such day or time.") from None
    raise PeriodInvalidError(
        "created_invalid",
        "A day such as 2026-11-01 or a moment such as 2026-11-01T08:00:00Z is expected, or a range of two joined by "
        "two dots, or one with > >= < or <= before it. In an address, + is written %2B.",
    )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
