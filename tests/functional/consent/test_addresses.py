"""Several people under one address: each gives for themselves, and anybody's no about the address binds it for all."""

from datetime import timedelta

import pytest

from consent_service.errors import ObjectedError, SuppressedError
from consent_service.registry.forms import FormVersion
from consent_service.subjects.identity import SubjectReference
from tests.acts import KARI, Stage, an_act, contact, external
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

HOUR = timedelta(hours=1)
TILL_CUSTOMER = external("123", point=KARI)


@pytest.fixture
def club(stage: Stage) -> FormVersion:
    """Let the till report a purpose that is not confirmed by e-mail."""
    stage.purpose("club", double_opt_in=False)
    return stage.form(("club", "email"), key="till")


class TestAddressThatYields:
    def test_who_verifies_an_address_is_not_whoever_was_reported_under_it(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        reported = stage.report(club, ("club", "email", True)).subject_id

        proved = stage.give(form, NEWS, at=NOON + HOUR).subject_id

        assert proved != reported
        assert stage.check("club", at=NOON + 2 * HOUR).reason == "no_consent"
        assert stage.check("club", who=SubjectReference(id=reported, contact_point=contact(KARI))).allowed is False

    def test_what_held_before_it_yielded_can_still_be_asked(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.report(club, ("club", "email", True), at=NOON + HOUR, act=an_act(at=NOON))

        stage.give(form, NEWS, at=NOON + 3 * HOUR)

        assert stage.check("club", as_of=NOON, at=NOON + 4 * HOUR).allowed
        assert stage.check("club", as_of=NOON + 2 * HOUR, at=NOON + 4 * HOUR).allowed
        assert not stage.check("club", as_of=NOON + 3 * HOUR, at=NOON + 4 * HOUR).allowed
        assert not stage.check("newsletter", as_of=NOON + 2 * HOUR, at=NOON + 4 * HOUR).allowed

    @pytest.mark.rule("WD-04")
    def test_an_objection_outlives_it(self, stage: Stage, form: FormVersion, club: FormVersion) -> None:
        stage.report(club, ("club", "email", True))
        stage.object_to(at=NOON + HOUR)

        stage.give(form, NEWS, at=NOON + 2 * HOUR)

        assert stage.check(at=NOON + 3 * HOUR).allowed
        assert stage.check("club", at=NOON + 3 * HOUR).reason == "objected"
        with pytest.raises(ObjectedError):
            stage.report(club, ("club", "email", True), at=NOON + 3 * HOUR)

    def test_a_yes_from_before_the_withdrawal_that_is_reported_after_it_stays_no(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.report(club, ("club", "email", True))
        stage.withdraw(at=NOON + 2 * HOUR)
        stage.give(form, NEWS, at=NOON + 3 * HOUR)

        stage.report(club, ("club", "email", True), act=an_act(at=NOON + HOUR), at=NOON + 4 * HOUR)

        assert stage.check("club", at=NOON + 5 * HOUR).reason == "consent_withdrawn"

    def test_a_new_act_after_the_withdrawal_is_a_yes(self, stage: Stage, form: FormVersion, club: FormVersion) -> None:
        stage.report(club, ("club", "email", True))
        stage.withdraw(at=NOON + HOUR)
        stage.give(form, NEWS, at=NOON + 2 * HOUR)

        stage.report(club, ("club", "email", True), at=NOON + 3 * HOUR)

        assert stage.check("club", at=NOON + 4 * HOUR).allowed

    def test_unsubscribing_from_a_mail_to_whoever_was_reported_binds_who_verified(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        reported = stage.report(club, ("club", "email", True)).subject_id
        stage.give(form, NEWS, at=NOON + HOUR)

        stage.withdraw(SubjectReference(id=reported, contact_point=contact(KARI)), at=NOON + HOUR)

        assert stage.check(at=NOON + 2 * HOUR).reason == "suppressed"


class TestSharedAddress:
    def test_a_withdrawal_binds_everybody_who_is_reported_under_the_address(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.give(form, NEWS)
        stage.report(club, ("club", "email", True), who=TILL_CUSTOMER, at=NOON + HOUR)
        assert stage.check("club", who=TILL_CUSTOMER, at=NOON + HOUR).allowed

        stage.withdraw(at=NOON + 2 * HOUR)

        assert stage.check("club", who=TILL_CUSTOMER, at=NOON + 3 * HOUR).reason == "consent_withdrawn"

    def test_an_objection_binds_everybody_who_is_reported_under_the_address(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.give(form, NEWS)
        stage.report(club, ("club", "email", True), who=TILL_CUSTOMER, at=NOON + HOUR)

        stage.object_to(at=NOON + 2 * HOUR)

        assert stage.check("club", who=TILL_CUSTOMER, at=NOON + 3 * HOUR).reason == "objected"

    def test_nobody_is_reported_under_an_address_whose_holder_objected(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.give(form, NEWS)
        stage.object_to(at=NOON + HOUR)

        with pytest.raises(ObjectedError):
            stage.report(club, ("club", "email", True), who=TILL_CUSTOMER, at=NOON + 2 * HOUR)

    def test_one_persons_yes_is_not_anothers(self, stage: Stage, form: FormVersion, club: FormVersion) -> None:
        stage.give(form, NEWS)

        stage.report(club, ("club", "email", True), who=TILL_CUSTOMER, at=NOON + HOUR)

        assert stage.check("club", at=NOON + 2 * HOUR).reason == "no_consent"
        assert stage.check("newsletter", who=TILL_CUSTOMER, at=NOON + 2 * HOUR).reason == "no_consent"


class TestAddressThatIsNotTheirs:
    def test_a_no_that_names_it_is_heard_for_it_too(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, ("club", "email", True), who=external("123", point=KARI))
        other = external("123", point="kari@arbeid.example")

        stage.withdraw(other, at=NOON + HOUR)

        assert stage.check("club", who=TILL_CUSTOMER, at=NOON + 2 * HOUR).reason == "consent_withdrawn"
        assert stage.check("club", who=other, at=NOON + 2 * HOUR).reason == "suppressed"
        with pytest.raises(SuppressedError):
            stage.report(club, ("club", "email", True), who="kari@arbeid.example", at=NOON + 2 * HOUR)
