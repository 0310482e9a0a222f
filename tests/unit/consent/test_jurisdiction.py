"""What the law says on a day: dated rows, calling hours on working days, and days as the controller's zone has them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consent_service.consent import jurisdiction
from consent_service.consent.jurisdiction import IN_FORCE, Law

OSLO = "Europe/Oslo"
MICROSECOND = timedelta(microseconds=1)
#: An act that raises the age and takes the register away on a day to come.
REFORM = Law(
    age_limits=(*IN_FORCE.age_limits, ("NO", date(2027, 7, 1), 15)),
    regimes=(*IN_FORCE.regimes, ("NO", date(2028, 1, 1), "opt_in")),
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 hypothesis takes naive bounds


def oslo(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(OSLO)).astimezone(UTC)


def is_open(at: datetime) -> bool:
    return jurisdiction.calling_hours(at, country="NO", timezone=OSLO) is not None


def next_open(at: datetime) -> datetime:
    return jurisdiction.next_calling_time(at, country="NO", timezone=OSLO)


@pytest.mark.rule("CAP-14")
class TestAgeLimit:
    def test_is_thirteen_in_norway_and_the_strictest_elsewhere(self) -> None:
        assert jurisdiction.age_limit("NO", date(2026, 11, 22)) == 13
        assert jurisdiction.age_limit("DE", date(2026, 11, 22)) == 16
        assert jurisdiction.age_limit("NO", date(2018, 7, 19)) == 16

    def test_a_row_to_come_counts_from_its_day(self) -> None:
        assert jurisdiction.age_limit("NO", date(2027, 6, 30), law=REFORM) == 13
        assert jurisdiction.age_limit("NO", date(2027, 7, 1), law=REFORM) == 15

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        backwards = Law(age_limits=tuple(reversed(REFORM.age_limits)))

        assert jurisdiction.age_limit("NO", date(2030, 1, 1), law=backwards) == 15
        assert jurisdiction.age_limit("NO", date(2026, 1, 1), law=backwards) == 13


class TestRegime:
    def test_is_reservation_in_norway_and_opt_in_elsewhere(self) -> None:
        assert jurisdiction.regime("NO", date(2026, 11, 22)) == "reservation"
        assert jurisdiction.regime("SE", date(2026, 11, 22)) == "opt_in"

    def test_is_replaced_on_a_day(self) -> None:
        assert jurisdiction.regime("NO", date(2027, 12, 31), law=REFORM) == "reservation"
        assert jurisdiction.regime("NO", date(2028, 1, 1), law=REFORM) == "opt_in"

    def test_interest_is_enough_on_the_site_only(self) -> None:
        assert jurisdiction.interest_channels("NO", date(2026, 11, 22)) == {"web"}
        assert jurisdiction.interest_channels("SE", date(2026, 11, 22)) == frozenset()


class TestNextChange:
    def test_is_the_first_midnight_of_the_next_row_in_the_controllers_zone(self) -> None:
        found = jurisdiction.next_change("NO", oslo("2026-11-22T12:00"), timezone=OSLO, law=REFORM)

        assert found == oslo("2027-07-01T00:00") == datetime(2027, 6, 30, 22, tzinfo=UTC)

    def test_is_later_than_the_row_that_has_come_into_force(self) -> None:
        assert jurisdiction.next_change("NO", oslo("2027-07-01T00:00"), timezone=OSLO, law=REFORM) == oslo("2028-01-01")
        assert jurisdiction.next_change("NO", oslo("2028-01-01T00:00"), timezone=OSLO, law=REFORM) is None
        assert jurisdiction.next_change("SE", oslo("2026-11-22T12:00"), timezone=OSLO, law=REFORM) is None


@pytest.mark.rule("NO-08")
class TestCallingHours:
    @pytest.mark.parametrize(
        ("moment", "expected"),
        [
            ("2026-03-02T08:59:59.999999", False),
            ("2026-03-02T09:00:00", True),
            ("2026-03-02T20:59:59.999999", True),
            ("2026-03-02T21:00:00", False),
            ("2026-03-06T12:00", True),  # Friday
            ("2026-03-07T12:00", False),  # Saturday
            ("2026-03-08T12:00", False),  # Sunday
        ],
    )
    def test_are_nine_to_nine_from_monday_to_friday(self, moment: str, *, expected: bool) -> None:
        assert is_open(oslo(moment)) is expected

    @pytest.mark.parametrize(
        ("day", "expected"),
        [
            ("2026-01-01", False),  # New Year
            ("2026-04-01", True),  # Wednesday before Easter
            ("2026-04-02", False),  # Maundy Thursday
            ("2026-04-03", False),  # Good Friday
            ("2026-04-06", False),  # Easter Monday
            ("2026-04-07", True),
            ("2027-03-25", False),  # Maundy Thursday of another year
            ("2027-03-29", False),  # and its Easter Monday
            ("2026-05-01", False),  # 1 May, a Friday
            ("2027-05-17", False),  # 17 May, a Monday
            ("2026-05-14", False),  # Ascension Day
            ("2026-05-25", False),  # Whit Monday
            ("2026-12-24", True),  # Christmas Eve is no public holiday
            ("2026-12-25", False),  # Christmas Day, a Friday
            ("2028-12-26", False),  # the day after it, a Tuesday
        ],
    )
    def test_public_holidays_have_none(self, day: str, *, expected: bool) -> None:
        assert is_open(oslo(f"{day}T12:00")) is expected

    @pytest.mark.parametrize(
        ("opens_at", "closes_at"),
        [
            ("2026-03-27T08:00+00:00", "2026-03-27T20:00+00:00"),  # the last Friday of winter time
            ("2026-03-30T07:00+00:00", "2026-03-30T19:00+00:00"),  # the Monday after the clocks went forward
            ("2026-10-23T07:00+00:00", "2026-10-23T19:00+00:00"),
            ("2026-10-26T08:00+00:00", "2026-10-26T20:00+00:00"),  # the Monday after they went back
        ],
    )
    def test_keep_to_the_clock_on_the_wall(self, opens_at: str, closes_at: str) -> None:
        opening, closing = datetime.fromisoformat(opens_at), datetime.fromisoformat(closes_at)

        hours = jurisdiction.calling_hours(opening, country="NO", timezone=OSLO)

        assert hours == jurisdiction.CallingHours(opening, closing)
        assert not is_open(opening - MICROSECOND)
        assert not is_open(closing)

    def test_are_those_of_the_controllers_zone(self) -> None:
        early = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)

        assert jurisdiction.calling_hours(early, country="NO", timezone="Europe/Oslo") is not None
        assert jurisdiction.calling_hours(early, country="NO", timezone="Atlantic/Reykjavik") is None

    def test_a_country_has_its_own_holidays_and_an_unknown_one_norways(self) -> None:
        national_day, seventeenth_of_may = oslo("2025-06-06T12:00"), oslo("2027-05-17T12:00")

        assert jurisdiction.calling_hours(national_day, country="SE", timezone=OSLO) is None
        assert jurisdiction.calling_hours(national_day, country="NO", timezone=OSLO) is not None
        assert jurisdiction.calling_hours(seventeenth_of_may, country="XX", timezone=OSLO) is None


@pytest.mark.rule("NO-08")
class TestNextCallingTime:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("2026-03-02T03:00", "2026-03-02T09:00"),
            ("2026-03-02T12:34", "2026-03-02T12:34"),
            ("2026-03-02T21:00", "2026-03-03T09:00"),
            ("2026-03-06T21:00", "2026-03-09T09:00"),  # over a weekend
            ("2026-03-27T21:00", "2026-03-30T09:00"),  # over the night that the clocks go forward
            ("2026-04-01T21:00", "2026-04-07T09:00"),  # over Easter
            ("2026-12-24T21:00", "2026-12-28T09:00"),  # over Christmas
            ("2026-12-31T21:00", "2027-01-04T09:00"),  # over New Year
        ],
    )
    def test_is_the_next_opening(self, asked: str, expected: str) -> None:
        assert next_open(oslo(asked)) == oslo(expected)

    @given(at=moments)
    @example(at=datetime(2026, 3, 29, 1, tzinfo=UTC))
    def test_is_open_and_nothing_before_it_is(self, at: datetime) -> None:
        found = next_open(at)

        assert found >= at
        assert is_open(found)
        assert is_open(at) == (found == at)
        # Hours open on the hour, so that looking every half hour misses none.
        steps = int((found - at) / timedelta(minutes=30))
        assert not any(is_open(at + step * timedelta(minutes=30)) for step in range(1 if found == at else 0, steps))
        assert found == at or not is_open(found - MICROSECOND)


class TestMonth:
    def test_ends_at_the_controllers_midnight(self) -> None:
        assert jurisdiction.month_end(oslo("2026-03-02T12:00"), timezone=OSLO) == datetime(2026, 3, 31, 22, tzinfo=UTC)
        assert jurisdiction.month_end(oslo("2026-12-31T12:00"), timezone=OSLO) == datetime(2026, 12, 31, 23, tzinfo=UTC)
        assert jurisdiction.month_end(oslo("2028-02-01T00:00"), timezone=OSLO) == oslo("2028-03-01T00:00")

    def test_is_the_same_by_the_controllers_calendar_not_by_utc(self) -> None:
        last, first = datetime(2026, 3, 31, 21, 59, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)

        assert not jurisdiction.is_same_month(last, first, timezone=OSLO)
        assert jurisdiction.is_same_month(last, first, timezone="UTC")
        assert jurisdiction.is_same_month(first, datetime(2026, 4, 30, 21, 59, tzinfo=UTC), timezone=OSLO)
        assert not jurisdiction.is_same_month(first, first + timedelta(days=365), timezone=OSLO)

    @given(at=moments)
    def test_its_end_is_the_first_moment_of_another_month(self, at: datetime) -> None:
        end = jurisdiction.month_end(at, timezone=OSLO)

        assert at < end
        assert not jurisdiction.is_same_month(at, end, timezone=OSLO)
        assert jurisdiction.is_same_month(at, end - MICROSECOND, timezone=OSLO)
