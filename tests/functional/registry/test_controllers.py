"""Controllers are created whole, with their keys, and found before a transaction is theirs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.errors import AlreadyExistsError, ControllerUnknownError, InvalidInputError
from consent_service.registry import controllers
from consent_service.registry.controllers import Controller
from consent_service.vault import keys
from tests.builders import NOON


def create(database: Database, *, key: str = "nordlys-sport", legal_name: str = "Nordlys Sport AS") -> Controller:
    with database.transaction(controllers.new_controller_id(NOON)) as session:
        return controllers.create(
            session,
            key=key,
            legal_name=legal_name,
            display_name="Nordlys Sport",
            organisation_number="999 999 999",
            postal_address="Storgata 1, 0155 Oslo",
            privacy_contact="personvern@nordlys.example",
            actor=trail.SYSTEM,
            at=NOON,
        )


class TestCreate:
    def test_what_was_created_is_what_is_found(self, database: Database) -> None:
        controller = create(database)

        with database.transaction(controller.controller_id) as session:
            assert controllers.get(session) == controller

    def test_it_can_seal_at_once(self, database: Database) -> None:
        controller = create(database)

        with database.transaction(controller.controller_id) as session:
            assert keys.seal_for_controller(session, b"x", table="t", column="c", row_id="r")

    def test_a_key_is_taken_once(self, database: Database) -> None:
        create(database)

        with pytest.raises(AlreadyExistsError):
            create(database)

    def test_it_lists_all_that_is_wrong(self, database: Database) -> None:
        with pytest.raises(InvalidInputError) as caught:
            create(database, key="Nordlys Sport", legal_name=" ")

        assert [problem.pointer for problem in caught.value.problems] == ["/key", "/legal_name"]


class TestFindId:
    def test_by_key_and_by_tag_before_the_controller_is_known(self, database: Database) -> None:
        controller = create(database)

        with database.platform_transaction() as session:
            row = next(row for row in controllers.list_directory(session) if row.key == "nordlys-sport")
            assert row.controller_id == controller.controller_id
            assert controllers.find_id(session, key="nordlys-sport") == controller.controller_id
            assert controllers.find_id(session, tag=row.tag) == controller.controller_id
            assert controllers.find_id(session, key="nobody") is None


class TestGet:
    def test_a_controller_that_was_never_created_is_unknown(self, database: Database) -> None:
        with (
            database.transaction(controllers.new_controller_id(NOON)) as session,
            pytest.raises(ControllerUnknownError),
        ):
            controllers.get(session)


class TestChangeSettings:
    def test_it_replaces_what_differs(self, database: Database) -> None:
        controller = create(database)
        wanted = replace(controller, decision_lifetime=timedelta(hours=1), keeps_traces=False)

        with database.transaction(controller.controller_id) as session:
            controllers.change_settings(session, changed=wanted, actor=trail.SYSTEM, at=NOON)

        with database.transaction(controller.controller_id) as session:
            assert controllers.get(session) == wanted

    def test_what_opens_a_way_beside_consent_is_off_until_it_is_turned_on(self, database: Database) -> None:
        controller = create(database)
        wanted = replace(controller, allows_company_addresses=True, is_charity=True, signs_decisions=True)

        with database.transaction(controller.controller_id) as session:
            controllers.change_settings(session, changed=wanted, actor=trail.SYSTEM, at=NOON)

        assert not controller.allows_company_addresses
        assert not controller.is_charity
        assert not controller.signs_decisions
        with database.transaction(controller.controller_id) as session:
            assert controllers.get(session) == wanted

    def test_a_key_stays(self, database: Database) -> None:
        controller = create(database)

        with (
            database.transaction(controller.controller_id) as session,
            pytest.raises(InvalidInputError),
        ):
            controllers.change_settings(session, changed=replace(controller, key="other"), actor=trail.SYSTEM, at=NOON)
