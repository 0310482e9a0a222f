"""A no of somebody whom nobody knows: it is heard for the address, and what cannot be heard is said to be."""

from datetime import timedelta

import pytest

from consent_service.consent import preference_links, preferences, public_links, unsubscribing
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import keyring_of
from consent_service.errors import InvalidInputError, PurposeUnknownError, SubjectUnknownError, SuppressedError
from consent_service.registry import purposes
from consent_service.registry.forms import FormVersion
from consent_service.subjects import suppression
from consent_service.subjects.identity import SubjectReference
from tests.acts import KARI, OLA, PHONE, Stage, an_act, contact, external
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS, OFFERS, TEXTS

HOUR = timedelta(hours=1)


@pytest.fixture
def club(stage: Stage) -> FormVersion:
    """Let the till report a purpose that is not confirmed."""
    stage.purpose("club", double_opt_in=False, channels=("email", "sms"))
    return stage.form(("club", "email"), ("club", "sms"), key="till")


class TestWithdrawal:
    @pytest.mark.usefixtures("club")
    @pytest.mark.parametrize(
        ("scope", "stopped"),
        [
            ((None, None), {("club", "email"), NEWS, OFFERS}),
            (("club", None), {("club", "email")}),
            ((None, "email"), {("club", "email"), NEWS, OFFERS}),
            ((None, "sms"), set()),
            (("club", "email"), {("club", "email")}),
        ],
    )
    def test_stops_what_it_was_meant_for(
        self, stage: Stage, scope: tuple[str | None, str | None], stopped: set[tuple[str, str]]
    ) -> None:
        stage.withdraw(KARI, *scope)

        asked = (("club", "email"), NEWS, OFFERS)
        reasons = {pair: stage.check(*pair, at=NOON + HOUR).reason for pair in asked}
        assert {pair for pair, reason in reasons.items() if reason == "suppressed"} == stopped

    @pytest.mark.rule("WD-04")
    def test_what_the_person_confirms_later_is_lifted_and_nothing_else(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.withdraw()

        stage.give(form, NEWS, at=NOON + HOUR)

        assert stage.check(at=NOON + 2 * HOUR).allowed
        assert stage.check("offers", at=NOON + 2 * HOUR).reason == "suppressed"
        with pytest.raises(SuppressedError):
            stage.report(club, ("club", "email", True), at=NOON + 2 * HOUR)

    def test_a_number_is_stopped_as_an_address_is(self, stage: Stage, club: FormVersion) -> None:
        stage.withdraw(PHONE)

        assert stage.check("newsletter", "sms", who=PHONE, at=NOON + HOUR).reason == "suppressed"
        with pytest.raises(SuppressedError):
            stage.report(club, ("club", "sms", True), who=PHONE, at=NOON + HOUR)

    def test_other_addresses_and_the_past_are_not_touched(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS, email=OLA)

        stage.withdraw(at=NOON + HOUR)

        assert stage.check(who=OLA, at=NOON + HOUR).allowed
        assert stage.check(as_of=NOON, at=NOON + HOUR).reason == "no_consent"

    def test_a_number_of_another_system_that_comes_with_an_address_is_heard_for_that(
        self, stage: Stage, club: FormVersion
    ) -> None:
        stage.report(club, ("club", "email", True))

        stage.withdraw(external("nobody", point=KARI), at=NOON + HOUR)
        stage.object_to(external("nobody", point=OLA), at=NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).reason == "suppressed"
        assert stage.check("club", who=OLA, at=NOON + HOUR).reason == "suppressed"

    @pytest.mark.parametrize(
        "who",
        [
            external("nobody"),
            SubjectReference(id="sub_" + "0" * 26),
            SubjectReference(id="sub_" + "0" * 26, contact_point=contact(KARI)),
        ],
    )
    def test_what_cannot_be_heard_is_not_acknowledged(self, stage: Stage, who: SubjectReference) -> None:
        with pytest.raises(SubjectUnknownError):
            stage.withdraw(who)
        with pytest.raises(SubjectUnknownError):
            stage.object_to(who)


class TestMisspelt:
    @pytest.mark.parametrize("purpose", ["newsleter", "", "NEWSLETTER", "*"])
    def test_a_purpose_never_means_all(self, stage: Stage, form: FormVersion, purpose: str) -> None:
        stage.give(form, NEWS)

        with pytest.raises(PurposeUnknownError):
            stage.withdraw(purpose=purpose)
        with pytest.raises(PurposeUnknownError):
            stage.object_to(purpose=purpose)

        assert stage.check().allowed

    @pytest.mark.parametrize("channel", ["e-mail", "", "SMS"])
    def test_a_channel_never_means_all(self, stage: Stage, form: FormVersion, channel: str) -> None:
        stage.give(form, NEWS)

        with pytest.raises(InvalidInputError):
            stage.withdraw(channel=channel)
        with pytest.raises(InvalidInputError):
            stage.object_to(channel=channel)

        assert stage.check().allowed


class TestNumberThatWaits:
    @pytest.mark.rule("DOI-02")
    def test_its_box_is_not_confirmed_by_mail_and_a_no_to_the_number_cancels_it(
        self, stage: Stage, form: FormVersion
    ) -> None:
        link = stage.link(stage.sign_up(form, NEWS, TEXTS, phone=PHONE))
        stage.confirm(link, at=NOON + HOUR)
        assert stage.check("newsletter", "sms", who=PHONE, at=NOON + HOUR).reason == "confirmation_pending"

        stage.withdraw(PHONE, at=NOON + 2 * HOUR)

        assert stage.check("newsletter", "sms", who=PHONE, at=NOON + 2 * HOUR).reason == "suppressed"
        assert stage.check(at=NOON + 2 * HOUR).allowed


class TestPageOfALinkInASendersMail:
    @pytest.mark.rule("WD-01")
    def test_everything_can_be_withdrawn_there_by_somebody_nobody_knows(self, stage: Stage, form: FormVersion) -> None:
        del form
        with stage.act() as session:
            made = public_links.sender_links(
                session,
                reference=SubjectReference(contact=contact(KARI)),
                scope=Scope(None, None),
                public_url="https://consent.example",
                at=NOON,
            )
            token = made.preferences_url.rpartition("/")[2]
            link = public_links.read_preferences(keyring_of(session), token)
        with stage.act() as session:
            visitor = preference_links.visitor_of(session, link=link, at=NOON)
            preferences.withdraw_all(session, visitor=visitor, act=an_act("button_pressed"), at=NOON)

        assert stage.check(at=NOON + HOUR).reason == "suppressed"

    def test_a_yes_that_was_asked_for_before_is_overtaken(self, stage: Stage, form: FormVersion) -> None:
        with stage.act() as session:
            hashed = suppression.address_hash(session, contact(KARI))
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))
        with stage.act() as session:
            unsubscribing.stop_hashed(
                session,
                hashed=hashed,
                index=None,
                purpose=purposes.get(session, key="newsletter"),
                channel=None,
                reason="unsubscribe_page",
                act=an_act("button_pressed"),
                at=NOON + timedelta(minutes=1),
            )

        stage.confirm(link, at=NOON + HOUR)

        assert not stage.check(at=NOON + 2 * HOUR).allowed
        assert stage.check("offers", at=NOON + 2 * HOUR).allowed


class TestReportedNo:
    def test_cancels_what_waits_for_the_same(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))

        stage.report(form, (*NEWS, False), at=NOON + timedelta(minutes=1))
        stage.confirm(link, at=NOON + HOUR)

        assert not stage.check(at=NOON + 2 * HOUR).allowed
        assert stage.check("offers", at=NOON + 2 * HOUR).allowed


class TestObjectionWithAnAddress:
    def test_holds_for_the_address_too_where_it_is_not_the_persons(self, stage: Stage, form: FormVersion) -> None:
        subject_id = stage.give(form, NEWS).subject_id
        assert subject_id is not None

        stage.object_to(SubjectReference(id=subject_id, contact_point=contact(OLA)), at=NOON + HOUR)

        assert stage.check(who=OLA, at=NOON + 2 * HOUR).reason == "suppressed"
        assert stage.check(at=NOON + 2 * HOUR).reason == "objected"
