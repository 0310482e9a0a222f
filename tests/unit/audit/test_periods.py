"""Which days and moments `created:` means."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from consent_service.audit import periods
from consent_service.audit.periods import PeriodInvalidError

OSLO = ZoneInfo("Europe/Oslo")


def period(value: str) -> tuple[datetime | None, datetime | None]:
    found = periods.read(value, zone=OSLO)
    return found.since, found.until


def at(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, micro, tzinfo=UTC)


class TestCreated:
    @pytest.mark.parametrize(
        ("value", "since", "until"),
        [
            ("2026-11-01", at(10, 31, 23), at(11, 1, 23)),
            ("=2026-11-01", at(10, 31, 23), at(11, 1, 23)),
            (">2026-11-01", at(11, 1, 23), None),
            (">=2026-11-01", at(10, 31, 23), None),
            ("<2026-11-01", None, at(10, 31, 23)),
            ("<=2026-11-01", None, at(11, 1, 23)),
            ("2026-11-01..2026-11-02", at(10, 31, 23), at(11, 2, 23)),
            ("2026-11-01..2026-11-01", at(10, 31, 23), at(11, 1, 23)),
        ],
    )
    def test_a_day_is_the_whole_day_where_the_controller_is(
        self, value: str, since: datetime | None, until: datetime | None
    ) -> None:
        assert period(value) == (since, until)

    @pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
    def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is(self, day: str, hours: int) -> None:
        since, until = period(day)

        assert since is not None
        assert until is not None
        assert until - since == timedelta(hours=hours)

    @pytest.mark.parametrize(
        ("value", "since", "until"),
        [
            ("2026-05-03T10:00:00Z", at(5, 3, 10), at(5, 3, 10, 0, 1)),
            ("2026-05-03t12:00:00+02:00", at(5, 3, 10), at(5, 3, 10, 0, 1)),
            ("2026-05-03T10:00:00.25z", at(5, 3, 10, 0, 0, 250_000), at(5, 3, 10, 0, 0, 260_000)),
            ("2026-05-03T10:00:00.000001999Z", at(5, 3, 10, 0, 0, 1), at(5, 3, 10, 0, 0, 2)),
            (">2026-05-03T10:00:00Z", at(5, 3, 10, 0, 1), None),
            ("<=2026-05-03T10:00:00Z", None, at(5, 3, 10, 0, 1)),
            ("2026-05-03..2026-05-03T10:00:00Z", at(5, 2, 22), at(5, 3, 10, 0, 1)),
        ],
    )
    def test_a_moment_is_as_exact_as_it_is_written(
        self, value: str, since: datetime | None, until: datetime | None
    ) -> None:
        assert period(value) == (since, until)

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("yesterday", "created_invalid"),
            ("2026-11", "created_invalid"),
            ("2026-11-01T10:00:00", "created_invalid"),
            ("2026-11-01T10:00Z", "created_invalid"),
            (">", "created_invalid"),
            (">>2026-11-01", "created_invalid"),
            ("≥2026-11-01", "created_invalid"),
            ("٢٠٢٦-11-01", "created_invalid"),
            (">=2026-11-01..2026-11-02", "created_invalid"),
            ("2026-11-01..2026-11-02..2026-11-03", "created_invalid"),
            ("2026-02-30", "created_unknown_day"),
            ("2026-11-01T25:00:00Z", "created_unknown_day"),
            ("2026-11-01T10:00:00+99:00", "created_unknown_day"),
            ("0001-01-01", "created_unknown_day"),
            ("9999-12-31", "created_unknown_day"),
            ("2026-11-01..", "created_range_open"),
            ("..2026-11-01", "created_range_open"),
            ("..", "created_range_open"),
            ("2026-11-02..2026-11-01", "created_range_backwards"),
        ],
    )
    def test_other_times_are_refused(self, value: str, code: str) -> None:
        with pytest.raises(PeriodInvalidError) as caught:
            periods.read(value, zone=OSLO)

        assert caught.value.code == code
