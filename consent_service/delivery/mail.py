"""What a mail is here, and what is asked of whatever carries it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

#: Tells auto-responders to stay quiet (RFC 3834 §5).
AUTOMATIC: Final[Mapping[str, str]] = {"Auto-Submitted": "auto-generated"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that goes with a mail; its bytes arrive as they are, line ends included."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail to one address. Its repr holds nothing but the Message-ID, so that it may end in a traceback.

    `to` has its domain as A-labels; the part before the @ may be Unicode. `sender_name` stands in front of the
    service's own sender address. `message_id` is with its angle brackets.
    """

    to: str = field(repr=False)
    sender_name: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    message_id: str
    headers: Mapping[str, str] = field(default_factory=lambda: dict(AUTOMATIC), repr=False)
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)


class MailTransport(Protocol):
    """Whatever hands a mail to a mail server."""

    def send(self, mail: OutgoingMail) -> None:
        """Return once the server has taken responsibility for the mail.

        Raises RecipientRefusedError where the server says that this address takes no mail, MailRefusedError where
        it will never take this mail, and MailUnavailableError where it may take it later.
        """


def message_id_for(message_id: str, *, public_url: str) -> str:
    """Name a mail after its outbox message, so that a mail that is sent twice is recognised as one (RFC 5322 §3.6.4).

    The right-hand side is the host of `public_url`.
    """
    host = urlsplit(public_url).hostname or "localhost"
    domain = f"[IPv6:{host}]" if ":" in host else host.encode("idna").decode("ascii")
    return f"<{message_id.lower()}@{domain}>"
