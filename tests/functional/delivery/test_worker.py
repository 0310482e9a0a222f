"""The worker against a real PostgreSQL and a real SMTP server, both of which go away now and then."""

from collections import Counter
from datetime import datetime, timedelta
from threading import Thread

import pytest
from sqlalchemy import select

from consent_service.db.session import Database
from consent_service.delivery import outbox, worker
from consent_service.delivery.messages import Cancelled, Deferred
from consent_service.delivery.models import OutboxMessage
from tests.builders import NOON
from tests.functional.delivery.conftest import Letters, PlainTransport
from tests.smtp_sink import SmtpSink


def enqueue(database: Database, controller: str, reference: str = "req_A", *, at: datetime = NOON) -> str:
    with database.transaction(controller) as session:
        return outbox.enqueue(session, kind="letter", reference=reference, at=at)


def drain(database: Database, letters: Letters, transport: PlainTransport, *, at: datetime = NOON) -> int:
    return worker.drain(database, handlers={"letter": letters}, transport=transport, at=at)


def get_message(database: Database, controller: str, message_id: str) -> OutboxMessage:
    with database.transaction(controller) as session:
        return session.scalars(select(OutboxMessage).where(OutboxMessage.id == message_id)).one()


class TestDrain:
    def test_a_message_is_sent_once(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        message_id = enqueue(database, controller)

        handled = [drain(worker_database, letters, plain_transport) for _ in range(2)]

        assert handled == [1, 0]
        assert [message["Subject"] for message in smtp_sink.messages] == ["req_A"]
        assert letters.was_accepted == ["req_A"]
        assert get_message(database, controller, message_id).state == "sent"

    def test_nothing_is_prepared_for_a_message_that_was_cancelled(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        enqueue(database, controller)
        with database.transaction(controller) as session:
            outbox.cancel(session, kind="letter", reference="req_A", at=NOON)

        drain(worker_database, letters, plain_transport)

        assert letters.prepared == []
        assert smtp_sink.messages == []

    def test_what_must_not_be_sent_any_more_is_cancelled(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        message_id = enqueue(database, controller)
        letters.answers["req_A"] = Cancelled("request_expired")

        drain(worker_database, letters, plain_transport)

        message = get_message(database, controller, message_id)
        assert (message.state, message.last_error) == ("cancelled", "request_expired")
        assert smtp_sink.messages == []

    def test_what_may_not_be_sent_yet_waits_until_then(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        enqueue(database, controller)
        letters.answers["req_A"] = Deferred(NOON + timedelta(hours=24))
        drain(worker_database, letters, plain_transport)
        letters.answers.clear()

        early = drain(worker_database, letters, plain_transport, at=NOON + timedelta(hours=23))
        on_time = drain(worker_database, letters, plain_transport, at=NOON + timedelta(hours=24))

        assert (early, on_time) == (0, 1)
        assert len(smtp_sink.messages) == 1

    def test_mail_waits_while_the_mail_server_is_down_and_goes_out_later(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        message_id = enqueue(database, controller)
        smtp_sink.stop()
        drain(worker_database, letters, plain_transport)
        waiting = get_message(database, controller, message_id)
        smtp_sink.start()

        drain(worker_database, letters, plain_transport, at=NOON + timedelta(minutes=1))

        assert (waiting.state, waiting.last_error) == ("ready", "mail_unavailable")
        assert len(smtp_sink.messages) == 1
        assert letters.has_failed == []

    def test_after_the_last_try_somebody_is_told(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        message_id = enqueue(database, controller)
        smtp_sink.stop()

        for days in range(outbox.MOST_ATTEMPTS):
            drain(worker_database, letters, plain_transport, at=NOON + timedelta(days=2 * days))

        assert letters.has_failed == [("req_A", False)]
        assert get_message(database, controller, message_id).state == "dead"

    def test_a_refused_address_is_told_at_once(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        message_id = enqueue(database, controller)
        smtp_sink.recipient_answer = "550 5.1.1 no such user"

        drain(worker_database, letters, plain_transport)

        assert letters.has_failed == [("req_A", True)]
        assert get_message(database, controller, message_id).state == "dead"

    def test_one_broken_message_does_not_stop_the_others(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        broken = enqueue(database, controller, "req_A")
        enqueue(database, controller, "req_B", at=NOON + timedelta(seconds=1))
        letters.answers["req_A"] = LookupError("kari@nordmann.example")

        drain(worker_database, letters, plain_transport, at=NOON + timedelta(seconds=1))

        assert [message["Subject"] for message in smtp_sink.messages] == ["req_B"]
        assert get_message(database, controller, broken).last_error == "LookupError"

    def test_a_kind_that_nobody_knows_yet_waits_for_a_newer_worker(
        self, database: Database, worker_database: Database, controller: str, plain_transport: PlainTransport
    ) -> None:
        message_id = enqueue(database, controller)

        worker.drain(worker_database, handlers={}, transport=plain_transport, at=NOON)

        message = get_message(database, controller, message_id)
        assert (message.state, message.last_error) == ("ready", "kind_unknown")

    def test_two_workers_send_nothing_twice(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        references = [f"req_{number}" for number in range(30)]
        for reference in references:
            enqueue(database, controller, reference)
        workers = [Thread(target=drain, args=(worker_database, letters, plain_transport)) for _ in range(2)]

        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()

        assert Counter(message["Subject"] for message in smtp_sink.messages) == Counter(references)


class PowerCut(BaseException):
    """The process ends here, whatever anybody wanted to do afterwards."""


class TestDyingHalfWay:
    def test_a_mail_whose_sending_was_not_settled_goes_again_under_the_same_message_id(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
    ) -> None:
        enqueue(database, controller)

        def die() -> None:
            raise PowerCut

        plain_transport.then = die
        with pytest.raises(PowerCut):
            drain(worker_database, letters, plain_transport)
        plain_transport.then = lambda: None

        during_the_lease = drain(worker_database, letters, plain_transport, at=NOON + timedelta(minutes=1))
        after_it = drain(worker_database, letters, plain_transport, at=NOON + worker.LEASE)

        assert (during_the_lease, after_it) == (0, 1)
        first, second = smtp_sink.messages
        assert first["Message-ID"] == second["Message-ID"]

    def test_a_message_that_kills_every_worker_is_given_up(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        message_id = enqueue(database, controller)

        def die() -> None:
            raise PowerCut

        plain_transport.then = die
        for tries in range(outbox.MOST_ATTEMPTS):
            with pytest.raises(PowerCut):
                drain(worker_database, letters, plain_transport, at=NOON + tries * worker.LEASE)
        drain(worker_database, letters, plain_transport, at=NOON + outbox.MOST_ATTEMPTS * worker.LEASE)

        message = get_message(database, controller, message_id)
        assert (message.state, message.last_error) == ("dead", "abandoned")
