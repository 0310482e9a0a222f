"""What an SMS is here, and what is asked of whatever carries it."""

from dataclasses import dataclass, field
from typing import Protocol

from consent_service.errors import SmsUnavailableError


@dataclass(frozen=True, slots=True)
class OutgoingSms:
    """One SMS to one number, in E.164 with its plus. Its repr holds nothing but the id of its message."""

    to: str = field(repr=False)
    text: str = field(repr=False)
    message_id: str


class SmsTransport(Protocol):
    """Whatever hands an SMS to the phone network."""

    def send(self, sms: OutgoingSms) -> None:
        """Return once somebody has taken responsibility for the SMS.

        Raises SmsRefusedError where it will never be taken, and SmsUnavailableError where it may be taken later.
        """


class NoGateway:
    """Stands where no gateway is named: an SMS waits for one, as a mail waits for its server."""

    def send(self, sms: OutgoingSms) -> None:
        """Raise SmsUnavailableError."""
        del sms
        raise SmsUnavailableError("no SMS gateway is named")
