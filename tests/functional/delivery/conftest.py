"""What the tests of the worker need: somebody who writes letters, and a plain way to a mail server."""

import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage

import pytest
from sqlalchemy.orm import Session

from consent_service.db.session import Database
from consent_service.delivery import mail
from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.messages import Cancelled, Deferred
from consent_service.errors import MailUnavailableError, RecipientRefusedError
from tests.functional.delivery.world import World, make_world
from tests.smtp_sink import HOST, SmtpSink

PERMANENT = 500


@dataclass
class Letters:
    """A kind of message with nothing but a number in it; keeps what it is told."""

    answers: dict[str, Cancelled | Deferred | Exception] = field(default_factory=dict)
    prepared: list[str] = field(default_factory=list)
    was_accepted: list[str] = field(default_factory=list)
    has_failed: list[tuple[str, bool]] = field(default_factory=list)
    on_accepted: Callable[[], None] = lambda: None

    def prepare(
        self, session: Session, *, reference: str, message_id: str, at: datetime
    ) -> OutgoingMail | Cancelled | Deferred:
        del session, at
        self.prepared.append(reference)
        answer = self.answers.get(reference)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        return OutgoingMail(
            to=f"{reference.lower()}@nordmann.example",
            sender_name="Nordlys",
            subject=reference,
            text=reference,
            html=reference,
            message_id=mail.message_id_for(message_id, public_url="https://samtykke.example"),
        )

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        del session, at
        self.was_accepted.append(reference)
        self.on_accepted()

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        del session, at
        self.has_failed.append((reference, permanent))


class PlainTransport:
    """Hands a mail to a server on loopback; `then` happens once the server has it."""

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        self.then: Callable[[], None] = lambda: None

    def send(self, mail: OutgoingMail) -> None:
        message = EmailMessage()
        message["To"], message["From"], message["Message-ID"] = mail.to, "post@nordlys.example", mail.message_id
        message["Subject"] = mail.subject
        message.set_content(mail.text)
        try:
            with smtplib.SMTP(HOST, self.sink.port, timeout=10) as host:
                host.send_message(message)
        except smtplib.SMTPRecipientsRefused:
            raise RecipientRefusedError from None
        except OSError:
            raise MailUnavailableError from None
        self.then()


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def plain_transport(smtp_sink: SmtpSink) -> PlainTransport:
    return PlainTransport(smtp_sink)


@pytest.fixture
def world(database: Database, worker_database: Database) -> World:
    return make_world(database, worker_database)
