"""The faults under which no check may say yes: what each is called, how it is caused, and how it is undone."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from tests.conftest import ROLES
from tests.promises.scene import Scene

Struck = AbstractContextManager[None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for the length of a block.

    `is_outage` says that the service cannot decide then, and must say so; else it decides, and the answer is no.
    """

    name: str
    strike: Callable[[Scene], Struck]
    is_outage: bool = True


#: What every check about a subscriber must read; without any of them there is no answer.
NEEDED: Final = (
    "public.contact_point",
    "public.ledger_entry",
    "public.objection",
    "public.registry_version",
    "public.restriction_fact",
    "public.suppression",
)
#: What a process must have read before its first answer, and again after every change.
NEEDED_FIRST: Final = (
    "public.api_key",
    "public.controller",
    "public.former_purpose_settings",
    "public.notice_publication",
    "public.notice_version",
    "public.purpose",
    "public.reservation_wash",
    "public.revocation",
    "public.subject_merge",
    "vault.controller_key",
)

#: What a server says of its own trouble, by SQLSTATE.
SAYINGS: Final = {
    "the server closes the connection (08006)": "08006",
    "the protocol is broken (08P01)": "08P01",
    "a number does not fit (22003)": "22003",
    "a text is not valid (22021)": "22021",
    "the password has expired (28P01)": "28P01",
    "another node was faster (40001)": "40001",
    "two acts wait for each other (40P01)": "40P01",
    "a permission is missing (42501)": "42501",
    "a column is missing (42703)": "42703",
    "a function is missing (42883)": "42883",
    "a table is missing (42P01)": "42P01",
    "the disk is full (53100)": "53100",
    "memory has run out (53200)": "53200",
    "there are too many connections (53300)": "53300",
    "a lock is not to be had (55P03)": "55P03",
    "the statement takes too long (57014)": "57014",
    "the server shuts down (57P01)": "57P01",
    "the server crashed (57P02)": "57P02",
    "the server restarts or recovers (57P03)": "57P03",
    "the database was dropped (57P04)": "57P04",
    "a disk cannot be read (58030)": "58030",
    "the primary became a replica (25006)": "25006",
    "the server has a defect (XX000)": "XX000",
    "a page is damaged (XX001)": "XX001",
    "an index is damaged (XX002)": "XX002",
    "a function raises what nobody foresaw (P0001)": "P0001",
}

_KEPT: Final = "_kept"
_CHECKS: Final = """
SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid) FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'check\\_%' ORDER BY p.proname"""
_TAKES: Final = """
SELECT p.proname, oidvectortypes(p.proargtypes) FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'check\\_%' ORDER BY p.proname"""
_HANG_UP: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND usename = {}"
)
_APP: Final = sql.Identifier(ROLES.app)


def unreadable() -> Iterator[Fault]:
    """Yield a fault for each table that must be read: the login may not."""
    for table in NEEDED + NEEDED_FIRST:
        yield Fault(f"{table} cannot be read", reversible(_of("REVOKE SELECT ON {} FROM {}", table), _grant(table)))


def locked() -> Iterator[Fault]:
    """Yield a fault for each table that must be read: somebody else holds it."""
    for table in NEEDED + NEEDED_FIRST:
        yield Fault(f"{table} is locked", _lock(table))


def sayings() -> Iterator[Fault]:
    """Yield a fault for each trouble that a server names in the middle of a statement."""
    for name, state in SAYINGS.items():
        words = sql.SQL("RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = 'trouble'").format(sql.Literal(state))
        yield Fault(name, _functions_say(words))


def server() -> Iterator[Fault]:
    """Yield what can happen to the functions, to the login and to its connections."""
    execute = sql.SQL(
        "DO $$ BEGIN EXECUTE (SELECT string_agg(format('{} %s {} {}', p.oid::regprocedure), ';')"
        " FROM pg_proc p WHERE p.proname LIKE 'check\\_%'); END $$"
    )
    revoke = execute.format(sql.SQL("REVOKE EXECUTE ON FUNCTION"), sql.SQL("FROM"), _APP)
    grant = execute.format(sql.SQL("GRANT EXECUTE ON FUNCTION"), sql.SQL("TO"), _APP)
    role = sql.SQL("ALTER ROLE {} {}")
    yield Fault("the functions are missing", _functions_are_gone)
    yield Fault("the functions may not be called", reversible(revoke, grant))
    yield Fault("the connection is cut in the middle", _functions_say("PERFORM pg_terminate_backend(pg_backend_pid())"))
    yield Fault("the statement is cancelled", _functions_say("PERFORM pg_cancel_backend(pg_backend_pid())"))
    yield Fault("the functions are those of another release", _functions_answer_nothing)
    yield Fault("the registry changes at every look", _registry_never_settles)
    yield Fault(
        "the login is locked",
        reversible(role.format(_APP, sql.SQL("NOLOGIN")), role.format(_APP, sql.SQL("LOGIN")), hangs_up=True),
    )
    yield Fault(
        "the login has no connections left",
        reversible(
            role.format(_APP, sql.SQL("CONNECTION LIMIT 0")),
            role.format(_APP, sql.SQL("CONNECTION LIMIT -1")),
            hangs_up=True,
        ),
    )
    yield Fault(
        "the login looks elsewhere",
        reversible(
            role.format(_APP, sql.SQL("SET search_path = nowhere")),
            role.format(_APP, sql.SQL("RESET search_path")),
            hangs_up=True,
        ),
    )
    yield Fault(
        "the database takes no connections",
        reversible(
            "UPDATE pg_database SET datallowconn = false WHERE datname = current_database()",
            "UPDATE pg_database SET datallowconn = true WHERE datname = current_database()",
            hangs_up=True,
        ),
    )


def reversible(
    cause: LiteralString | sql.Composed, undo: LiteralString | sql.Composed, *, hangs_up: bool = False
) -> Callable[[Scene], Struck]:
    """Return what runs one statement at the beginning and one at the end, and closes connections if it is told to."""

    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        scene.changes_the_registry()
        scene.superuser.execute(cause)
        try:
            if hangs_up:
                scene.superuser.execute(sql.SQL(_HANG_UP).format(sql.Literal(ROLES.app)))
            yield
        finally:
            scene.superuser.execute(undo)

    return strike


def _of(template: LiteralString, table: str) -> sql.Composed:
    return sql.SQL(template).format(sql.Identifier(*table.split(".")), _APP)


def _grant(table: str) -> sql.Composed:
    return _of("GRANT SELECT ON {} TO {}", table)


def _lock(table: str) -> Callable[[Scene], Struck]:
    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        scene.changes_the_registry()
        patient, hurried = scene.asking, scene.hurried()
        scene.asking = hurried
        try:
            with scene.superuser.transaction():
                name = sql.Identifier(*table.split("."))
                scene.superuser.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
                yield
        finally:
            scene.asking = patient
            scene.discard(hurried)

    return strike


@contextlib.contextmanager
def _functions_are_gone(scene: Scene) -> Iterator[None]:
    names = [row[0] for row in scene.superuser.execute(_CHECKS).fetchall()]
    rename = sql.SQL("ALTER FUNCTION {} RENAME TO {}")
    for name in names:
        scene.superuser.execute(rename.format(sql.Identifier(name), sql.Identifier(name + _KEPT)))
    try:
        yield
    finally:
        for name in names:
            scene.superuser.execute(rename.format(sql.Identifier(name + _KEPT), sql.Identifier(name)))


def _functions_say(words: LiteralString | sql.Composed) -> Callable[[Scene], Struck]:
    """Return what puts other words into the place of every function that a check calls."""

    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        functions = scene.superuser.execute(_CHECKS).fetchall()
        body = words if isinstance(words, sql.Composed) else sql.SQL(words)
        create = sql.SQL("CREATE FUNCTION {}({}) RETURNS {} LANGUAGE plpgsql AS $$ BEGIN {}; END $$")
        with _functions_are_gone(scene):
            for name, arguments, result in functions:
                scene.superuser.execute(create.format(sql.Identifier(name), sql.SQL(arguments), sql.SQL(result), body))
            try:
                yield
            finally:
                for name, _, _ in functions:
                    scene.superuser.execute(sql.SQL("DROP FUNCTION {}").format(sql.Identifier(name)))

    return strike


@contextlib.contextmanager
def _functions_answer_nothing(scene: Scene) -> Iterator[None]:
    """Put functions in the place that answer with one column, as another release's may."""
    functions = scene.superuser.execute(_TAKES).fetchall()
    create = sql.SQL("CREATE FUNCTION {}({}) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
    with _functions_are_gone(scene):
        for name, types in functions:
            scene.superuser.execute(create.format(sql.Identifier(name), sql.SQL(types)))
        try:
            yield
        finally:
            for name, _ in functions:
                scene.superuser.execute(sql.SQL("DROP FUNCTION {}").format(sql.Identifier(name)))


@contextlib.contextmanager
def _registry_never_settles(scene: Scene) -> Iterator[None]:
    scene.superuser.execute("ALTER TABLE registry_version RENAME TO registry_version_kept")
    scene.superuser.execute(
        "CREATE VIEW registry_version AS SELECT controller_id, gen_random_uuid() AS version FROM registry_version_kept"
    )
    try:
        scene.superuser.execute(sql.SQL("GRANT SELECT ON registry_version TO {}").format(_APP))
        yield
    finally:
        scene.superuser.execute("DROP VIEW registry_version")
        scene.superuser.execute("ALTER TABLE registry_version_kept RENAME TO registry_version")
