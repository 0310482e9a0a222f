"""Acts that meet: whatever runs at once, no yes outlives a no that was acknowledged."""

from datetime import timedelta
from typing import Any

import pytest

from consent_service.audit import trail
from consent_service.consent import confirmation, objection, withdrawal
from consent_service.consent.withdrawal import Scope
from consent_service.registry.forms import FormVersion
from consent_service.subjects import restriction
from consent_service.subjects.identity import SubjectReference
from tests.acts import KARI, OLA, Stage, an_act, meanwhile, refer, together
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS, OFFERS

SECOND = timedelta(seconds=1)


class TestWithdrawalMeetsConfirmation:
    def test_what_a_running_withdrawal_cancels_is_not_confirmed(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))

        with stage.act() as session:
            withdrawal.withdraw(
                session,
                reference=refer(KARI),
                scope=Scope("newsletter", None),
                reason="unsubscribe_page",
                act=None,
                actor=trail.SUBJECT,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: stage.confirm(link, at=NOON + 2 * SECOND)) as confirmed:
                session.commit()

        assert confirmed.result().state == "confirmed"
        assert not stage.check(at=NOON + 3 * SECOND).allowed
        assert stage.check("offers", at=NOON + 3 * SECOND).allowed

    def test_a_withdrawal_of_all_waits_for_the_confirmation_and_ends_it(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        link = stage.link(stage.sign_up(form, NEWS))

        with stage.act() as session:
            confirmation.confirm(
                session, secret=link.secret, code=None, confirmation=an_act("button_pressed"), at=NOON + SECOND
            )
            with meanwhile(superuser_url, lambda: stage.withdraw(at=NOON)) as withdrawn:
                session.commit()

        assert [each.channel for each in withdrawn.result().withdrawn] == ["email", "email"]
        assert stage.check(at=NOON + 2 * SECOND).reason == "consent_withdrawn"

    def test_a_withdrawal_by_id_cancels_too_what_is_being_confirmed(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        subject_id = stage.give(form, OFFERS).subject_id
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))

        with stage.act() as session:
            withdrawal.withdraw(
                session,
                reference=SubjectReference(id=subject_id),
                scope=Scope("newsletter", None),
                reason="unsubscribe_page",
                act=None,
                actor=trail.SUBJECT,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: stage.confirm(link, at=NOON + 2 * SECOND)) as confirmed:
                session.commit()

        assert confirmed.result().state == "confirmed"
        assert stage.check(at=NOON + 3 * SECOND).reason == "consent_withdrawn"
        assert stage.check("offers", at=NOON + 3 * SECOND).status == "renewed"

    def test_raced_many_times_the_no_that_came_last_stands(self, stage: Stage, form: FormVersion) -> None:
        for turn in range(8):
            at = NOON + turn * SECOND
            link = stage.link(stage.sign_up(form, NEWS, at=at), at=at)

            together(lambda: stage.confirm(link, at=at), lambda: stage.withdraw(at=at))  # noqa: B023 - runs at once

            assert not stage.check(at=at + SECOND).allowed


class TestObjectionMeetsConfirmation:
    def test_what_a_running_objection_cancels_is_not_confirmed(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        subject_id = stage.give(form, OFFERS).subject_id
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))

        with stage.act() as session:
            objection.object_to(
                session,
                reference=SubjectReference(id=subject_id),
                scope=Scope("newsletter", None),
                reason="said_so",
                actor=trail.SUBJECT,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: stage.confirm(link, at=NOON + 2 * SECOND)) as confirmed:
                session.commit()

        assert confirmed.result().state == "confirmed"
        assert stage.check(at=NOON + 3 * SECOND).reason == "objected"
        assert stage.check("offers", at=NOON + 3 * SECOND).allowed


class TestClocksOfTwoNodes:
    def test_an_objection_of_a_node_whose_clock_is_behind_still_stands(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS, at=NOON + SECOND)

        stage.object_to(at=NOON)

        assert stage.check(at=NOON + 2 * SECOND).reason == "objected"

    @pytest.mark.rule("WD-02")
    def test_what_a_node_ahead_acknowledged_holds_at_once_for_one_behind(self, stage: Stage, form: FormVersion) -> None:
        subject_id = stage.give(form, NEWS).subject_id
        stage.give(form, OFFERS, email=OLA)

        stage.withdraw(at=NOON + SECOND)
        stage.object_to(OLA, at=NOON + SECOND)

        assert stage.check(at=NOON).reason == "consent_withdrawn"
        assert stage.check("offers", who=OLA, at=NOON).reason == "objected"
        with stage.act() as session:
            assert subject_id is not None
            restriction.restrict(session, subject_id=subject_id, reason="Art. 18", actor=trail.SYSTEM, at=NOON + SECOND)
        assert stage.check(at=NOON).reason == "restricted"

    def test_a_restriction_is_lifted_by_a_node_behind(self, stage: Stage, form: FormVersion) -> None:
        subject_id = stage.give(form, NEWS).subject_id
        assert subject_id is not None

        with stage.act() as session:
            said: dict[str, Any] = {"subject_id": subject_id, "reason": "Art. 18", "actor": trail.SYSTEM}
            changes = [
                restriction.restrict(session, at=NOON + SECOND, **said),
                restriction.lift(session, at=NOON, **said),
                restriction.restrict(session, at=NOON, **said),
                restriction.lift(session, at=NOON, **said),
            ]

        assert changes == [True] * 4
        assert stage.check(at=NOON + 2 * SECOND).allowed


class TestGuessing:
    def test_guesses_at_once_are_counted_one_by_one(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS))
        wrong = f"{(int(link.code) + 1) % 1_000_000:06}"

        views = together(*[lambda: stage.confirm(link, code=wrong)] * 6)

        assert sorted(view.tries_left for view in views if view.code_wrong) == [0, 1, 2, 3, 4]
        assert stage.confirm(link, code=link.code).state == "expired"
        assert stage.confirm(link).state == "expired"


class TestDoubleConfirmation:
    def test_two_presses_at_once_are_one_consent(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS))

        views = together(*[lambda: stage.confirm(link, at=NOON + SECOND)] * 4)

        assert {view.state for view in views} == {"confirmed"}
        assert stage.check(at=NOON + SECOND).status == "given"
        assert len([view for view in views if view.consent_ids]) == 1

    def test_two_requests_of_one_address_become_one_person(self, stage: Stage, form: FormVersion) -> None:
        links = [stage.link(stage.sign_up(form, box)) for box in (NEWS, OFFERS)]

        views = together(*[lambda link=link: stage.confirm(link, at=NOON + SECOND) for link in links])

        assert len({view.subject_id for view in views}) == 1
        assert stage.check(at=NOON + SECOND).allowed
        assert stage.check("offers", at=NOON + SECOND).allowed
