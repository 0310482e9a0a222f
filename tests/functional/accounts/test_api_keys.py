"""An API key opens one controller, for its scopes, until it ends."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from consent_service.accounts import api_keys
from consent_service.accounts.api_keys import CreatedApiKey
from consent_service.audit import trail
from consent_service.crypto import api_secrets
from consent_service.db.session import Database
from consent_service.errors import ApiKeyInvalidError, ApiKeyUnknownError, InvalidInputError
from tests.builders import NOON

DAY = timedelta(days=1)


def create(
    session: Session, *, expires_at: datetime | None = None, scopes: tuple[str, ...] = ("check",)
) -> CreatedApiKey:
    return api_keys.create(
        session,
        name="Till",
        system="till",
        scopes=scopes,
        environment="live",
        purposes=("newsletter",),
        expires_at=expires_at,
        actor=trail.SYSTEM,
        at=NOON,
    )


class TestAuthenticate:
    def test_the_text_opens_what_was_created(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            created = create(session)

        parsed = api_secrets.parse_api_key(created.text)

        with database.transaction(parsed.controller_id) as session:
            assert api_keys.authenticate(session, parsed, at=NOON) == created.api_key

    def test_a_wrong_secret_is_refused(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            one, other = create(session), create(session)
            parsed = api_secrets.parse_api_key(one.text)
            forged = api_secrets.ParsedApiKey("live", controller, other.api_key.id, parsed.secret)

            with pytest.raises(ApiKeyInvalidError):
                api_keys.authenticate(session, forged, at=NOON)

    def test_another_controllers_key_is_refused(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        with database.transaction(controller) as session:
            parsed = api_secrets.parse_api_key(create(session).text)

        with database.transaction(other_controller) as session, pytest.raises(ApiKeyInvalidError):
            api_keys.authenticate(session, parsed, at=NOON)

    def test_an_expired_key_is_refused(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            parsed = api_secrets.parse_api_key(create(session, expires_at=NOON + DAY).text)

            api_keys.authenticate(session, parsed, at=NOON)
            with pytest.raises(ApiKeyInvalidError):
                api_keys.authenticate(session, parsed, at=NOON + DAY)

    def test_a_demo_text_does_not_open_a_live_key(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            parsed = api_secrets.parse_api_key(create(session).text)
            claimed = api_secrets.ParsedApiKey("demo", controller, parsed.key_id, parsed.secret)

            with pytest.raises(ApiKeyInvalidError):
                api_keys.authenticate(session, claimed, at=NOON)


class TestRevoke:
    def test_it_ends_at_once_and_once(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            created = create(session)
            parsed = api_secrets.parse_api_key(created.text)
            api_keys.authenticate(session, parsed, at=NOON)

            api_keys.revoke(session, api_key_id=created.api_key.id, actor=trail.SYSTEM, at=NOON)
            again = api_keys.revoke(session, api_key_id=created.api_key.id, actor=trail.SYSTEM, at=NOON + DAY)

            assert again.revoked_at == NOON
            with pytest.raises(ApiKeyInvalidError):
                api_keys.authenticate(session, parsed, at=NOON)

    def test_an_unknown_key_cannot_be_revoked(self, database: Database, controller: str, other_controller: str) -> None:
        with database.transaction(controller) as session:
            created = create(session)

        with database.transaction(other_controller) as session, pytest.raises(ApiKeyUnknownError):
            api_keys.revoke(session, api_key_id=created.api_key.id, actor=trail.SYSTEM, at=NOON)


class TestCreate:
    def test_the_secret_is_in_no_repr(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            created = create(session)

        assert created.text not in repr(created)

    @pytest.mark.parametrize("scopes", [(), ("everything",)])
    def test_scopes_are_named(self, database: Database, controller: str, scopes: tuple[str, ...]) -> None:
        with database.transaction(controller) as session, pytest.raises(InvalidInputError):
            create(session, scopes=scopes)
