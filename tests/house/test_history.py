"""The database itself refuses to change what happened, whoever asks."""

from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from consent_service import identifiers
from consent_service.audit import unlinking
from consent_service.db.session import Database
from consent_service.rights import unlinking as rights_unlinking
from tests import builders, busy_person
from tests.acts import Stage
from tests.conftest import OWNER

#: Once written, never changed and never deleted, by anybody.
FROZEN = (
    "audit.entry",
    "audit.leaf",
    "audit.tile",
    "public.evidence",
    "public.form_version",
    "public.former_purpose_settings",
    "public.notice_publication",
    "public.notice_version",
    "public.reservation_match",
    "public.reservation_wash",
)
#: Never deleted, and never changed but for one thing: at erasure `retention` empties the column that names the entry.
UNLINKED = (
    "public.customer_relation",
    "public.ledger_entry",
    "public.notice_delivery",
    "public.objection",
    "public.recipient_kind_fact",
    "public.restriction_fact",
    "public.subject_merge",
    "public.suppression",
)
#: Never changed; one role alone may delete.
DELETED_BY = {
    "audit.checkpoint": "sequencer",
    "audit.cosignature": "sequencer",
    "audit.entry_about": "retention",
    "public.decision_answer": "retention",
    "public.evidence_part": "retention",
    "public.export_chunk": "retention",
}
#: The heads of the logs move on, and are never taken away.
NEVER_DELETED = ("audit.tree",)
ROLES_AT_WORK = ("app", "worker", "retention", "sequencer")

#: A value that a column of a type never has in these tests.
OTHERS = {
    "uuid": "gen_random_uuid()",
    "character varying": "'other'",
    "timestamp with time zone": "'1999-01-01'",
    "bytea": "'other'",
    "boolean": "{column} IS NOT TRUE",
    "integer": "-1",
    "smallint": "-1",
}

CHANGE = "UPDATE {table} SET {column} = {value}"
UNLINK = "UPDATE {table} SET audit_entry_id = NULL"
RELINK = "UPDATE {table} SET audit_entry_id = gen_random_uuid()"
COPY_WITHOUT_ENTRY = (
    "INSERT INTO {table} OVERRIDING SYSTEM VALUE"
    """ SELECT (jsonb_populate_record(r, '{{"audit_entry_id": null}}')).* FROM {table} r"""
)

REWRITES = (
    "UPDATE {table} SET controller_id = controller_id",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
)
DISMANTLING = (
    "ALTER TABLE {table} ADD COLUMN more integer",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "DROP TABLE {table} CASCADE",
    "DROP POLICY one_controller ON {table}",
    "DROP TRIGGER never_changes ON {table}",
    "CREATE RULE rewrite AS ON INSERT TO {table} DO INSTEAD NOTHING",
)
ESCAPES = (
    f"SET ROLE {OWNER}",
    f"SET SESSION AUTHORIZATION {OWNER}",
    "SET session_replication_role = replica",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE ROLE intruder SUPERUSER",
    "CREATE TABLE public.beside (a integer)",
    "CREATE SCHEMA beside",
    "CREATE FUNCTION public.beside() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION public.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "ALTER FUNCTION audit.enqueue() OWNER TO CURRENT_USER",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO '/tmp/taken'",
    "COPY public.purpose FROM PROGRAM 'echo'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT * FROM pg_authid",
    "INSERT INTO audit.queue SELECT",
    "UPDATE audit.queue SET entry_id = entry_id",
    "SELECT * FROM platform_mail",
    "INSERT INTO platform_mail SELECT",
    "INSERT INTO key_fingerprint VALUES ('root.2', 'x')",
    "UPDATE alembic_version SET version_num = '0001'",
)


def _refused(url: str, statement: str) -> bool:
    """Say whether the statement is refused for lack of a right, which a trigger that refuses says too."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(sql.SQL(statement))
        except errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    return False


def _as_controller(url: str, controller_id: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect with a transaction open that sees the rows of a controller."""
    connection = psycopg.connect(url)
    of = str(identifiers.to_uuid(controller_id, "ctl"))
    connection.execute("SELECT set_config('app.controller', %s, true)", (of,))
    return connection


def _refused_on_a_row(url: str, controller_id: str, statement: str) -> bool:
    """Say whether the statement is refused, where there are rows that it would change."""
    with _as_controller(url, controller_id) as connection:
        try:
            changed = connection.execute(sql.SQL(statement)).rowcount
        except errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    assert changed, f"there is no row for: {statement}"
    return False


def _changes(url: str, table: str) -> list[str]:
    """Write an UPDATE to another value for each column, but the link and what PostgreSQL counts itself."""
    with psycopg.connect(url) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema || '.' || table_name = %s AND is_identity = 'NO' AND column_name <> %s",
            (table, unlinking.LINK),
        ).fetchall()
    assert len(columns) > 3
    others = {column: OTHERS[kind].format(column=column) for column, kind in columns}
    return [CHANGE.format(table=table, column=column, value=value) for column, value in others.items()]


@pytest.fixture(params=ROLES_AT_WORK)
def service_url(request: pytest.FixtureRequest) -> str:
    """Log in as each role that runs the service."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


class TestHistory:
    @pytest.mark.parametrize("table", FROZEN)
    def test_no_role_of_the_service_rewrites_it(self, service_url: str, table: str) -> None:
        done = [words for words in REWRITES if not _refused(service_url, words.format(table=table))]

        assert done == []

    @pytest.mark.parametrize("table", FROZEN)
    def test_not_even_the_owner_rewrites_it(self, owner_url: str, table: str) -> None:
        done = [words for words in REWRITES if not _refused(owner_url, words.format(table=table))]

        assert done == []

    @pytest.mark.parametrize("table", UNLINKED)
    def test_what_may_be_unlinked_is_never_deleted(self, owner_url: str, retention_url: str, table: str) -> None:
        deletions = [words.format(table=table) for words in REWRITES[1:]]

        done = [words for url in (owner_url, retention_url) for words in deletions if not _refused(url, words)]

        assert done == []

    @pytest.mark.parametrize("table", [*FROZEN, *UNLINKED, *DELETED_BY, *NEVER_DELETED])
    def test_no_role_of_the_service_takes_its_guards_down(self, service_url: str, table: str) -> None:
        done = [words for words in DISMANTLING if not _refused(service_url, words.format(table=table))]

        assert done == []

    @pytest.mark.parametrize("table", DELETED_BY)
    def test_what_may_go_is_deleted_by_one_role_alone(self, request: pytest.FixtureRequest, table: str) -> None:
        deletion = REWRITES[1].format(table=table)

        able = [role for role in ROLES_AT_WORK if not _refused(request.getfixturevalue(f"{role}_url"), deletion)]

        assert able == [DELETED_BY[table]]

    @pytest.mark.parametrize("table", DELETED_BY)
    def test_what_may_go_is_changed_by_nobody(self, request: pytest.FixtureRequest, owner_url: str, table: str) -> None:
        changes = [REWRITES[0].format(table=table), REWRITES[2].format(table=table)]
        urls = (owner_url, request.getfixturevalue(f"{DELETED_BY[table]}_url"))

        done = [words for url in urls for words in changes if not _refused(url, words)]

        assert done == []

    @pytest.mark.parametrize("table", NEVER_DELETED)
    def test_heads_are_taken_away_by_nobody(self, owner_url: str, sequencer_url: str, table: str) -> None:
        deletions = [words.format(table=table) for words in REWRITES[1:]]

        done = [words for url in (owner_url, sequencer_url) for words in deletions if not _refused(url, words)]

        assert done == []

    def test_every_frozen_table_is_on_these_lists(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute(
                "SELECT DISTINCT format('%I.%I', n.nspname, c.relname) FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE t.tgname = 'never_changes' AND t.tgenabled = 'O'"
            ).fetchall()

        assert {table for (table,) in rows} == {*FROZEN, *UNLINKED, *DELETED_BY, *NEVER_DELETED}


class TestUnlinking:
    """Rows of everything that is written down with an audit entry, and who may do what to them."""

    @pytest.fixture
    def lived(self, database: Database, controller: str) -> str:
        """Let a person do all there is, so that each of these tables has a row."""
        form = busy_person.a_form(Stage(database, controller))
        busy_person.live(database, controller, form, email=builders.KARI)
        return controller

    @pytest.mark.parametrize("role", [*ROLES_AT_WORK, "owner"])
    def test_nobody_changes_anything_else(
        self, request: pytest.FixtureRequest, lived: str, superuser_url: str, role: str
    ) -> None:
        url: str = request.getfixturevalue(f"{role}_url")

        done = [
            statement
            for table in UNLINKED
            for change in _changes(superuser_url, table)
            for statement in (change, f"{change}, {unlinking.LINK} = NULL")
            if not _refused_on_a_row(url, lived, statement)
        ]

        assert done == []

    def test_one_role_alone_cuts_the_link(self, request: pytest.FixtureRequest, lived: str) -> None:
        able = {
            (role, table)
            for role in ROLES_AT_WORK
            for table in (*UNLINKED, "public.export")
            if not _refused_on_a_row(request.getfixturevalue(f"{role}_url"), lived, UNLINK.format(table=table))
        }

        assert able == {("retention", table) for table in (*UNLINKED, "public.export")}

    @pytest.mark.parametrize("table", [*UNLINKED, "public.export"])
    def test_nobody_names_another_entry(self, owner_url: str, retention_url: str, lived: str, table: str) -> None:
        change = RELINK.format(table=table)

        done = [url for url in (owner_url, retention_url) if not _refused_on_a_row(url, lived, change)]

        assert done == []

    @pytest.mark.parametrize("table", [*UNLINKED, "public.export"])
    def test_no_act_is_written_down_without_its_entry(self, owner_url: str, lived: str, table: str) -> None:
        with _as_controller(owner_url, lived) as connection, pytest.raises(errors.NotNullViolation, match="its audit"):
            connection.execute(sql.SQL(COPY_WITHOUT_ENTRY.format(table=table)))

    def test_every_link_is_cut_or_kept_for_a_reason(
        self, retention_database: Database, lived: str, superuser_url: str
    ) -> None:
        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute(
                "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t"
                " USING (table_schema, table_name) WHERE t.table_type = 'BASE TABLE' AND c.column_name = %s",
                (unlinking.LINK,),
            ).fetchall()
            pointers = connection.execute(
                "SELECT count(*) FROM pg_constraint f JOIN pg_attribute a"
                " ON a.attrelid = f.conrelid AND a.attnum = ANY(f.conkey)"
                " WHERE f.confrelid = 'audit.entry'::regclass AND f.connamespace <> 'audit'::regnamespace"
                " AND a.attname NOT IN ('controller_id', %s)",
                (unlinking.LINK,),
            ).fetchone()
        with retention_database.transaction(lived) as session:
            cut = rights_unlinking.unlink(session, subject_id=identifiers.new_id("sub"))

        of_the_log = {"audit.entry_about", "audit.stream_head"}
        assert {table for (table,) in rows} == (cut.keys() - of_the_log) | rights_unlinking.KEPT.keys()
        assert pointers == (0,)


class TestEscapes:
    def test_a_login_of_the_service_cannot_become_more_than_it_is(self, service_url: str) -> None:
        done = [statement for statement in ESCAPES if not _refused(service_url, statement)]

        assert done == []

    def test_row_security_cannot_be_read_around(self, service_url: str) -> None:
        with psycopg.connect(service_url) as connection:
            connection.execute("SET row_security = off")

            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT count(*) FROM purpose")

    @pytest.mark.parametrize("role", ROLES_AT_WORK)
    def test_the_sequencer_alone_empties_the_queue(self, request: pytest.FixtureRequest, role: str) -> None:
        url: str = request.getfixturevalue(f"{role}_url")

        assert _refused(url, "DELETE FROM audit.queue") is (role != "sequencer")

    def test_the_sequencer_opens_nothing(self, sequencer_url: str) -> None:
        """It knows ids, types, times and commitments, and no sealed body, key, or row about a person."""
        looks = ("sealed FROM audit.entry", "* FROM audit.entry_about", "* FROM vault.subject_key", "* FROM subject")

        done = [words for words in looks if not _refused(sequencer_url, f"SELECT {words}")]

        assert done == []
