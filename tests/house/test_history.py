"""The database itself refuses to change what happened, whoever asks."""

import psycopg
import pytest
from psycopg import errors, sql

from tests.conftest import OWNER

#: Once written, never changed and never deleted, by anybody.
FROZEN = (
    "audit.entry",
    "audit.leaf",
    "audit.tile",
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

    @pytest.mark.parametrize("table", [*FROZEN, *DELETED_BY, *NEVER_DELETED])
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

        assert {table for (table,) in rows} == {*FROZEN, *DELETED_BY, *NEVER_DELETED}


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
