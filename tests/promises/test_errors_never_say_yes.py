"""Promise: errors never say yes.

Somebody subscribes, so the true answer is yes. Then one part after another is taken away, damaged or blocked: tables,
keys, seals, the database itself. Whatever the check answers meanwhile, it never allows, and it says in its body that it
does not (GDPR Art. 25(2); law.md ACC-01).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest
from flask import Flask
from psycopg import sql
from werkzeug.test import TestResponse

from consent_service.config import Settings
from tests.builders import KARI
from tests.conftest import ROLES
from tests.promises.world import Company, Person, World

#: What every check about a subscriber must read; without any of them there is no answer.
NEEDED = (
    "public.contact_point",
    "public.ledger_entry",
    "public.objection",
    "public.registry_version",
    "public.restriction_fact",
    "public.suppression",
)
#: What a process must have read before its first answer, and again after every change.
NEEDED_FIRST = (
    "public.api_key",
    "public.controller",
    "public.notice_publication",
    "public.notice_version",
    "public.purpose",
    "public.revocation",
    "public.subject_merge",
    "vault.controller_key",
)
#: What may be wrong with a row; each is done to the rows of everybody.
DAMAGE = {
    "the company's keys are gone": "DELETE FROM vault.controller_key",
    "a wrapped key is damaged": "UPDATE vault.controller_key SET wrapped = overlay(wrapped PLACING '\\xff' FROM 20)",
    "keys are exchanged": "UPDATE vault.controller_key a SET wrapped = b.wrapped FROM vault.controller_key b"
    " WHERE a.controller_id = b.controller_id AND a.kind <> b.kind",
    "the index of the address is damaged": "UPDATE contact_point SET blind_index = '\\x00'",
    "the purpose is retired": "UPDATE purpose SET retired_at = created_at",
    "nothing is published": "DELETE FROM notice_publication",
    "the notice cannot be read": "UPDATE notice_version SET content = '{}'",
    "the API key has ended": "UPDATE api_key SET revoked_at = created_at",
    "the ledger is gone": "DELETE FROM ledger_entry",
    "the grade is the weakest": "UPDATE ledger_entry SET evidence_grade = 'claimed'",
    "the company is gone": "DELETE FROM controller",
}


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody about whom the true answer is yes."""
    person = world.a_subscriber(company, KARI)
    assert person.is_on_the_list()
    return person


def ask(kari: Person, **changes: object) -> TestResponse:
    """Send the check, whatever becomes of it."""
    question = {"subject": {"email": KARI}, "purpose": "newsletter", "channel": "email", **changes}
    return kari.world.call(kari.company, "/v1/checks", question)


def is_yes(answer: TestResponse) -> bool:
    """Say whether a caller could take this answer for a yes: by its status alone, or by its body."""
    body = answer.get_json(silent=True)
    says_no = isinstance(body, dict) and body.get("allowed") is False
    return answer.status_code < 300 and not says_no


@pytest.fixture
def superuser(superuser_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Return a connection that may damage what it likes; triggers and constraints are out of its way."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


class TestATableThatCannotBeRead:
    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize("tables", [NEEDED, NEEDED_FIRST])
    def test_makes_no_yes(
        self,
        kari: Person,
        superuser: psycopg.Connection[tuple[object, ...]],
        start: Callable[[Settings], Flask],
        settings: Settings,
        tables: tuple[str, ...],
    ) -> None:
        answers = {}
        newborn = Person(replace(kari.world, client=start(settings).test_client()), kari.company, KARI)
        for table in tables:
            superuser.execute(_spell("REVOKE SELECT ON {} FROM {}", table))
            try:
                answers[table] = ask(newborn)
            finally:
                superuser.execute(_spell("GRANT SELECT ON {} TO {}", table))

        assert {table: answer.json for table, answer in answers.items() if is_yes(answer)} == {}
        assert all(answer.status_code >= 500 for answer in answers.values())
        assert {(answer.json or {}).get("allowed") for answer in answers.values()} == {False}
        assert kari.is_on_the_list()


class TestARowThatIsWrong:
    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_makes_no_yes(self, kari: Person, superuser: psycopg.Connection[tuple[object, ...]], damage: str) -> None:
        superuser.execute(DAMAGE[damage])

        answer = ask(kari)

        assert not is_yes(answer), answer.text

    @pytest.mark.parametrize("column", ["kind", "evidence_grade", "channel"])
    def test_can_hold_no_word_that_nobody_knows(
        self, kari: Person, superuser: psycopg.Connection[tuple[object, ...]], column: str
    ) -> None:
        assert kari.is_on_the_list()
        statement = sql.SQL("UPDATE ledger_entry SET {} = 'perhaps'").format(sql.Identifier(column))

        with pytest.raises(psycopg.errors.CheckViolation):
            superuser.execute(statement)


class TestADatabase:
    @pytest.mark.rule("ACC-01")
    def test_that_is_not_there_makes_no_yes(
        self, kari: Person, start: Callable[[Settings], Flask], settings: Settings
    ) -> None:
        lonely = start(replace(settings, database_url="postgresql://nobody@127.0.0.1:9/nothing"))
        elsewhere = replace(kari.world, client=lonely.test_client())

        answer = ask(Person(elsewhere, kari.company, KARI))

        assert answer.status_code == 503
        assert (answer.json or {})["allowed"] is False
        assert (answer.json or {})["reason"] == "unavailable"

    @pytest.mark.rule("ACC-01")
    def test_that_is_too_busy_makes_no_yes(
        self, kari: Person, superuser: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        with superuser.transaction():
            superuser.execute("LOCK TABLE ledger_entry IN ACCESS EXCLUSIVE MODE")
            answer = ask(kari)

        assert answer.status_code == 503
        assert (answer.json or {})["allowed"] is False
        assert kari.is_on_the_list()


class TestAQuestionThatMakesNoSense:
    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize(
        "changes",
        [
            {"subject": {}},
            {"subject": {"email": KARI, "phone": "+4740000001"}},
            {"subject": {"email": ""}},
            {"subject": {"id": "sub_nonsense"}},
            {"subject": None},
            {"purpose": ""},
            {"purpose": None},
            {"channel": ["email"]},
            {"as_of": "2999-01-01T00:00:00Z"},
            {"as_of": "yesterday"},
            {"min_evidence": "notarised"},
            {"recipient": "nobody_named"},
            {"purposes": ["newsletter"]},
        ],
        ids=str,
    )
    def test_makes_no_yes(self, kari: Person, changes: dict[str, object]) -> None:
        assert not is_yes(ask(kari, **changes))


def _spell(template: LiteralString, table: str) -> sql.Composed:
    return sql.SQL(template).format(sql.Identifier(*table.split(".")), sql.Identifier(ROLES.app))
