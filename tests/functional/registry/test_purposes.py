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

    def test_every_way_beside_consent_is_off_unless_it_was_turned_on(self, session: Session) -> None:
        purpose = create(session)

        assert (purpose.existing_customer, purpose.reservation_enabled, purpose.age_condition) == (False, False, False)
        assert (purpose.product_categories, purpose.balancing, purpose.balanced_on) == ((), None, None)

    def test_what_was_turned_on_is_found(self, session: Session) -> None:
        created = purposes.create(
            session,
            key="offers",
            legal_basis="legitimate_interest",
            double_opt_in=True,
            age_condition=True,
            existing_customer=True,
            product_categories=("skis", "ski_wax"),
            reservation_enabled=True,
            balancing=" LIA-7 ",
            balanced_on=NOON.date(),
            actor=trail.SYSTEM,
            at=NOON,
        )

        found = purposes.get(session, key="offers")
        assert found == created
        assert (found.product_categories, found.balancing) == (("skis", "ski_wax"), "LIA-7")

    def test_the_day_of_a_balancing_is_a_day_where_the_controller_is(self, session: Session) -> None:
        late_evening_in_utc = NOON.replace(hour=23, minute=30)
        tomorrow_in_utc = (NOON + timedelta(days=1)).date()

        created = purposes.create(
            session,
            key="offers",
            legal_basis="consent",
            double_opt_in=True,
            balancing="LIA-7",
            balanced_on=tomorrow_in_utc,
            actor=trail.SYSTEM,
            at=late_evening_in_utc,
        )

        assert created.balanced_on == tomorrow_in_utc

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
