"""A newer key seals what comes; what an older one sealed opens for as long as that one is there."""

import secrets
from datetime import timedelta

import pytest
from sqlalchemy import select

from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.consent import evidence
from consent_service.crypto import api_secrets, sealing
from consent_service.crypto.keyring import NAMES, Key, Keyring
from consent_service.db.session import Database
from consent_service.errors import KeyFolderError
from consent_service.vault.models import ControllerKey
from tests import builders
from tests.builders import NOON

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def rotated(database: Database) -> Database:
    """Return the same database with a second version of every key."""
    newer = {name: (*database.keyring.all(name), Key(version=2, secret=secrets.token_bytes(32))) for name in NAMES}
    return Database(database.engine, Keyring(newer))


class TestRotation:
    @pytest.mark.rule("ACC-06")
    def test_what_was_sealed_before_still_opens(self, database: Database, rotated: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            given = builders.a_given_consent(session)

        with rotated.transaction(controller) as session:
            answer = builders.a_check(session, at=LATER)
            (opened,) = evidence.reveal(
                session, consent_id=given.consent_ids[0], reason="a complaint", actor=trail.SYSTEM, at=LATER
            )

        assert answer.allowed
        assert opened.statement["shown"]["statement"] == given.boxes[0].statement

    @pytest.mark.rule("ACC-06")
    def test_what_is_sealed_afterwards_bears_the_newer_version(
        self, database: Database, rotated: Database, controller: str
    ) -> None:
        newcomer = builders.a_controller(rotated, key="fjord")

        versions = {}
        for each in (controller, newcomer):
            with rotated.transaction(each) as session:
                wrapped = session.scalars(select(ControllerKey.wrapped)).all()
                versions[each] = {sealing.key_version_of(key) for key in wrapped}

        assert versions == {controller: {1}, newcomer: {2}}
        with database.transaction(newcomer) as session, pytest.raises(KeyFolderError):
            builders.a_given_consent(session)

    @pytest.mark.rule("ACC-06")
    def test_keys_of_systems_go_on_to_work(self, database: Database, rotated: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            text = builders.an_api_key(session, scopes=("check",))

        with rotated.transaction(controller) as session:
            found = api_keys.authenticate(session, api_secrets.parse_api_key(text), at=LATER)

        assert found.scopes == ("check",)
