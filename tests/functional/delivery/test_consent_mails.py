"""The mails that ask a person to confirm, or bring the link to the preference centre: what they say."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from consent_service.consent import (
    preference_links,
    preferences,
    public_links,
)
from consent_service.consent.public_links import SecretLink
from consent_service.errors import LinkExpiredError, MailUnavailableError
from tests.builders import NOON
from tests.functional.delivery.world import KARI_ON_THE_WIRE, Addresses, World, code_of, token_of


class TestConfirmationMail:
    def test_it_says_who_asks_where_it_was_asked_and_what_for(self, world: World) -> None:
        world.sign_up(ticked=("newsletter", "offers"))

        mail = world.deliver_one()

        for part in (mail.text, mail.html):
            assert "Nordlys AS" in part
            assert "Kundeklubb (nb)" in part
        assert "- Ja, jeg vil ha newsletter på email fra Nordlys AS." in mail.text
        assert "- Ja, jeg vil ha offers på email fra Nordlys AS." in mail.text
        assert (mail.to, mail.sender_name) == (KARI_ON_THE_WIRE, "Nordlys")

    def test_it_speaks_the_language_of_the_form(self, world: World) -> None:
        world.sign_up(language="en")

        mail = world.deliver_one()

        assert "Yes, I want newsletter by email from Nordlys AS." in mail.text
        assert mail.subject == "Confirm your choices – Nordlys AS"

    def test_it_leaves_out_what_a_phone_number_must_confirm(self, world: World) -> None:
        world.sign_up(ticked=("newsletter", "alerts"))

        mail = world.deliver_one()

        assert "alerts" not in mail.text + mail.html

    @pytest.mark.rule("DOI-10")
    def test_nothing_that_was_typed_into_the_form_is_in_it(self, world: World) -> None:
        world.sign_up(name="Win $$$ http://evil.example")

        mail = world.deliver_one()

        assert "evil" not in mail.subject + mail.text + mail.html
        assert "$$$" not in mail.subject + mail.text + mail.html

    @pytest.mark.rule("DOI-11")
    def test_it_says_that_it_is_automatic_and_is_no_list(self, world: World) -> None:
        world.sign_up()

        mail = world.deliver_one()

        assert dict(mail.headers) == {"Auto-Submitted": "auto-generated"}

    @pytest.mark.rule("DOI-12")
    def test_it_loads_nothing_and_links_to_nobody_else(self, world: World) -> None:
        world.sign_up()

        mail = world.deliver_one()

        found = Addresses(mail.html)
        in_text = re.findall(r"https?://\S+", mail.text)
        assert found.loaded == []
        hosts = {urlsplit(link).hostname for link in [*found.links, *in_text] if not link.startswith("mailto:")}
        assert hosts == {"samtykke.example"}

    def test_its_link_confirms(self, world: World) -> None:
        world.sign_up(ticked=("newsletter", "offers"))

        view = world.confirm(world.deliver_one())

        assert (view.state, len(view.consent_ids)) == ("confirmed", 2)

    def test_its_code_confirms(self, world: World) -> None:
        world.sign_up()
        mail = world.deliver_one()

        assert world.confirm(mail, code=code_of(mail)).state == "confirmed"

    def test_its_repr_shows_neither_the_address_nor_the_link(self, world: World) -> None:
        world.sign_up()

        shown = repr(world.deliver_one())

        assert "blbr" not in shown
        assert "/c/" not in shown

    def test_an_outage_of_the_mail_server_is_no_second_mail_and_its_link_is_fresh(self, world: World) -> None:
        world.sign_up()
        world.postbox.answer = MailUnavailableError()
        for minutes in (0, 1, 6):
            world.deliver(at=NOON + timedelta(minutes=minutes))
        world.postbox.answer = None

        mail = world.deliver_one(at=NOON + timedelta(minutes=36))

        late = NOON + timedelta(hours=72, minutes=35)
        assert world.confirm(mail, at=late).state == "confirmed"


class TestPreferenceMail:
    def test_its_link_opens_the_preference_centre_for_an_hour(self, world: World) -> None:
        world.ask_for_preferences()
        mail = world.deliver_one()

        link = public_links.read_preferences(world.database.keyring, token_of(mail, "p"))

        assert isinstance(link, SecretLink)
        with world.database.transaction(world.controller) as session:
            soon = NOON + timedelta(minutes=59)
            visitor = preference_links.visitor_of(session, link=link, at=soon)
            view = preferences.view(session, visitor=visitor, language="nb", at=soon)
            assert view.can_give
            with pytest.raises(LinkExpiredError):
                preference_links.visitor_of(session, link=link, at=NOON + timedelta(minutes=60))

    def test_it_names_the_controller_and_nobody_elses_host(self, world: World) -> None:
        world.ask_for_preferences()

        mail = world.deliver_one()

        assert "Nordlys AS" in mail.subject
        hosts = {urlsplit(link).hostname for link in re.findall(r"https?://\S+", mail.text)}
        assert hosts == {"samtykke.example"}

    def test_an_outage_longer_than_the_link_lives_loses_nothing(self, world: World) -> None:
        world.ask_for_preferences()
        world.postbox.answer = MailUnavailableError()
        for minutes in (0, 1, 6, 36):
            world.deliver(at=NOON + timedelta(minutes=minutes))
        with world.database.transaction(world.controller) as session:
            preference_links.expire(session, at=NOON + timedelta(hours=2))
        world.postbox.answer = None
        back = NOON + timedelta(hours=2, minutes=36)

        mail = world.deliver_one(at=back)

        link = public_links.read_preferences(world.database.keyring, token_of(mail, "p"))
        with world.database.transaction(world.controller) as session:
            assert preference_links.visitor_of(session, link=link, at=back + timedelta(minutes=59)).can_give

    def test_a_request_that_waited_for_a_day_is_forgotten(self, world: World) -> None:
        world.ask_for_preferences()
        world.postbox.answer = MailUnavailableError()
        world.deliver()
        tomorrow = NOON + preference_links.WAITING_LIFETIME
        with world.database.transaction(world.controller) as session:
            forgotten = preference_links.expire(session, at=tomorrow)
        world.postbox.answer = None

        assert forgotten == 1
        assert world.deliver(at=tomorrow) == []

    def test_three_links_in_a_row_are_two_mails(self, world: World) -> None:
        for minutes in range(3):
            world.ask_for_preferences(at=NOON + timedelta(minutes=minutes))

        assert len(world.deliver(at=NOON + timedelta(minutes=5))) == 2
