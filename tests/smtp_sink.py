"""An SMTP server on loopback that keeps what it is given, so that mail is proved over real SMTP."""

import socket
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
ACCEPTED = "250 OK"


class SmtpSink:
    """Keeps every accepted message.

    `answer` is what the next ones are told, `recipient_answer` what the next addresses are told; `stop` and `start`
    make an outage.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.answer = ACCEPTED
        self.recipient_answer = ACCEPTED
        self.accepted: list[tuple[tuple[str, ...], EmailMessage]] = []
        self._controller: Controller | None = None

    @property
    def messages(self) -> list[EmailMessage]:
        """Return what was accepted so far, oldest first."""
        return [message for _, message in self.accepted]

    def messages_to(self, address: str) -> list[EmailMessage]:
        """Return what was accepted for one recipient of the envelope, oldest first."""
        return [message for recipients, message in self.accepted if address in recipients]

    def start(self) -> None:
        """Begin to listen."""
        self._controller = Controller(_Keeper(self), hostname=HOST, port=self.port, ready_timeout=10)
        self._controller.start()

    def stop(self) -> None:
        """Stop listening; the next attempt to connect is refused."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def take(self, envelope: Envelope) -> str:
        """Keep a message where messages are accepted, and return the answer."""
        if self.answer == ACCEPTED:
            content = envelope.content
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=policy.default)
            self.accepted.append((tuple(envelope.rcpt_tos), message))
        return self.answer


class _Keeper:
    """What aiosmtpd calls for every message."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer a recipient."""
        del server, session, options
        if self._sink.recipient_answer == ACCEPTED:
            envelope.rcpt_tos.append(address)
        return self._sink.recipient_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Answer the end of a message."""
        del server, session
        return self._sink.take(envelope)


def text_of(message: EmailMessage) -> str:
    """Return the plain text of a message."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    """Return the HTML of a message."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
