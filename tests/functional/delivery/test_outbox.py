"""The outbox against a real PostgreSQL, with the roles that the service runs under."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from consent_service import identifiers
from consent_service.db.session import Database
from consent_service.delivery import outbox
from consent_service.delivery.messages import Cancelled, Deferred
from consent_service.delivery.models import OutboxMessage
from consent_service.delivery.outbox import Claimed, Dead, Failed, Sent
from tests.builders import NOON

LEASE = timedelta(minutes=2)
NORDLYS = identifiers.new_id("ctl", at=NOON)
FJORD = identifiers.new_id("ctl", at=NOON)


def enqueue(
    database: Database,
    *,
    controller: str = NORDLYS,
    reference: str = "req_A",
    at: datetime = NOON,
    due_at: datetime | None = None,
) -> str:
    with database.transaction(controller) as session:
        return outbox.enqueue(session, kind="confirm_signup", reference=reference, at=at, due_at=due_at)


def claim(database: Database, *, at: datetime = NOON, limit: int = 10) -> tuple[Claimed, ...]:
    with database.platform_transaction() as session:
        return outbox.claim(session, at=at, limit=limit, lease=LEASE)


def settle(database: Database, claimed: Claimed, outcome: outbox.Outcome, *, at: datetime = NOON) -> bool:
    with database.transaction(claimed.controller_id) as session:
        return outbox.settle(session, claimed=claimed, outcome=outcome, at=at)


def cancel(database: Database, *, controller: str = NORDLYS, reference: str = "req_A", at: datetime = NOON) -> None:
    with database.transaction(controller) as session:
        outbox.cancel(session, kind="confirm_signup", reference=reference, at=at)


def get_message(database: Database, message_id: str, *, controller: str = NORDLYS) -> OutboxMessage:
    with database.transaction(controller) as session:
        return session.scalars(select(OutboxMessage).where(OutboxMessage.id == message_id)).one()


class TestEnqueue:
    def test_it_is_undone_with_the_act_that_asked_for_it(self, database: Database, worker_database: Database) -> None:
        def act_that_fails() -> None:
            with database.transaction(NORDLYS) as session:
                outbox.enqueue(session, kind="confirm_signup", reference="req_A", at=NOON)
                raise LookupError

        with pytest.raises(LookupError):
            act_that_fails()

        assert claim(worker_database) == ()

    def test_a_message_that_waits_already_is_not_doubled(self, database: Database, worker_database: Database) -> None:
        first = enqueue(database)

        again = enqueue(database, at=NOON + timedelta(minutes=1))

        assert again == first
        assert len(claim(worker_database, at=NOON + timedelta(hours=1))) == 1

    def test_what_is_said_once_is_not_said_again_when_it_left(
        self, database: Database, worker_database: Database
    ) -> None:
        def say(reference: str, controller: str = NORDLYS) -> bool:
            with database.transaction(controller) as session:
                return outbox.enqueue_once(session, kind="confirm_signup", reference=reference, at=NOON)

        assert say("one/2026-03-02")
        (claimed,) = claim(worker_database)
        settle(database, claimed, Sent())

        assert not say("one/2026-03-02")
        assert say("one/2026-03-03")
        assert say("one/2026-03-02", FJORD)

    def test_a_message_in_somebodys_hands_does_not_swallow_a_new_one(
        self, database: Database, worker_database: Database
    ) -> None:
        first = enqueue(database)
        claim(worker_database)

        again = enqueue(database)

        assert again != first

    def test_a_message_that_was_sent_does_not_swallow_a_new_one(
        self, database: Database, worker_database: Database
    ) -> None:
        first = enqueue(database)
        settle(worker_database, claim(worker_database)[0], Sent())

        assert enqueue(database) != first

    def test_equal_references_of_two_controllers_are_two_messages(
        self, database: Database, worker_database: Database
    ) -> None:
        enqueue(database, controller=NORDLYS)
        enqueue(database, controller=FJORD)

        assert {message.controller_id for message in claim(worker_database)} == {NORDLYS, FJORD}

    def test_the_worker_asking_for_one_controller_does_not_take_anothers_for_its_own(
        self, worker_database: Database
    ) -> None:
        first = enqueue(worker_database, controller=NORDLYS)

        assert enqueue(worker_database, controller=FJORD) != first


class TestClaim:
    def test_the_application_itself_cannot_take_messages(self, database: Database) -> None:
        enqueue(database)

        assert claim(database) == ()

    def test_nothing_leaves_before_it_is_due(self, database: Database, worker_database: Database) -> None:
        enqueue(database, due_at=NOON + timedelta(hours=1))

        assert claim(worker_database, at=NOON + timedelta(minutes=59)) == ()
        assert len(claim(worker_database, at=NOON + timedelta(hours=1))) == 1

    def test_a_row_that_another_worker_is_taking_is_passed_over(
        self, database: Database, worker_database: Database
    ) -> None:
        enqueue(database, reference="req_A")
        enqueue(database, reference="req_B", at=NOON + timedelta(microseconds=1))
        taken: list[Claimed] = []

        with worker_database.platform_transaction() as session:
            taken += outbox.claim(session, at=NOON + timedelta(seconds=1), limit=1, lease=LEASE)
            with worker_database.engine.begin() as other:
                free = other.exec_driver_sql(
                    "SELECT reference FROM outbox_message WHERE state = 'ready' FOR UPDATE SKIP LOCKED"
                ).all()

        assert [message.reference for message in taken] == ["req_A"]
        assert [row.reference for row in free] == ["req_B"]

    def test_a_claimed_message_is_nobody_elses_until_the_lease_ends(
        self, database: Database, worker_database: Database
    ) -> None:
        enqueue(database)
        first = claim(worker_database)[0]

        assert claim(worker_database, at=NOON + LEASE - timedelta(seconds=1)) == ()
        again = claim(worker_database, at=NOON + LEASE)[0]
        assert (again.message_id, again.attempts) == (first.message_id, 2)

    def test_of_messages_due_together_the_newest_comes_first(
        self, database: Database, worker_database: Database
    ) -> None:
        window_opens = NOON + timedelta(days=1)
        enqueue(database, reference="req_A", at=NOON, due_at=window_opens)
        enqueue(database, reference="req_B", at=NOON + timedelta(hours=1), due_at=window_opens)

        in_order = claim(worker_database, at=window_opens)

        assert [message.reference for message in in_order] == ["req_B", "req_A"]


class TestCancel:
    def test_a_cancelled_message_is_not_claimed(self, database: Database, worker_database: Database) -> None:
        message_id = enqueue(database)

        cancel(database)

        assert claim(worker_database) == ()
        assert get_message(database, message_id).state == "cancelled"

    def test_a_message_in_somebodys_hands_is_stopped_before_it_is_prepared(
        self, database: Database, worker_database: Database
    ) -> None:
        enqueue(database)
        claimed = claim(worker_database)[0]

        cancel(database)

        with worker_database.transaction(NORDLYS) as session:
            assert not outbox.hold(session, claimed=claimed)

    def test_it_does_not_wait_for_a_worker_that_prepares_the_message(
        self, database: Database, worker_database: Database
    ) -> None:
        message_id = enqueue(database)
        claimed = claim(worker_database)[0]
        with worker_database.engine.begin() as preparing:
            preparing.exec_driver_sql("SELECT id FROM outbox_message FOR UPDATE")

            cancel(database)

        assert get_message(database, message_id).state == "ready"
        assert settle(worker_database, claimed, Cancelled("nothing_to_confirm"))

    def test_it_leaves_the_other_controllers_message_alone(self, database: Database, worker_database: Database) -> None:
        enqueue(database, controller=FJORD)

        cancel(worker_database, controller=NORDLYS)

        assert len(claim(worker_database)) == 1


class TestSettle:
    @pytest.mark.parametrize(
        ("outcome", "state"),
        [(Sent(), "sent"), (Cancelled("request_expired"), "cancelled"), (Dead("mail_refused"), "dead")],
    )
    def test_what_is_settled_is_not_handled_again(
        self, database: Database, worker_database: Database, outcome: outbox.Outcome, state: str
    ) -> None:
        message_id = enqueue(database)

        settled = settle(worker_database, claim(worker_database)[0], outcome)

        assert settled
        assert get_message(database, message_id).state == state
        assert claim(worker_database, at=NOON + timedelta(days=365)) == ()

    def test_a_failure_waits_longer_each_time_and_then_is_dead(
        self, database: Database, worker_database: Database
    ) -> None:
        message_id = enqueue(database)
        at, waits = NOON, []

        for _ in outbox.RETRY_AFTER:
            settle(worker_database, claim(worker_database, at=at)[0], Failed("mail_unavailable"), at=at)
            waits.append(get_message(database, message_id).due_at - at)
            at = get_message(database, message_id).due_at
        settle(worker_database, claim(worker_database, at=at)[0], Failed("mail_unavailable"), at=at)

        assert [wait / timedelta(minutes=1) for wait in waits] == [1, 5, 30, 120, 360, 1440]
        dead = get_message(database, message_id)
        assert (dead.state, dead.last_error) == ("dead", "mail_unavailable")

    def test_waiting_for_a_cap_does_not_count_as_a_try(self, database: Database, worker_database: Database) -> None:
        message_id = enqueue(database)
        tomorrow = NOON + timedelta(days=1)

        settle(worker_database, claim(worker_database)[0], Deferred(tomorrow))

        message = get_message(database, message_id)
        assert (message.state, message.due_at, message.attempts) == ("ready", tomorrow, 0)

    def test_a_worker_that_was_overtaken_cannot_settle(self, database: Database, worker_database: Database) -> None:
        message_id = enqueue(database)
        overtaken = claim(worker_database)[0]
        claim(worker_database, at=NOON + LEASE)

        settled = settle(worker_database, overtaken, Dead("mail_refused"))

        assert not settled
        assert get_message(database, message_id).state == "ready"

    def test_a_mail_that_was_on_the_wire_when_it_was_cancelled_is_recorded_as_sent(
        self, database: Database, worker_database: Database
    ) -> None:
        message_id = enqueue(database)
        claimed = claim(worker_database)[0]
        cancel(database)

        settle(worker_database, claimed, Sent())

        assert get_message(database, message_id).state == "sent"

    def test_a_cancelled_message_does_not_come_back_to_life(
        self, database: Database, worker_database: Database
    ) -> None:
        message_id = enqueue(database)
        claimed = claim(worker_database)[0]
        cancel(database)

        settle(worker_database, claimed, Failed("mail_unavailable"))

        assert get_message(database, message_id).state == "cancelled"
