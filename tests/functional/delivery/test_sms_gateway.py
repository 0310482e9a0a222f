"""Ways for an SMS: what a gateway is posted, what its answers mean, and the folder of a demo."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from consent_service import app
from consent_service.config import Settings
from consent_service.delivery.sms import OutgoingSms
from consent_service.delivery.sms_gateway import HttpGateway, SmsFolder
from consent_service.errors import SettingsError, SmsRefusedError, SmsUnavailableError

SMS = OutgoingSms(to="+4790000000", text="Koden er 123456. Æ!", message_id="obx_1")


@dataclass
class Gateway:
    """A gateway on loopback that keeps what it is sent and answers with a status."""

    server: HTTPServer
    status: int = 202
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/send?account=1"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.requests.append((self.path, dict(self.headers), body))
            self.send_response(made.status)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made = Gateway(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


class TestHttpGateway:
    def test_it_posts_json_with_its_token(self, gateway: Gateway) -> None:
        HttpGateway(gateway.url, token="secret", sender="Nordlys").send(SMS)

        [(path, headers, body)] = gateway.requests
        assert path == "/send?account=1"
        assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer secret", "application/json")
        assert body == {"to": SMS.to, "from": "Nordlys", "text": SMS.text, "reference": "obx_1"}

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, SmsRefusedError),
            (422, SmsRefusedError),
            (401, SmsUnavailableError),
            (429, SmsUnavailableError),
            (302, SmsUnavailableError),
            (500, SmsUnavailableError),
        ],
    )
    def test_an_answer_says_whether_it_is_worth_another_try(
        self, gateway: Gateway, status: int, expected: type[Exception]
    ) -> None:
        gateway.status = status

        with pytest.raises(expected) as refusal:
            HttpGateway(gateway.url, token=None, sender="Nordlys").send(SMS)

        assert SMS.to not in str(refusal.value)
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None

    def test_one_that_does_not_answer_is_tried_later(self, gateway: Gateway) -> None:
        url = gateway.url
        gateway.server.server_close()

        with pytest.raises(SmsUnavailableError):
            HttpGateway(url, token=None, sender="Nordlys").send(SMS)


class TestSmsFolder:
    def test_it_keeps_each_sms_under_its_number(self, tmp_path: Path) -> None:
        SmsFolder(tmp_path / "sms", sender="Nordlys").send(SMS)
        SmsFolder(tmp_path / "sms", sender="Nordlys").send(SMS)

        names = sorted(path.name for path in (tmp_path / "sms").iterdir())
        kept = json.loads((tmp_path / "sms" / "1-+4790000000.json").read_text("utf-8"))
        assert names == ["1-+4790000000.json", "2-+4790000000.json"]
        assert list(kept) == ["to", "from", "text", "sent_at"]
        assert (kept["to"], kept["from"], kept["text"]) == (SMS.to, "Nordlys", SMS.text)


class TestSettings:
    def test_a_demo_never_uses_a_gateway(self, settings: Settings) -> None:
        named = replace(settings, demo=True, sms_gateway_url="https://sms.example/send")

        assert isinstance(app.sms_transport(named), SmsFolder)

    def test_a_gateway_that_is_named_is_used(self, settings: Settings) -> None:
        named = replace(settings, sms_gateway_url="https://sms.example/send")

        assert isinstance(app.sms_transport(named), HttpGateway)

    def test_numbers_do_not_leave_in_clear(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        environment = {
            "DATABASE_URL_APP": settings.database_url,
            "CONSENT_KEYS": str(settings.keys_dir),
            "CONSENT_DATA": str(settings.data_dir),
            "PUBLIC_URL": settings.public_url,
            "MAIL_SENDER": settings.mail_sender,
            "SMS_GATEWAY_URL": "http://sms.example/send",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        with pytest.raises(SettingsError, match="SMS_GATEWAY_URL"):
            Settings.from_environ()
