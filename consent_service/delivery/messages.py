"""What the outbox asks of those who know what a message says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.sms import OutgoingSms


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The message must not be sent any more; `reason` is a code."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The message may not be sent yet."""

    until: datetime


class MessageHandler(Protocol):
    """One kind of message. Every method runs inside a transaction of the message's controller and never sends."""

    def prepare(
        self, session: Session, *, reference: str, message_id: str, at: datetime
    ) -> OutgoingMail | OutgoingSms | Cancelled | Deferred:
        """Check anew whether the message may be sent, and say its text.

        May be called more than once for one message: one whose sending was not settled is prepared again.
        """

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        """Take note that the mail server, or the gateway, took the message."""

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        """Take note that the message will not be sent.

        `permanent` says that the server refused the address itself; otherwise the message was refused for what it
        is, or every try was in vain.
        """
