"""A controller's key for statements is made when it is asked for, once, and opens for that controller alone."""

import dataclasses

import pytest
from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.errors import KeyDestroyedError
from consent_service.registry import controllers
from consent_service.vault import keys
from tests.builders import NOON

SYSTEM = Actor("system", "tests")


class TestSigningKey:
    def test_there_is_none_until_the_controller_wants_statements(self, session: Session) -> None:
        assert keys.list_signing(session) == ()

        with pytest.raises(KeyDestroyedError):
            keys.open_signing(session)

    def test_turning_statements_on_makes_one_that_stays(self, session: Session) -> None:
        on = dataclasses.replace(controllers.get(session), signs_decisions=True)
        controllers.change_settings(session, changed=on, actor=SYSTEM, at=NOON)
        first = keys.open_signing(session).kid

        off = dataclasses.replace(on, signs_decisions=False)
        controllers.change_settings(session, changed=off, actor=SYSTEM, at=NOON)
        controllers.change_settings(session, changed=on, actor=SYSTEM, at=NOON)

        assert [key.kid for key in keys.list_signing(session)] == [first]
