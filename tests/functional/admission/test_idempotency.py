"""Calls that are made twice, and have one effect (API-02)."""

from datetime import datetime, timedelta

import pytest

from consent_service import identifiers
from consent_service.admission import idempotency
from consent_service.admission.idempotency import StoredAnswer
from consent_service.db.session import Database
from consent_service.errors import IdempotencyInFlightError, IdempotencyMismatchError
from tests.builders import NOON

pytestmark = pytest.mark.rule("API-02")

API_KEY, OTHER_API_KEY = (identifiers.new_id("key", at=NOON) for _ in range(2))
KEY, BODY, OTHER_BODY = b"k" * 32, b"b" * 32, b"c" * 32
SCOPE = "POST /v1/consents"


@pytest.fixture
def controller() -> str:
    return identifiers.new_id("ctl", at=NOON)


def begin(
    database: Database,
    controller: str,
    *,
    api_key_id: str = API_KEY,
    scope: str = SCOPE,
    body: bytes = BODY,
    at: datetime = NOON,
) -> StoredAnswer | None:
    with database.transaction(controller) as session:
        return idempotency.begin(session, api_key_id=api_key_id, scope=scope, key_hash=KEY, body_hash=body, at=at)


def answer(database: Database, controller: str, *, at: datetime = NOON) -> None:
    with database.transaction(controller) as session:
        idempotency.begin(session, api_key_id=API_KEY, scope=SCOPE, key_hash=KEY, body_hash=BODY, at=at)
        idempotency.store(
            session,
            api_key_id=API_KEY,
            scope=SCOPE,
            key_hash=KEY,
            body_hash=BODY,
            status=201,
            sealed=b"sealed",
            at=at,
        )


class TestBegin:
    def test_the_first_call_goes_on(self, database: Database, controller: str) -> None:
        assert begin(database, controller) is None

    def test_an_equal_call_gets_the_same_answer(self, database: Database, controller: str) -> None:
        answer(database, controller)

        assert begin(database, controller) == StoredAnswer(status=201, sealed=b"sealed")

    def test_the_same_key_with_another_body_is_refused(self, database: Database, controller: str) -> None:
        answer(database, controller)

        with pytest.raises(IdempotencyMismatchError):
            begin(database, controller, body=OTHER_BODY)

    def test_a_key_counts_for_one_api_key_one_route_and_one_controller(
        self, database: Database, controller: str
    ) -> None:
        answer(database, controller)

        assert begin(database, controller, api_key_id=OTHER_API_KEY) is None
        assert begin(database, controller, scope="POST /v1/withdrawals") is None
        assert begin(database, identifiers.new_id("ctl", at=NOON)) is None

    def test_an_equal_call_that_is_still_running_is_told_so(self, database: Database, controller: str) -> None:
        name = f"{controller} {API_KEY} {SCOPE} {KEY.hex()}"
        with database.engine.begin() as running:
            running.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))

            with pytest.raises(IdempotencyInFlightError):
                begin(database, controller)

        assert begin(database, controller) is None

    def test_nothing_is_kept_of_a_call_that_failed(self, database: Database, controller: str) -> None:
        def call_that_fails() -> None:
            with database.transaction(controller) as session:
                idempotency.store(
                    session,
                    api_key_id=API_KEY,
                    scope=SCOPE,
                    key_hash=KEY,
                    body_hash=BODY,
                    status=201,
                    sealed=b"sealed",
                    at=NOON,
                )
                raise LookupError

        with pytest.raises(LookupError):
            call_that_fails()

        assert begin(database, controller) is None

    def test_after_30_days_a_key_is_free_again(self, database: Database, controller: str) -> None:
        answer(database, controller)
        later = NOON + timedelta(days=30)

        assert begin(database, controller, at=later - timedelta(seconds=1)) is not None
        assert begin(database, controller, at=later) is None
        answer(database, controller, at=later)
        assert begin(database, controller, at=later) is not None


class TestPurge:
    def test_only_answers_older_than_30_days_go(self, worker_database: Database, controller: str) -> None:
        answer(worker_database, controller)

        with worker_database.transaction(controller) as session:
            assert idempotency.purge(session, at=NOON + timedelta(days=29), limit=10) == 0
            assert idempotency.purge(session, at=NOON + timedelta(days=30), limit=10) == 1
