"""The database itself refuses to change what happened, whoever asks."""

import psycopg
import pytest
from psycopg import errors, sql

from tests.conftest import OWNER

#: Once written, never changed and never deleted, by anybody.
FROZEN = (
    "audit.entry",
    "public.customer_relation",
    "public.evidence",
    "public.form_version",
    "public.former_purpose_settings",
    "public.ledger_entry",
    "public.notice_delivery",
    "public.notice_publication",
    "public.notice_version",
    "public.objection",
    "public.recipient_kind_fact",
    "public.reservation_match",
    "public.reservation_wash",
    "public.restriction_fact",
    "public.subject_merge",
    "public.suppression",
)
#: Never changed; only the role that destroys sealed bodies may delete.
DELETED_BY_RETENTION = ("audit.entry_subject", "public.decision_answer", "public.evidence_part")

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
    "SELECT * FROM audit.queue",
    "DELETE FROM audit.queue",
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


@pytest.fixture(params=["app", "worker", "retention"])
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

    @pytest.mark.parametrize("table", FROZEN + DELETED_BY_RETENTION)
    def test_no_role_of_the_service_takes_its_guards_down(self, service_url: str, table: str) -> None:
        done = [words for words in DISMANTLING if not _refused(service_url, words.format(table=table))]

        assert done == []

    @pytest.mark.parametrize("table", DELETED_BY_RETENTION)
    def test_sealed_bodies_are_deleted_by_retention_alone(
        self, app_url: str, worker_url: str, retention_url: str, table: str
    ) -> None:
        deletion = REWRITES[1].format(table=table)

        refused = {url: _refused(url, deletion) for url in (app_url, worker_url, retention_url)}

        assert refused == {app_url: True, worker_url: True, retention_url: False}

    @pytest.mark.parametrize("table", DELETED_BY_RETENTION)
    def test_sealed_bodies_are_changed_by_nobody(self, owner_url: str, retention_url: str, table: str) -> None:
        changes = [REWRITES[0].format(table=table), REWRITES[2].format(table=table)]

        done = [words for url in (owner_url, retention_url) for words in changes if not _refused(url, words)]

        assert done == []

    def test_every_frozen_table_is_on_these_lists(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute(
                "SELECT DISTINCT format('%I.%I', n.nspname, c.relname) FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE t.tgname = 'never_changes' AND t.tgenabled = 'O'"
            ).fetchall()

        assert {table for (table,) in rows} == set(FROZEN + DELETED_BY_RETENTION)


class TestEscapes:
    def test_a_login_of_the_service_cannot_become_more_than_it_is(self, service_url: str) -> None:
        done = [statement for statement in ESCAPES if not _refused(service_url, statement)]

        assert done == []

    def test_row_security_cannot_be_read_around(self, service_url: str) -> None:
        with psycopg.connect(service_url) as connection:
            connection.execute("SET row_security = off")

            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT count(*) FROM purpose")
