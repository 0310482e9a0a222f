"""What a purpose admits beside consent is turned on and off; on what it rests is not."""

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.errors import BasisUnchangeableError, InvalidInputError, PurposeUnknownError
from consent_service.registry import purpose_settings, purposes
from consent_service.registry.purposes import Purpose
from tests.builders import NOON

DAY = timedelta(days=1)


def create(session: Session) -> Purpose:
    return purposes.create(
        session, key="offers", legal_basis="consent", double_opt_in=True, actor=trail.SYSTEM, at=NOON
    )


def change(session: Session, *, days: int = 1, **changes: object) -> Purpose:
    return purpose_settings.change(session, key="offers", changes=changes, actor=trail.SYSTEM, at=NOON + days * DAY)


class TestChange:
    def test_what_was_changed_is_found_and_the_rest_stays(self, session: Session) -> None:
        created = create(session)

        changed = change(session, existing_customer=True, product_categories=["skis"])

        assert purposes.get(session, key="offers") == changed
        assert (changed.existing_customer, changed.product_categories) == (True, ("skis",))
        assert (changed.id, changed.created_at, changed.double_opt_in) == (created.id, NOON, True)

    def test_what_held_before_is_kept_with_its_end(self, session: Session) -> None:
        create(session)

        change(session, days=1, age_condition=True, product_categories=["skis"])
        change(session, days=2, balancing="LIA-7", balanced_on=NOON.date())
        change(session, days=3, age_condition=False)

        former = purpose_settings.list_former(session, key="offers")
        assert [(each.held_until, each.age_condition, each.balancing) for each in former] == [
            (NOON + DAY, False, None),
            (NOON + 2 * DAY, True, None),
            (NOON + 3 * DAY, True, "LIA-7"),
        ]
        assert [each.product_categories for each in former] == [(), ("skis",), ("skis",)]

    def test_saying_the_same_changes_nothing(self, session: Session) -> None:
        create(session)

        change(session, age_condition=False, product_categories=[])

        assert purpose_settings.list_former(session, key="offers") == ()

    def test_clocks_that_differ_do_not_reorder_changes(self, session: Session) -> None:
        create(session)

        change(session, days=2, age_condition=True)
        change(session, days=1, age_condition=False)

        former = purpose_settings.list_former(session, key="offers")
        assert [each.age_condition for each in former] == [False, True]

    def test_what_is_missing_is_refused(self, session: Session) -> None:
        create(session)

        with pytest.raises(InvalidInputError) as caught:
            change(session, existing_customer=True, reservation_enabled=True)

        assert [each.pointer for each in caught.value.problems] == ["/product_categories", "/balancing"]

    def test_an_unknown_purpose_is_unknown(self, session: Session) -> None:
        with pytest.raises(PurposeUnknownError):
            change(session, age_condition=True)


class TestAsOf:
    def test_each_moment_finds_what_held_then(self, session: Session) -> None:
        created = create(session)
        second = change(session, days=1, age_condition=True)
        third = change(session, days=2, product_categories=["skis"])
        former = purpose_settings.list_former(session, key="offers")

        found = [
            purpose_settings.as_of(third, former, at=moment)
            for moment in (NOON, NOON + DAY, NOON + 2 * DAY - timedelta(seconds=1), NOON + 2 * DAY, NOON + 9 * DAY)
        ]

        assert found == [created, second, second, third, third]


@pytest.mark.rule("CAP-12")
class TestTheBasis:
    def test_another_one_is_refused(self, session: Session) -> None:
        create(session)

        purpose_settings.demand_same_basis(session, key="offers", legal_basis="consent")
        with pytest.raises(BasisUnchangeableError):
            purpose_settings.demand_same_basis(session, key="offers", legal_basis="legitimate_interest")

    @pytest.mark.parametrize("name", ["legal_basis", "double_opt_in", "special_category", "key"])
    def test_it_is_none_of_what_may_change(self, session: Session, name: str) -> None:
        create(session)

        with pytest.raises(ValueError, match="stands beside"):
            purpose_settings.change(session, key="offers", changes={name: "other"}, actor=trail.SYSTEM, at=NOON + DAY)

    def test_the_database_lets_the_service_not_write_it(self, session: Session) -> None:
        create(session)

        with pytest.raises(ProgrammingError) as caught, session.begin_nested():
            session.execute(text("UPDATE purpose SET legal_basis = 'contract'"))

        assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)
