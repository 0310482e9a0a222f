"""The logins of the service may do what grants.txt lists, and nothing else."""

from pathlib import Path

import psycopg
import pytest

from tests.conftest import OWNER, ROLES

GRANTS_FILE = Path(__file__).with_name("grants.txt")
SCHEMAS = ("public", "vault", "audit")

TABLE_GRANTS = """
SELECT grantee::regrole::text AS who, format('%%I.%%I', n.nspname, c.relname) AS what, privilege_type AS may
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl)
WHERE n.nspname = ANY(%(schemas)s) AND grantee <> c.relowner
UNION ALL
SELECT grantee::regrole::text, format('%%I.%%I (%%I)', n.nspname, c.relname, a.attname), privilege_type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
    aclexplode(a.attacl)
WHERE n.nspname = ANY(%(schemas)s) AND grantee <> c.relowner
UNION ALL
SELECT grantee::regrole::text, format('function %%s', p.oid::regprocedure), privilege_type
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
WHERE n.nspname = ANY(%(schemas)s) AND grantee <> p.proowner
UNION ALL
SELECT grantee::regrole::text, format('schema %%I', n.nspname), privilege_type
FROM pg_namespace n, aclexplode(n.nspacl) WHERE n.nspname = ANY(%(schemas)s) AND grantee <> n.nspowner
ORDER BY 1, 2, 3
"""


def _written(rows: list[tuple[str, str, str]]) -> str:
    """Write one line for each grantee and object, with everything the one may do with the other."""
    lines: dict[tuple[str, str], list[str]] = {}
    for who, what, may in rows:
        lines.setdefault((who.replace("-", "everybody"), what), []).append(may)
    return "".join(f"{who} {what}: {', '.join(may)}\n" for (who, what), may in lines.items())


class TestGrants:
    def test_are_exactly_those_of_the_list(self, superuser_url: str) -> None:
        """A change of the list is a change of who may do what: review it as one."""
        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute(TABLE_GRANTS, {"schemas": list(SCHEMAS)}).fetchall()

        assert _written(rows) == GRANTS_FILE.read_text(encoding="utf-8")


class TestRoles:
    @pytest.mark.parametrize("name", ROLES.names())
    def test_none_is_more_than_a_login(self, superuser_url: str, name: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            row = connection.execute(
                "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
                " WHERE rolname = %s",
                (name,),
            ).fetchone()

        assert row == (False, False, False, False, False)

    @pytest.mark.parametrize("name", ROLES.names())
    def test_none_owns_anything(self, superuser_url: str, name: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            owned = connection.execute(
                "SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid"
                " LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid"
                # Tables of one connection alone are gone with it.
                " WHERE r.rolname = %s AND d.deptype = 'o' AND c.relpersistence IS DISTINCT FROM 't'",
                (name,),
            ).fetchone()

        assert owned == (0,)

    def test_only_worker_and_retention_add_to_what_the_web_server_may(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            memberships = connection.execute(
                "SELECT m.member::regrole::text, m.roleid::regrole::text FROM pg_auth_members m"
                " WHERE m.member::regrole::text = ANY(%s)",
                (list(ROLES.names()),),
            ).fetchall()

        assert set(memberships) == {(ROLES.worker, ROLES.app), (ROLES.retention, ROLES.app)}

    def test_the_owner_of_the_tables_is_bound_by_row_security_too(self, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            row = connection.execute(
                "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = %s", (OWNER,)
            ).fetchone()

        assert row == (False, False)
