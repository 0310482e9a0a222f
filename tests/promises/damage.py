"""Rows and keys that are wrong: what is done to those of everybody, and put back afterwards."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, LiteralString

from psycopg import sql

from tests.promises.faults import Fault, Struck
from tests.promises.scene import Scene

_KEYS: Final = "vault.controller_key"
_WRAPPED: Final = "UPDATE vault.controller_key SET wrapped = "

#: Name, table, what is done to it: the answer is no, by the rules or because the key no longer opens the door.
_DECIDED: Final[tuple[tuple[str, LiteralString, LiteralString], ...]] = (
    ("the API key was revoked", "api_key", "UPDATE api_key SET revoked_at = created_at"),
    ("the API key has ended", "api_key", "UPDATE api_key SET expires_at = created_at"),
    ("the API key is gone", "api_key", "DELETE FROM api_key"),
    ("the API key has another secret", "api_key", "UPDATE api_key SET secret_hash = sha256(secret_hash)"),
    ("the API key has a short hash", "api_key", "UPDATE api_key SET secret_hash = '\\x00'"),
    ("the API key is one of a demo", "api_key", "UPDATE api_key SET environment = 'demo'"),
    ("the company is gone", "controller", "DELETE FROM controller"),
    ("the company's version is gone", "registry_version", "DELETE FROM registry_version"),
    ("the purpose is retired", "purpose", "UPDATE purpose SET retired_at = created_at"),
    ("the purpose is gone", "purpose", "DELETE FROM purpose"),
    ("the purpose has another key", "purpose", "UPDATE purpose SET key = key || '_2'"),
    ("the purpose is of the future", "purpose", "UPDATE purpose SET created_at = '2999-01-01T00:00:00Z'"),
    ("the purpose has an age condition", "purpose", "UPDATE purpose SET age_condition = true"),
    (
        "the purpose is a special category",
        "purpose",
        "UPDATE purpose SET legal_basis = 'explicit_consent', special_category = true, double_opt_in = true",
    ),
    ("nothing is published", "notice_publication", "DELETE FROM notice_publication"),
    (
        "the notice is not in force",
        "notice_publication",
        "UPDATE notice_publication SET effective_at = '2999-01-01T00:00:00Z'",
    ),
    ("the notice is gone", "notice_version", "DELETE FROM notice_version"),
    ("the notice is empty", "notice_version", "UPDATE notice_version SET content = '{}'"),
    (
        "the notice has another channel",
        "notice_version",
        """UPDATE notice_version SET content = jsonb_set(content, '{channels}', '["sms"]')""",
    ),
    (
        "everybody was to be asked anew",
        "notice_publication, notice_version",
        """
        WITH later AS (INSERT INTO notice_version (controller_id, id, purpose_id, number, content, created_at)
        SELECT controller_id, gen_random_uuid(), purpose_id, number + 1, content, created_at FROM notice_version
        RETURNING *) INSERT INTO notice_publication
        (controller_id, notice_id, purpose_id, number, material, reason, published_at, effective_at)
        SELECT controller_id, id, purpose_id, number, true, '', created_at, created_at FROM later
        """,
    ),
    ("the address has another index", "contact_point", "UPDATE contact_point SET blind_index = sha256(blind_index)"),
    ("the address has a short index", "contact_point", "UPDATE contact_point SET blind_index = '\\x00'"),
    ("the address is gone", "contact_point", "DELETE FROM contact_point"),
    ("the address is a number", "contact_point", "UPDATE contact_point SET kind = 'phone'"),
    ("the address was passed on", "contact_point", "UPDATE contact_point SET holder_until = '2001-01-01T00:00:00Z'"),
    ("the address is somebody else's", "contact_point", "UPDATE contact_point SET subject_id = gen_random_uuid()"),
    ("the ledger is gone", "ledger_entry", "DELETE FROM ledger_entry"),
    ("the entry is of another address", "ledger_entry", "UPDATE ledger_entry SET contact_point_id = gen_random_uuid()"),
    ("the entry is of another person", "ledger_entry", "UPDATE ledger_entry SET subject_id = gen_random_uuid()"),
    ("the entry is of another purpose", "ledger_entry", "UPDATE ledger_entry SET purpose_id = gen_random_uuid()"),
    ("the entry is of another company", "ledger_entry", "UPDATE ledger_entry SET controller_id = gen_random_uuid()"),
    ("the entry is of another channel", "ledger_entry", "UPDATE ledger_entry SET channel = 'sms'"),
    ("the entry rests on an unknown notice", "ledger_entry", "UPDATE ledger_entry SET notice_id = gen_random_uuid()"),
    (
        "the entry rests on another purpose's notice",
        "ledger_entry",
        """
        UPDATE ledger_entry l SET notice_id = n.id FROM notice_version n
        WHERE n.controller_id = l.controller_id AND n.purpose_id <> l.purpose_id
        """,
    ),
    ("the entry has expired", "ledger_entry", "UPDATE ledger_entry SET expires_at = '2001-01-01T00:00:00Z'"),
    ("the entry was never confirmed", "ledger_entry", "UPDATE ledger_entry SET confirmed_at = NULL"),
    ("the entry has the weakest grade", "ledger_entry", "UPDATE ledger_entry SET evidence_grade = 'claimed'"),
    ("the entry is a withdrawal", "ledger_entry", "UPDATE ledger_entry SET kind = 'withdrawn'"),
    ("the entry is a refusal", "ledger_entry", "UPDATE ledger_entry SET kind = 'refused'"),
    ("the entry was revoked", "ledger_entry", "UPDATE ledger_entry SET kind = 'revoked'"),
    (
        "the person is restricted",
        "restriction_fact",
        """
        INSERT INTO restriction_fact (controller_id, subject_id, recorded_at, kind, audit_entry_id)
        SELECT controller_id, id, '2001-01-01T00:00:00Z', 'restricted', gen_random_uuid() FROM subject
        """,
    ),
    (
        "the person objected, by a clock that is ahead",
        "objection",
        """
        INSERT INTO objection (controller_id, id, subject_id, recorded_at, audit_entry_id)
        SELECT controller_id, gen_random_uuid(), id, '2999-01-01T00:00:00Z', gen_random_uuid() FROM subject
        """,
    ),
    (
        "every source was recalled",
        "revocation",
        """
        INSERT INTO revocation (controller_id, id, recorded_until, reason, counted, recorded_at, audit_entry_id)
        SELECT controller_id, gen_random_uuid(), '2999-01-01T00:00:00Z', '', 0, '2001-01-01T00:00:00Z',
               gen_random_uuid() FROM controller
        """,
    ),
)
#: The same, with what never changes in the life of a key: a process that knows it does not look again.
_BORN_WITH: Final[tuple[tuple[str, LiteralString], ...]] = (
    ("the API key may do something else", "UPDATE api_key SET scopes = '{capture}'"),
    ("the API key may do nothing", "UPDATE api_key SET scopes = '{}'"),
    ("the API key is for another purpose", "UPDATE api_key SET purposes = '{survey}'"),
)
#: The same, where nothing can be decided.
_UNDECIDED: Final[tuple[tuple[str, LiteralString, LiteralString], ...]] = (
    (
        "the entry was written in the future",
        "ledger_entry",
        "UPDATE ledger_entry SET effective_at = '2999-01-01T00:00:00Z'",
    ),
    ("the notice is a list", "notice_version", "UPDATE notice_version SET content = '[]'"),
    (
        "the notice has channels of no kind",
        "notice_version",
        """UPDATE notice_version SET content = '{"channels": 1}'""",
    ),
    ("the company signs without a key", "controller", "UPDATE controller SET signs_decisions = true"),
    ("the company's keys are gone", _KEYS, "DELETE FROM vault.controller_key"),
    ("one key is gone", _KEYS, "DELETE FROM vault.controller_key WHERE kind = 'suppression'"),
    ("a wrapped key is damaged", _KEYS, _WRAPPED + "overlay(wrapped PLACING '\\xff00ff' FROM 20)"),
    ("a wrapped key is cut short", _KEYS, _WRAPPED + "substr(wrapped, 1, 10)"),
    ("a wrapped key is empty", _KEYS, _WRAPPED + "''"),
    ("a wrapped key has an unknown form", _KEYS, _WRAPPED + "set_byte(wrapped, 0, 9)"),
    ("a wrapped key has an unknown algorithm", _KEYS, _WRAPPED + "set_byte(wrapped, 1, 9)"),
    ("a wrapped key has an unknown root", _KEYS, _WRAPPED + "set_byte(wrapped, 5, 9)"),
    (
        "keys are exchanged",
        _KEYS,
        """
        UPDATE vault.controller_key a SET wrapped = b.wrapped FROM vault.controller_key b
        WHERE a.controller_id = b.controller_id AND a.kind <> b.kind
        """,
    ),
    (
        "the keys are another company's",
        _KEYS,
        """
        UPDATE vault.controller_key a SET wrapped = b.wrapped FROM vault.controller_key b
        WHERE a.kind = b.kind AND a.controller_id <> b.controller_id
        """,
    ),
)


def rows() -> Iterator[Fault]:
    """Yield what may be wrong with rows so that the answer is no."""
    for name, table, statement in _DECIDED:
        yield Fault(name, _put_back(table, statement), is_outage=False)
    for name, statement in _BORN_WITH:
        yield Fault(name, _to_a_newborn(_put_back("api_key", statement)), is_outage=False)


def keys() -> Iterator[Fault]:
    """Yield what may be wrong with rows so that nothing can be decided."""
    for name, table, statement in _UNDECIDED:
        yield Fault(name, _put_back(table, statement))


def _to_a_newborn(strike: Callable[[Scene], Struck]) -> Callable[[Scene], Struck]:
    @contextlib.contextmanager
    def strike_newborn(scene: Scene) -> Iterator[None]:
        with strike(scene), scene.instead():
            yield

    return strike_newborn


def _put_back(tables: LiteralString, statement: LiteralString) -> Callable[[Scene], Struck]:
    """Return what runs a statement and brings back the rows of its tables afterwards."""
    names = [sql.Identifier(*table.split(".")) for table in tables.split(", ")]

    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        kept = [(name, sql.Identifier(f"kept_{place}")) for place, name in enumerate(names)]
        for name, copy in kept:
            scene.superuser.execute(sql.SQL("CREATE TEMP TABLE {} AS TABLE {}").format(copy, name))
        try:
            scene.superuser.execute(statement)
            yield
        finally:
            with scene.superuser.transaction():
                for name, copy in kept:
                    scene.superuser.execute(sql.SQL("DELETE FROM {}").format(name))
                    scene.superuser.execute(
                        sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE TABLE {}").format(name, copy)
                    )
                    scene.superuser.execute(sql.SQL("DROP TABLE {}").format(copy))

    return strike
