"""A check costs one round trip to the database, and what it keeps open is replaced when it is lost."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from consent_service import web
from consent_service.api import asking
from consent_service.db.session import Database
from consent_service.server import Server
from tests import builders
from tests.functional.api.conftest import KARI, System
from tests.functional.api.test_server import CHECK, a_check, serve

PEOPLE = [{"email": f"person{number}@nordmann.example"} for number in range(2_500)]


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """Return what reaches the database, on either way there."""
    seen: list[str] = []
    direct, many = app.extensions[asking.EXTENSION].direct, app.extensions[asking.EXTENSION].direct_many
    engine = app.extensions[web.EXTENSION].database.engine
    run, row = many.run, direct.row

    def count_rows(statement: bytes, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - rows
        seen.append(statement.decode())
        return run(statement, parameters)

    def count_row(statement: bytes, types: Sequence[int], parameters: Sequence[bytes | None]) -> Any:  # noqa: ANN401 - a row
        seen.append(statement.decode())
        return row(statement, types, parameters)

    def count_other(*arguments: object) -> None:
        seen.append(str(arguments[2]))

    many.run, direct.row = count_rows, count_row
    event.listen(engine, "before_cursor_execute", count_other)
    yield seen
    event.remove(engine, "before_cursor_execute", count_other)
    del many.run, direct.row


class TestACheck:
    @pytest.mark.parametrize("is_known", [True, False])
    def test_is_one_statement_on_both_roads(
        self, app: Flask, system: System, statements: list[str], *, is_known: bool
    ) -> None:
        if is_known:
            system.post("/v1/consents", system.report())
        server = Server(app)
        serve(server, a_check(system))
        counts = []

        for body in (CHECK, {**CHECK, "as_of": None}, {**CHECK, "subject": {"phone": "+4740000001"}}):
            statements.clear()
            serve(server, a_check(system, body))
            counts.append(len(statements))

        assert counts == [1, 1, 1]

    @pytest.mark.rule("CAP-08")
    def test_asks_for_the_registry_anew_once_after_a_change(
        self, app: Flask, system: System, database: Database, controller: str, statements: list[str]
    ) -> None:
        system.post("/v1/consents", system.report())
        server = Server(app)
        serve(server, a_check(system))
        with database.transaction(controller) as session:
            content = builders.a_notice(purpose="survey", edition=2)
            builders.a_published_notice(session, purpose="survey", content=content)

        first, second = a_check(system), a_check(system)
        serve(server, first)
        statements.clear()
        serve(server, second)

        assert b"notice_superseded" in first.body
        assert len(statements) == 1

    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize("body", [CHECK, {**CHECK, "as_of": None}])
    def test_is_answered_although_its_connection_was_lost(
        self, app: Flask, system: System, superuser_url: str, body: dict[str, Any]
    ) -> None:
        system.post("/v1/consents", system.report())
        server = Server(app)
        serve(server, a_check(system, body))
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND query LIKE '%check_facts%'"
            )

        call = a_check(system, body)
        serve(server, call)

        assert call.status == 200
        assert b'"allowed":true' in call.body


class TestABatch:
    def test_is_one_statement_for_a_chunk_of_plain_people(self, system: System, statements: list[str]) -> None:
        asked = {"purpose": "survey", "channel": "email", "subjects": PEOPLE}
        system.post("/v1/checks/batch", asked)
        statements.clear()

        system.post("/v1/checks/batch", asked)

        assert len(statements) == 1

    def test_is_one_more_where_some_are_not_plain(self, system: System, statements: list[str]) -> None:
        system.post("/v1/objections", {"subject": KARI})
        asked = {"purpose": "survey", "channel": "email", "subjects": [KARI, {"external_id": "1"}, *PEOPLE[2:]]}
        system.post("/v1/checks/batch", asked)
        statements.clear()

        system.post("/v1/checks/batch", asked)

        assert len(statements) == 2
