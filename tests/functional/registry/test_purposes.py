"""Purposes have one key, one basis and one end."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.errors import AlreadyExistsError, InvalidInputError, PurposeUnknownError
from consent_service.registry import purposes
from consent_service.registry.purposes import Purpose
from tests.builders import NOON


def create(session: Session, *, key: str = "newsletter", special_category: bool = False) -> Purpose:
    return purposes.create(
        session,
        key=key,
        legal_basis="consent",
        double_opt_in=True,
        special_category=special_category,
        actor=trail.SYSTEM,
        at=NOON,
    )


class TestCreate:
    def test_what_was_created_is_what_is_found(self, session: Session) -> None:
        purpose = create(session)

        assert purposes.get(session, key="newsletter") == purpose
        assert purposes.list_all(session) == (purpose,)

    def test_a_key_is_taken_once(self, session: Session) -> None:
        create(session)

        with pytest.raises(AlreadyExistsError):
            create(session)

    @pytest.mark.rule("CAP-13")
    def test_a_special_category_cannot_rest_on_plain_consent(self, session: Session) -> None:
        with pytest.raises(InvalidInputError) as caught:
            create(session, special_category=True)

        assert [problem.code for problem in caught.value.problems] == ["explicit_consent_required"]

    @pytest.mark.parametrize("key", ["", "News", "news:letter", "news letter", "x" * 64])
    def test_a_key_can_stand_in_a_box(self, session: Session, key: str) -> None:
        with pytest.raises(InvalidInputError):
            create(session, key=key)


class TestGet:
    def test_another_controllers_purpose_is_unknown(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        with database.transaction(controller) as session:
            create(session)

        with database.transaction(other_controller) as session:
            assert purposes.list_all(session) == ()
            with pytest.raises(PurposeUnknownError):
                purposes.get(session, key="newsletter")


class TestRetire:
    def test_it_ends_once(self, session: Session) -> None:
        create(session)

        purposes.retire(session, key="newsletter", actor=trail.SYSTEM, at=NOON)
        again = purposes.retire(session, key="newsletter", actor=trail.SYSTEM, at=NOON + timedelta(days=1))

        assert again.retired_at == NOON
        assert again.is_retired(NOON)
        assert not again.is_retired(NOON - timedelta(seconds=1))
