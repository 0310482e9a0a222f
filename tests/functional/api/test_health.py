"""Probes tell an operator what is wrong, and the start refuses what must never run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from consent_service.config import Settings
from consent_service.consent.spool import Spool
from consent_service.crypto import keyring
from consent_service.errors import KeyFolderError

Start = Callable[[Settings], Flask]


class TestHealth:
    def test_a_living_process_says_so(self, client: FlaskClient) -> None:
        answer = client.get("/health/live")

        assert answer.status_code == 200
        assert answer.json == {"status": "live"}

    def test_readiness_names_each_check(self, client: FlaskClient) -> None:
        answer = client.get("/health/ready")

        assert answer.json == {
            "status": "ready",
            "checks": {
                "database": True,
                "writable": True,
                "schema": True,
                "clock": True,
                "keys": True,
                "spool": True,
            },
        }

    def test_figures_name_routes_and_not_paths(self, client: FlaskClient) -> None:
        client.get("/health/live")

        answer = client.get("/metrics")

        assert 'consent_http_requests_total{method="GET",route="/health/live",status="200"}' in answer.text

    def test_where_no_decision_can_be_written_down_it_is_not_ready(
        self, start: Start, settings: Settings, tmp_path: Path
    ) -> None:
        (tmp_path / "spool").touch()

        answer = start(dataclasses.replace(settings, data_dir=tmp_path)).test_client().get("/health/ready")

        assert answer.status_code == 503
        assert answer.get_json()["checks"]["spool"] is False

    def test_figures_say_what_waits_in_the_spool(self, start: Start, settings: Settings, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", rotate_seconds=3600)
        spool.append(b"one\n")

        answer = start(dataclasses.replace(settings, data_dir=tmp_path)).test_client().get("/metrics")

        assert "consent_spool_bytes 4.0" in answer.text
        assert "consent_spool_broken_bytes 0.0" in answer.text
        spool.close()


class TestStart:
    def test_it_refuses_a_folder_with_other_keys(self, start: Start, settings: Settings, tmp_path: Path) -> None:
        keyring.create_keyring(tmp_path / "keys")

        with pytest.raises(KeyFolderError):
            start(dataclasses.replace(settings, keys_dir=tmp_path / "keys"))

    def test_it_refuses_a_folder_without_keys(self, start: Start, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(KeyFolderError):
            start(dataclasses.replace(settings, keys_dir=tmp_path / "none"))

    def test_without_a_database_it_starts_and_says_that_it_is_not_ready(
        self, start: Start, settings: Settings, tmp_path: Path
    ) -> None:
        away = dataclasses.replace(settings, database_url=f"postgresql://nobody@/none?host={tmp_path}")

        answer = start(away).test_client().get("/health/ready")

        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["checks"]["database"] is False
