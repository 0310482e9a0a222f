"""When the database is away or slow, a check says no in its body too, and nothing is acknowledged."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from flask import Flask, Response
from psycopg import sql
from sqlalchemy import text

from consent_service import web
from consent_service.api.acts import Act, authorised
from consent_service.config import Settings
from tests.functional.api.conftest import KARI, System

CHECK = {"subject": KARI, "purpose": "survey", "channel": "email"}


class TestWithoutDatabase:
    @pytest.mark.rule("ACC-01")
    def test_a_check_says_no(
        self, system: System, start: Callable[[Settings], Flask], settings: Settings, tmp_path: Path
    ) -> None:
        away = dataclasses.replace(settings, database_url=f"postgresql://nobody@/none?host={tmp_path}")
        stranded = System(start(away).test_client(), system.key)

        answer = stranded.post("/v1/checks", CHECK)

        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["allowed"] is False
        assert answer.json["reason"] == "unavailable"
        assert answer.json["code"] == "unavailable"
        assert answer.headers["Retry-After"]

    def test_a_withdrawal_is_not_acknowledged(
        self, system: System, start: Callable[[Settings], Flask], settings: Settings, tmp_path: Path
    ) -> None:
        away = dataclasses.replace(settings, database_url=f"postgresql://nobody@/none?host={tmp_path}")
        stranded = System(start(away).test_client(), system.key)

        answer = stranded.post("/v1/withdrawals", {"subject": KARI})

        assert answer.status_code == 503
        assert answer.mimetype == "application/problem+json"


class TestSlowDatabase:
    @pytest.mark.rule("ACC-01")
    def test_a_table_that_is_locked_is_a_no(self, system: System, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            connection.execute(sql.SQL("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE"))
            answer = system.post("/v1/checks", CHECK)

        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["allowed"] is False

    @pytest.mark.rule("ACC-01")
    def test_a_pool_without_connections_is_a_no(self, system: System, app: Flask) -> None:
        engine = app.extensions[web.EXTENSION].database.engine
        held = [engine.connect() for _ in range(7)]

        answer = system.post("/v1/checks", CHECK)

        for connection in held:
            connection.close()
        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["allowed"] is False

    @pytest.mark.rule("ACC-01")
    def test_a_row_that_is_broken_is_a_no(self, system: System, superuser_url: str) -> None:
        system.post("/v1/consents", system.report())
        with psycopg.connect(superuser_url) as connection:
            connection.execute("UPDATE vault.controller_key SET wrapped = 'broken'")

        answer = system.post("/v1/checks", CHECK)

        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["allowed"] is False


class TestDeadlock:
    def test_an_act_that_the_database_broke_off_is_done_again(
        self, system: System, start: Callable[[Settings], Flask], settings: Settings
    ) -> None:
        tries: list[str] = []

        def act_once_in_vain(act: Act) -> Response:
            tries.append(act.api_key.id)
            if len(tries) == 1:
                act.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"))
            return Response("done")

        app = start(settings)
        app.add_url_rule("/crossed", view_func=authorised("check")(act_once_in_vain))

        answer = System(app.test_client(), system.key).get("/crossed")

        assert answer.status_code == 200
        assert len(tries) == 2
