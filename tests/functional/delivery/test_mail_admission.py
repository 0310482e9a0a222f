"""Who is mailed and when: refusals, ended requests, and floods from strangers."""

from datetime import timedelta

import pytest

from consent_service.audit import trail
from consent_service.consent import (
    confirmation,
    objection,
    public_links,
    signup_requests,
)
from consent_service.consent.withdrawal import Scope
from consent_service.errors import MailUnavailableError, RecipientRefusedError
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from tests.builders import NOON
from tests.functional.delivery.world import KARI, World, token_of


class TestWhoIsMailed:
    def test_an_objection_does_not_stop_the_mail_of_a_form_act(self, world: World) -> None:
        reference = SubjectReference(contact=fields.parse_email(KARI))
        with world.database.transaction(world.controller) as session:
            objection.object_to(
                session, reference=reference, scope=Scope(None, None), reason="asked", actor=trail.SUBJECT, at=NOON
            )

        world.sign_up(at=NOON + timedelta(minutes=1))

        assert len(world.deliver(at=NOON + timedelta(minutes=1))) == 1

    def test_an_objection_stops_a_mail_that_waits_already(self, world: World) -> None:
        world.sign_up()
        reference = SubjectReference(contact=fields.parse_email(KARI))
        with world.database.transaction(world.controller) as session:
            objection.object_to(
                session, reference=reference, scope=Scope(None, None), reason="asked", actor=trail.SUBJECT, at=NOON
            )

        assert world.deliver() == []

    @pytest.mark.rule("DOI-08")
    def test_not_me_stops_further_mails_until_it_is_taken_back(self, world: World) -> None:
        world.sign_up()
        link = public_links.read_confirmation(world.database.keyring, token_of(world.deliver_one(), "c"))
        with world.database.transaction(world.controller) as session:
            confirmation.reject(session, secret=link.secret, code=None, at=NOON)

        world.sign_up(ticked=("offers",))
        stopped = world.deliver()
        with world.database.transaction(world.controller) as session:
            confirmation.undo_reject(session, secret=link.secret, at=NOON)
        world.sign_up(ticked=("offers",))
        sent = world.deliver()

        assert (len(stopped), len(sent)) == (0, 1)

    def test_an_address_that_bounced_is_left_alone(self, world: World) -> None:
        world.sign_up()
        world.postbox.answer = RecipientRefusedError()
        world.deliver()
        world.postbox.answer = None
        later = NOON + timedelta(minutes=1)

        world.sign_up(ticked=("offers",), at=later)

        assert world.deliver(at=later) == []
        assert world.states() == ["dead", "cancelled"]

    def test_a_mailbox_that_is_there_again_is_mailed_again(self, world: World) -> None:
        world.sign_up()
        world.postbox.answer = RecipientRefusedError()
        world.deliver()
        world.postbox.answer = None

        world.ask_for_preferences()
        world.deliver_one()
        world.sign_up()

        assert len(world.deliver()) == 1

    @pytest.mark.rule("DOI-07")
    def test_a_request_that_ended_is_not_mailed(self, world: World) -> None:
        world.sign_up()
        world.postbox.answer = MailUnavailableError()
        world.deliver()
        world.postbox.answer = None

        assert world.deliver(at=NOON + signup_requests.LIFETIME) == []
        assert world.states() == ["cancelled"]

    def test_what_is_confirmed_is_not_asked_for_again(self, world: World) -> None:
        world.sign_up()
        mail = world.deliver_one()
        world.sign_up()
        world.confirm(mail)

        assert world.deliver() == []


@pytest.mark.rule("DOI-09")
class TestFloods:
    def test_the_same_answer_many_times_is_one_mail_and_one_resend(self, world: World) -> None:
        for seconds in range(5):
            world.sign_up(at=NOON + timedelta(seconds=seconds))
        first = world.deliver(at=NOON + timedelta(minutes=1))
        for seconds in range(5):
            world.sign_up(at=NOON + timedelta(minutes=2, seconds=seconds))
        resend = world.deliver(at=NOON + timedelta(minutes=3))
        world.sign_up(at=NOON + timedelta(minutes=4))
        third = world.deliver(at=NOON + timedelta(minutes=5))

        assert [len(mails) for mails in (first, resend, third)] == [1, 1, 0]

    def test_fifty_different_answers_are_two_mails(self, world: World) -> None:
        for number in range(50):
            world.sign_up(name=f"Kari {number}", at=NOON + timedelta(seconds=number))

        assert len(world.deliver(at=NOON + timedelta(minutes=1))) == 2

    def test_a_flood_does_not_lock_the_person_out(self, world: World) -> None:
        for number in range(5):
            world.sign_up(name=f"stranger {number}", at=NOON + timedelta(seconds=number))
        world.deliver(at=NOON + timedelta(minutes=1))
        world.sign_up(ticked=("newsletter", "offers"), at=NOON + timedelta(hours=1))
        too_early = world.deliver(at=NOON + timedelta(hours=1))

        when_it_opens = world.deliver(at=NOON + timedelta(hours=24, minutes=1))

        assert too_early == []
        assert "offers" in when_it_opens[0].text
        assert world.confirm(when_it_opens[0], at=NOON + timedelta(hours=25)).state == "confirmed"

    def test_older_requests_that_the_newest_covers_are_cancelled_when_the_window_opens(self, world: World) -> None:
        for number in range(5):
            world.sign_up(name=f"Kari {number}", at=NOON + timedelta(seconds=number))
        world.deliver(at=NOON + timedelta(minutes=1))
        world.sign_up(ticked=("newsletter", "offers"), at=NOON + timedelta(hours=1))
        world.deliver(at=NOON + timedelta(hours=1))

        mails = world.deliver(at=NOON + timedelta(hours=24, minutes=1))

        assert len(mails) == 1
        assert sorted(world.states()) == ["cancelled"] * 3 + ["sent"] * 3

    def test_it_does_not_use_up_the_links_to_the_preference_centre(self, world: World) -> None:
        for number in range(5):
            world.sign_up(name=f"stranger {number}", at=NOON + timedelta(seconds=number))
        world.deliver(at=NOON + timedelta(minutes=1))

        world.ask_for_preferences(at=NOON + timedelta(minutes=2))

        assert len(world.deliver(at=NOON + timedelta(minutes=2))) == 1
