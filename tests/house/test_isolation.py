"""Controllers are kept apart by the database, not by the care of a query."""

import psycopg
import pytest
from psycopg import sql

from consent_service.db.session import Database
from tests import builders
from tests.conftest import ROLES

#: Tables without a controller's rows in them, or that must be read before the controller is known; why stands beside.
NOT_ISOLATED = {
    "public.alembic_version": "the revision of the schema",
    "public.controller_directory": "finds the controller; holds its id, its key and the tag of its forms",
    "public.installation": "whether this database was made for a demo",
    "public.key_fingerprint": "what each key file must look like",
    "public.platform_mail": "caps across controllers; no role reads it, two functions answer for it",
}
OWN_ROWS = "(controller_id = (NULLIF(current_setting('app.controller'::text, true), ''::text))::uuid)"
#: Unique over all controllers: keyed hashes of random secrets, and the number that orders the ledger.
UNIQUE_EVERYWHERE = {"secret_hash", "seq"}
#: Worker and sequencer find what is due before they know whose it is.
MORE_POLICIES = {
    ("public.export", "worker_sees_waiting", ROLES.worker),
    ("public.outbox_message", "worker_sees_all", ROLES.worker),
    ("audit.queue", "sequencer_sees_all", ROLES.sequencer),
    ("audit.tree", "sequencer_sees_all", ROLES.sequencer),
}

TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname), c.relrowsecurity AND c.relforcerowsecurity, c.oid"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    # Tables of one connection alone, which is lent to one test after another.
    " AND NOT pg_is_other_temp_schema(n.oid)"
)


class TestTables:
    def test_each_forces_row_security_or_is_a_documented_exception(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            open_tables = {table for table, forced, _ in connection.execute(TABLES) if not forced}

        assert open_tables == set(NOT_ISOLATED)

    def test_each_shows_and_takes_rows_of_the_acting_controller_alone(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            policies = connection.execute(
                "SELECT schemaname || '.' || tablename, policyname, permissive, roles::text[], cmd, qual, with_check"
                " FROM pg_policies"
            ).fetchall()
            tables = {table for table, forced, _ in connection.execute(TABLES) if forced}
        usual = [policy for policy in policies if policy[1] == "one_controller"]
        unusual = {
            (table, name, role) for table, name, _, roles, *_ in policies if name != "one_controller" for role in roles
        }

        assert {table for table, *_ in usual} == tables
        assert {tuple(policy[2:]) for policy in ((*p[:3], tuple(p[3]), *p[4:]) for p in usual)} == {
            ("PERMISSIVE", ("public",), "ALL", OWN_ROWS, OWN_ROWS)
        }
        assert unusual == MORE_POLICIES

    def test_keys_begin_with_the_controller(self, superuser_url: str) -> None:
        """A unique key without the controller would tell one of them what another has."""
        with psycopg.connect(superuser_url) as connection:
            keys = connection.execute(
                "SELECT format('%I.%I', n.nspname, t.relname), i.relname,"
                " (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum = x.indkey[0])"
                " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
                " JOIN pg_namespace n ON n.oid = t.relnamespace"
                " WHERE x.indisunique AND n.nspname IN ('public', 'vault', 'audit')"
            ).fetchall()

        leading = {column for table, _, column in keys if table not in NOT_ISOLATED}

        assert leading - UNIQUE_EVERYWHERE == {"controller_id"}

    def test_references_stay_inside_a_controller(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            keys = connection.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
            ).fetchall()

        crossing = [name for name, words in keys if not words.startswith("FOREIGN KEY (controller_id")]

        assert keys
        assert crossing == []


class TestUnsetVariable:
    @pytest.mark.parametrize("login", ["app", "retention"])
    def test_it_shows_no_row_of_any_table(self, request: pytest.FixtureRequest, superuser_url: str, login: str) -> None:
        url: str = request.getfixturevalue(f"{login}_url")
        with psycopg.connect(superuser_url) as connection:
            tables = [table for table, forced, _ in connection.execute(TABLES) if forced]
            held = {table for table in tables if _count(connection, table)}

        seen = _readable(url, tables)

        assert {"public.controller", "public.purpose", "public.form", "audit.entry"} <= held
        assert set(seen.values()) == {0}
        assert set(tables) == set(seen)

    def test_after_a_transaction_the_connection_has_forgotten_its_controller(
        self, database: Database, controller: str
    ) -> None:
        with database.transaction(controller) as session:
            builders.a_published_purpose(session)
        with database.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM purpose").scalar_one()

        assert rows == 0

    def test_after_a_rollback_too(self, app_url: str) -> None:
        with psycopg.connect(app_url) as connection:
            connection.execute("SELECT set_config('app.controller', gen_random_uuid()::text, true)")
            connection.rollback()

            rows = connection.execute("SELECT count(*) FROM purpose").fetchone()

        assert rows == (0,)


class TestForeignRows:
    def test_cannot_be_written(self, app_url: str, database: Database, controller: str, other_controller: str) -> None:
        del controller
        with database.transaction(other_controller) as session:
            own = session.connection().exec_driver_sql("SELECT current_setting('app.controller')").scalar_one()
        with psycopg.connect(app_url) as connection:
            connection.execute("SELECT set_config('app.controller', gen_random_uuid()::text, true)")

            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(
                    "INSERT INTO subject (controller_id, id, created_at) VALUES (%s, gen_random_uuid(), now())", (own,)
                )


def _count(connection: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.SQL(table))).fetchone()
    assert row is not None
    return int(str(row[0]))


def _readable(url: str, tables: list[str]) -> dict[str, int]:
    """Count the rows that a login sees in each table that it may read at all."""
    seen = {}
    with psycopg.connect(url, autocommit=True) as connection:
        for table in tables:
            try:
                seen[table] = _count(connection, table)
            except psycopg.errors.InsufficientPrivilege:
                continue
    return seen
