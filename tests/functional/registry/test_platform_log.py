"""The platform's own log names every controller and every schema once, whoever writes and however often they try."""

import json
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from consent_service.audit.logs import PLATFORM
from consent_service.audit.models import AuditEntry
from consent_service.cli import worker as process
from consent_service.db import migrate
from consent_service.db.session import Database
from consent_service.vault import keys
from consent_service.vault.models import ControllerKey
from tests.acts import together
from tests.builders import NOON, a_controller


def written(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """Open what the log of the platform says, each stream in order."""
    with database.transaction(PLATFORM) as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.controller_id == PLATFORM)).all()
        place = {"table": "audit.entry", "column": "sealed"}
        opened = [keys.unseal_for_controller(session, row.sealed, row_id=row.id, **place) for row in rows]
    payloads = [(row.type, json.loads(whole[32:])) for row, whole in zip(rows, opened, strict=True)]
    return sorted(payloads, key=lambda each: (each[1]["stream"], each[1]["number"]))


def said(database: Database, type_: str, field: str) -> list[str]:
    return [payload[field] for type_of, payload in written(database) if type_of == type_]


def run(database: Database) -> None:
    process.keep_platform_log(database, NOON)


class TestControllers:
    def test_each_is_named_once(self, database: Database, worker_database: Database, controller: str) -> None:
        run(worker_database)
        later = a_controller(database, key="fjord")
        run(worker_database)
        run(worker_database)

        named = said(database, "controller.registered", "controller")

        assert {controller, later} < set(named)
        assert len(named) == len(set(named)) == 3

    def test_the_entry_begins_a_stream_of_its_own(
        self, database: Database, worker_database: Database, controller: str
    ) -> None:
        run(worker_database)

        (entry,) = [each for type_, each in written(database) if each.get("controller") == controller]
        assert (entry["stream"], entry["number"], entry["actor"]) == (f"controller:{controller}", 1, "system")

    def test_two_workers_at_once_name_none_twice(
        self, database: Database, worker_database: Database, controller: str, other_controller: str
    ) -> None:
        together(*[lambda: run(worker_database)] * 4)

        named = said(database, "controller.registered", "controller")
        assert {controller, other_controller} < set(named)
        assert len(named) == len(set(named)) == 3
        assert said(database, "schema.migrated", "revision") == [migrate.head()]
        with database.transaction(PLATFORM) as session:
            kinds = session.scalars(select(ControllerKey.kind).where(ControllerKey.controller_id == PLATFORM)).all()
        assert sorted(kinds) == ["index", "kek", "suppression"]


class TestSchema:
    def test_it_is_named_when_it_is_another(
        self, database: Database, worker_database: Database, superuser_url: str
    ) -> None:
        for revision in ("9998", "9998", "9999", "9998"):
            with psycopg.connect(superuser_url) as connection:
                connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))
            run(worker_database)

        assert said(database, "schema.migrated", "revision") == ["9998", "9999", "9998"]

    @pytest.mark.parametrize("times", [1, 3])
    def test_it_is_named_once_where_it_stays(self, database: Database, worker_database: Database, times: int) -> None:
        for _ in range(times):
            run(worker_database)

        assert said(database, "schema.migrated", "revision") == [migrate.head()]
