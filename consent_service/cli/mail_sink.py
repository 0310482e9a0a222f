"""The demo's mail server: takes every mail and keeps it as a file; nothing leaves the machine."""

import itertools
import re
import signal
from pathlib import Path

import click
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LARGEST_MAIL = 10_000_000
LONGEST_NAME = 100


class Sink:
    """Writes each mail to `<n>-<to>.eml`; n goes on where an earlier run ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        taken = (re.match(r"\d+", path.name) for path in folder.glob("*.eml"))
        self._numbers = itertools.count(1 + max((int(match[0]) for match in taken if match), default=0))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name.
        """Keep the mail, one file for each recipient, whole or not at all; a full disk is an answer, not a loss."""
        del server, session
        content = envelope.content or b""
        try:
            for address in envelope.rcpt_tos:
                self._keep(address, content if isinstance(content, bytes) else content.encode())
        except OSError:
            return "452 4.3.1 No space left"
        return "250 2.0.0 Kept"

    def _keep(self, address: str, content: bytes) -> None:
        name = re.sub(r"[^A-Za-z0-9@._+-]", "_", address)[:LONGEST_NAME]
        number = next(self._numbers)
        fresh = self._folder / f".{number}.new"
        fresh.write_bytes(content)
        fresh.replace(self._folder / f"{number}-{name}.eml")


@click.command(hidden=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), required=True)
def command(port: int, folder: Path) -> None:
    """Take mails on a loopback port until SIGINT or SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    controller = Controller(
        Sink(folder), hostname="127.0.0.1", port=port, data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True
    )
    controller.start()
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        controller.stop()
