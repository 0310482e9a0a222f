"""The demo's mail server: every mail becomes a file, in the order of arrival, over real SMTP."""

import contextlib
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _a_mail(to: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@nordlys.example", to, "Bekreft"
    mail.set_content("Hei på deg")
    return mail


@contextlib.contextmanager
def a_sink(folder: Path) -> Iterator[int]:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port = attempt.getsockname()[1]
    words = ["-m", "consent_service.cli.main", "mail-sink", "--port", str(port), "--folder", str(folder)]
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT)
    give_up_at = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            break
        except OSError:
            assert time.monotonic() < give_up_at
            assert process.poll() is None
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


class TestSink:
    def test_it_keeps_every_mail_for_every_recipient(self, tmp_path: Path) -> None:
        with a_sink(tmp_path) as port, smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(_a_mail("kari@nord.example"))
            client.send_message(_a_mail("ola@nord.example"), to_addrs=["ola@nord.example", "per@nord.example"])

        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["1-kari@nord.example.eml", "2-ola@nord.example.eml", "3-per@nord.example.eml"]
        assert b"Subject: Bekreft" in (tmp_path / names[0]).read_bytes()

    def test_numbers_go_on_after_a_restart(self, tmp_path: Path) -> None:
        (tmp_path / "41-kari@nord.example.eml").touch()

        with a_sink(tmp_path) as port, smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(_a_mail("kari@nord.example"))

        assert (tmp_path / "42-kari@nord.example.eml").exists()

    def test_an_address_cannot_name_another_folder(self, tmp_path: Path) -> None:
        with a_sink(tmp_path / "mail") as port, smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("shop@nordlys.example", ["../up@nord.example"], b"Subject: x\r\n\r\nx")

        assert [path.name for path in (tmp_path / "mail").iterdir()] == ["1-.._up@nord.example.eml"]
