"""Counting tries."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from consent_service import identifiers
from consent_service.admission import throttle
from consent_service.admission.throttle import ThrottleState
from consent_service.db.session import Database
from tests.builders import NOON

HOUR = timedelta(hours=1)


@pytest.fixture
def controller() -> str:
    return identifiers.new_id("ctl", at=NOON)


def hit(
    database: Database, controller: str, *, name: str = "signup", key: bytes = b"a" * 32, at: datetime = NOON
) -> ThrottleState:
    with database.transaction(controller) as session:
        return throttle.hit(session, name=name, key_hash=key, limit=3, window=HOUR, at=at)


class TestHit:
    def test_it_allows_as_many_as_the_limit_says(self, database: Database, controller: str) -> None:
        states = [hit(database, controller) for _ in range(4)]

        assert [state.allowed for state in states] == [True, True, True, False]
        assert [state.remaining for state in states] == [2, 1, 0, 0]

    def test_it_begins_anew_when_it_said_it_would(self, database: Database, controller: str) -> None:
        states = [hit(database, controller, at=NOON + timedelta(minutes=20)) for _ in range(4)]

        assert {state.reset_at for state in states} == {NOON + HOUR}
        assert not hit(database, controller, at=NOON + HOUR - timedelta(seconds=1)).allowed
        assert hit(database, controller, at=NOON + HOUR).allowed

    def test_names_and_keys_are_counted_apart(self, database: Database, controller: str) -> None:
        for _ in range(4):
            hit(database, controller)

        assert hit(database, controller, name="resend").allowed
        assert hit(database, controller, key=b"b" * 32).allowed

    def test_tries_at_the_same_moment_are_all_counted(self, database: Database, controller: str) -> None:
        with ThreadPoolExecutor(max_workers=5) as pool:
            states = list(pool.map(lambda _: hit(database, controller), range(30)))

        assert sum(state.allowed for state in states) == 3


class TestPurge:
    def test_counters_of_windows_long_past_go(self, worker_database: Database, controller: str) -> None:
        hit(worker_database, controller)

        with worker_database.transaction(controller) as session:
            assert throttle.purge(session, at=NOON + timedelta(days=1), limit=10) == 0
            assert throttle.purge(session, at=NOON + timedelta(days=2), limit=10) == 1
