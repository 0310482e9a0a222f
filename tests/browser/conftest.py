"""What the browser tests share: the whole service on loopback, a foreign site beside it, a mailbox, and Chromium."""

import dataclasses
import json
import re
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from consent_service import clock
from consent_service.app import FlaskMailTransport
from consent_service.cli import demo_world
from consent_service.cli.demo_world import DemoController
from consent_service.config import Settings
from consent_service.consent import messages
from consent_service.db.session import Database
from consent_service.delivery import worker
from consent_service.delivery.sms_gateway import SmsFolder
from tests.conftest import Cluster
from tests.smtp_sink import SmtpSink, text_of

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
HOST_PAGE = """<!doctype html><html lang="nb"><head><meta charset="utf-8"><title>Nordlys Sport</title></head>
<body><main><h1>Butikken</h1><consent-signup form="{form}"><a href="{service}/f/{form}">Bli med</a></consent-signup>
</main><script src="{service}/embed.js"></script></body></html>"""


@dataclass(frozen=True, slots=True)
class World:
    """The service as a person and a program see it: its pages, the shop that embeds a form, the mail, the API."""

    url: str
    host_url: str
    shop: DemoController
    sink: SmtpSink
    deliver: Callable[[], int]
    sms_dir: Path

    def form_url(self, key: str = "kundeklubb") -> str:
        """Return the address of a hosted form."""
        return f"{self.url}/f/{self.shop.forms[key]}"

    def mail_to(self, address: str) -> str:
        """Let the worker send what is due, and return the text of the newest mail to an address."""
        self.deliver()
        return text_of(self.sink.messages_to(address)[-1])

    def code_to(self, number: str) -> str:
        """Let the worker send what is due, and return the code of the newest SMS to a number."""
        self.deliver()
        newest = max(self.sms_dir.glob(f"*-{number}.json"), key=lambda path: int(path.name.partition("-")[0]))
        found = re.search(r"\b\d{6}\b", json.loads(newest.read_text("utf-8"))["text"])
        assert found is not None
        return found[0]

    def link_in(self, mail: str, kind: str) -> str:
        """Return the first link of a kind (`c`, `p`) in a mail."""
        found = re.search(rf"{re.escape(self.url)}/{kind}/[\w.-]+", mail)
        assert found is not None
        return found[0]

    def is_allowed(
        self, email: str | None = None, *, phone: str | None = None, purpose: str = "newsletter", channel: str = "email"
    ) -> bool:
        """Ask over the API whether a person may be contacted."""
        body = {
            "subject": {"phone": phone} if email is None else {"email": email},
            "purpose": purpose,
            "channel": channel,
        }
        asked = urllib.request.Request(  # noqa: S310 - our own server on loopback
            f"{self.url}/v1/checks",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.shop.api_key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - as above
            return bool(json.load(answer)["allowed"])

    def wait_as_people_do(self) -> None:
        """Let the time pass in which a person reads a page."""
        clock.advance(timedelta(seconds=30))


class _Served:
    """An HTTP server in a thread of its own."""

    def __init__(self, server: BaseWSGIServer | ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()


@dataclass(slots=True)
class _LateApp:
    """Stands in for the application until its own address, which it must know, is known."""

    app: Flask | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ANN401 - WSGI
        assert self.app is not None
        return self.app(environ, start_response)


class _QuietHandler(WSGIRequestHandler):
    """Serves without a second log beside the application's own."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: a path may hold a link's token."""


@pytest.fixture(scope="session")
def sink() -> Iterator[SmtpSink]:
    """Run one mail server for all browser tests."""
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def served(settings: Settings, start: Callable[[Settings], Flask], sink: SmtpSink) -> Iterator[tuple[Settings, Flask]]:
    """Serve the whole application on a free port of loopback."""
    late = _LateApp()
    server = make_server("127.0.0.1", 0, late, threaded=True, request_handler=_QuietHandler)
    own = dataclasses.replace(settings, public_url=f"http://127.0.0.1:{server.server_port}", mail_port=sink.port)
    late.app = start(own)
    running = _Served(server)
    yield own, late.app
    running.stop()


@pytest.fixture(scope="session")
def host_site() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a foreign site: its address, and its pages by path."""
    pages: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = _Served(server)
    yield f"http://localhost:{server.server_port}", pages
    running.stop()


@pytest.fixture
def world(
    served: tuple[Settings, Flask],
    host_site: tuple[str, dict[str, str]],
    sink: SmtpSink,
    fresh: Cluster,
    database: Database,
    worker_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Make the demo world anew, with a shop on another origin that embeds its form."""
    del fresh
    settings, app = served
    host_url, pages = host_site
    monkeypatch.setenv(clock.OFFSET_FILE_VARIABLE, str(tmp_path / "clock"))
    sink.accepted.clear()
    made = demo_world.seed(
        database, data_dir=tmp_path, public_url=settings.public_url, at=clock.now(), demo_origins=(host_url,)
    )
    shop = made.controllers[0]
    pages["/"] = HOST_PAGE.format(service=settings.public_url, form=shop.forms["kundeklubb"])
    handlers = messages.handlers(public_url=settings.public_url)
    transport = FlaskMailTransport(app, settings)
    sms_transport = SmsFolder(tmp_path / "sms", sender=settings.sms_sender)

    def deliver() -> int:
        return worker.drain(
            worker_database, handlers=handlers, transport=transport, sms_transport=sms_transport, at=clock.now()
        )

    return World(settings.public_url, host_url, shop, sink, deliver, tmp_path / "sms")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    found = next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)
    assert found is not None, "The browser tests need Chromium: sudo apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_context(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Return what opens a fresh profile; Norwegian unless told otherwise."""
    opened: list[BrowserContext] = []

    def open_one(**options: Any) -> BrowserContext:  # noqa: ANN401 - playwright's own options
        context = chromium.new_context(**{"locale": "nb-NO", **options})
        context.set_default_timeout(10_000)
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    """Return a tab of a fresh profile."""
    return open_context().new_page()
