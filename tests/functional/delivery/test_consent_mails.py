"""The mails that ask a person to confirm, or bring the link to the preference centre: what they say, to whom, when."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from consent_service.audit import trail
from consent_service.consent import (
    capture,
    confirmation,
    messages,
    objection,
    preference_links,
    preferences,
    public_links,
    signup_requests,
)
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.confirmation import ConfirmationView
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.public_links import SecretLink
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import Database
from consent_service.delivery import worker
from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.models import OutboxMessage
from consent_service.errors import LinkExpiredError, MailUnavailableError, RecipientRefusedError
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from tests.builders import EMAIL_FIELD, NAME_FIELD, NOON, PHONE_FIELD, a_controller, a_form, a_published_purpose

KARI = "Kari.Nordmann@blåbær.example"
KARI_ON_THE_WIRE = "Kari.Nordmann@xn--blbr-roah.example"
PUBLIC_URL = "https://samtykke.example"


@dataclass
class Postbox:
    """Takes every mail, unless it is told to answer otherwise."""

    mails: list[OutgoingMail] = field(default_factory=list)
    answer: Exception | None = None

    def send(self, mail: OutgoingMail) -> None:
        if self.answer is not None:
            raise self.answer
        self.mails.append(mail)


@dataclass
class World:
    """A controller whose form offers two purposes by mail and one by SMS, and a worker with a postbox."""

    database: Database
    worker_database: Database
    controller: str
    form: FormVersion
    postbox: Postbox = field(default_factory=Postbox)

    def sign_up(
        self,
        *,
        ticked: Iterable[str] = ("newsletter",),
        name: str = "Kari",
        language: str = "nb",
        at: datetime = NOON,
    ) -> None:
        with self.database.transaction(self.controller) as session:
            shown = forms.shown(session, form=self.form, language=language, at=at)
            answer = SignupAnswer(
                email=fields.parse_email(KARI),
                phone=fields.parse_phone("+4790000000"),
                ticked=tuple(box for box in shown.boxes if box.purpose in ticked),
                personal_fields=(("name", name),),
            )
            capture.record_signup(session, form=shown, answer=answer, submission=an_act(at), actor=trail.SUBJECT, at=at)

    def ask_for_preferences(self, *, at: datetime = NOON) -> None:
        with self.database.transaction(self.controller) as session:
            preference_links.ask(session, contact=fields.parse_email(KARI), language="nb", at=at)

    def deliver(self, *, at: datetime = NOON) -> list[OutgoingMail]:
        """Let the worker do what is due, and return the mails that came of it."""
        before = len(self.postbox.mails)
        handlers = messages.handlers(public_url=PUBLIC_URL)
        worker.drain(self.worker_database, handlers=handlers, transport=self.postbox, at=at)
        return self.postbox.mails[before:]

    def deliver_one(self, *, at: datetime = NOON) -> OutgoingMail:
        [mail] = self.deliver(at=at)
        return mail

    def confirm(self, mail: OutgoingMail, *, code: str | None = None, at: datetime = NOON) -> ConfirmationView:
        link = public_links.read_confirmation(self.database.keyring, token_of(mail, "c"))
        with self.database.transaction(link.controller_id) as session:
            return confirmation.confirm(session, secret=link.secret, code=code, confirmation=an_act(at), at=at)

    def states(self) -> list[str]:
        with self.database.transaction(self.controller) as session:
            rows = session.scalars(select(OutboxMessage.state).order_by(OutboxMessage.created_at, OutboxMessage.id))
            return list(rows)


@pytest.fixture
def world(database: Database, worker_database: Database) -> World:
    controller = a_controller(database, key="nordlys", at=NOON)
    with database.transaction(controller) as session:
        for purpose, channel in (("newsletter", "email"), ("offers", "email"), ("alerts", "sms")):
            a_published_purpose(session, key=purpose, channels=(channel,), at=NOON)
        form = a_form(
            session,
            offers=(("newsletter", "email"), ("offers", "email"), ("alerts", "sms")),
            fields=(EMAIL_FIELD, PHONE_FIELD, NAME_FIELD),
            at=NOON,
        )
    return World(database, worker_database, controller, form)


def an_act(at: datetime) -> ActEvidence:
    return ActEvidence(method="web_form", act="checkbox_ticked", occurred_at=at)


def token_of(mail: OutgoingMail, room: str) -> str:
    found = re.search(rf"{PUBLIC_URL}/{room}/(\S+?)(?:/reject)?\n", mail.text)
    assert found is not None
    return found[1]


def code_of(mail: OutgoingMail) -> str:
    found = re.search(r"\b\d{6}\b", mail.text)
    assert found is not None
    return found[0]


class Addresses(HTMLParser):
    """Collects what an HTML mail links to, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for name, value in found.items() if name == "href" and value]
        self.loaded += [value for name, value in found.items() if name in {"src", "srcset", "background"} and value]
        if tag in {"img", "link", "script", "iframe", "object", "video"}:
            self.loaded.append(tag)


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

        world.sign_up(ticked=("offers",))

        assert world.deliver() == []
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
    def test_the_same_answer_fifty_times_is_one_mail_and_one_resend(self, world: World) -> None:
        for seconds in range(25):
            world.sign_up(at=NOON + timedelta(seconds=seconds))
        first = world.deliver(at=NOON + timedelta(minutes=1))
        for seconds in range(25):
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
