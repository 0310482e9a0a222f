"""A demo shows its mails and lets its clock be moved; nothing else does."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from consent_service import clock
from consent_service.api import dev
from consent_service.config import Settings
from consent_service.errors import InvalidInputError

MAIL = b"From: a@nordlys.example\r\nTo: kari@nordmann.example\r\nSubject: Hei <b>\r\n\r\nKode 123456 eller http://127.0.0.1:8000/c/abc?x=1&y=<2>\r\n"


@pytest.fixture
def demo(
    start: Callable[[Settings], Flask], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FlaskClient:
    monkeypatch.setenv(clock.OFFSET_FILE_VARIABLE, str(tmp_path / "clock"))
    app = start(dataclasses.replace(settings, demo=True, data_dir=tmp_path))
    return app.test_client()


class TestMailbox:
    def test_it_shows_mails_as_text(self, demo: FlaskClient, tmp_path: Path) -> None:
        (tmp_path / "mail").mkdir()
        (tmp_path / "mail" / "1-kari@nordmann.example.eml").write_bytes(MAIL)

        page = demo.get("/dev/mailbox")

        assert "123456" in page.text
        assert "Hei &lt;b&gt;" in page.text
        assert '<a href="http://127.0.0.1:8000/c/abc?x=1&amp;y=">' in page.text
        assert "<2>" not in page.text

    def test_it_is_for_this_machine_alone(self, demo: FlaskClient) -> None:
        answer = demo.get("/dev/mailbox", environ_base={"REMOTE_ADDR": "192.0.2.1"})

        assert answer.status_code == 404

    def test_a_service_that_is_no_demo_has_none(self, client: FlaskClient) -> None:
        assert client.get("/dev/mailbox").status_code == 404
        assert client.post("/dev/clock", json={"advance": "P1D"}).status_code == 404


class TestClock:
    def test_it_moves_forward(self, demo: FlaskClient) -> None:
        before = clock.now()

        answer = demo.post("/dev/clock", json={"advance": "P30D"})

        assert answer.status_code == 200
        assert clock.now() - before >= timedelta(days=30)

    @pytest.mark.parametrize(
        ("text", "days"), [("P30D", 30), ("P2W", 14), ("PT36H", 1.5), ("P1M", 31), ("P1Y", 365), ("P1DT12H", 1.5)]
    )
    def test_durations_are_read_as_iso_8601(self, text: str, days: float) -> None:
        assert dev.duration(text, present=datetime(2026, 3, 2, tzinfo=UTC)) == timedelta(days=days)

    @pytest.mark.parametrize("text", ["", "P", "PT", "P1", "-P1D", "P1.5D", "1D", "P1H", "P1DT"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInputError):
            dev.duration(text, present=datetime(2026, 3, 2, tzinfo=UTC))
