"""Operators are known by a sealed address and a slow hash."""

import psycopg
import pytest
from argon2 import PasswordHasher

from consent_service.accounts import operators
from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.errors import AlreadyExistsError, InvalidInputError
from tests.builders import NOON

EMAIL = "dpo@nordlys.example"
PASSWORD = "correct horse battery"


def create(
    database: Database, controller: str, *, email: str = EMAIL, password: str = PASSWORD, role: str = "dpo"
) -> operators.Operator:
    with database.transaction(controller) as session:
        return operators.create(session, email=email, password=password, role=role, actor=trail.SYSTEM, at=NOON)


class TestCreate:
    def test_neither_address_nor_password_is_stored_in_clear(
        self, database: Database, controller: str, superuser_url: str
    ) -> None:
        create(database, controller)

        with psycopg.connect(superuser_url) as connection:
            row = connection.execute("SELECT operator::text, password_hash FROM operator").fetchone()
        assert row is not None
        assert EMAIL not in row[0]
        assert EMAIL.encode().hex() not in row[0]
        assert PasswordHasher().verify(row[1], PASSWORD)

    def test_an_address_is_used_once_however_it_is_written(self, database: Database, controller: str) -> None:
        create(database, controller)

        with pytest.raises(AlreadyExistsError):
            create(database, controller, email=" DPO@Nordlys.example ")

    def test_two_controllers_may_share_an_operator(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        create(database, controller)

        create(database, other_controller)

        with database.transaction(other_controller) as session:
            assert len(operators.list_all(session)) == 1

    @pytest.mark.parametrize(
        ("email", "password", "role", "pointer"),
        [
            ("dpo", PASSWORD, "dpo", "/email"),
            (EMAIL, "short", "dpo", "/password"),
            (EMAIL, PASSWORD, "owner", "/role"),
        ],
    )
    def test_it_says_what_is_wrong(
        self, database: Database, controller: str, email: str, password: str, role: str, pointer: str
    ) -> None:
        with pytest.raises(InvalidInputError) as caught:
            create(database, controller, email=email, password=password, role=role)

        assert [problem.pointer for problem in caught.value.problems] == [pointer]
        assert email not in str(caught.value)
