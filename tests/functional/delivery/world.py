"""A controller whose forms bring about mails, and a worker whose mails end in a postbox."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser

from sqlalchemy import select

from consent_service.audit import trail
from consent_service.consent import (
    capture,
    confirmation,
    messages,
    preference_links,
    public_links,
)
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.confirmation import ConfirmationView
from consent_service.consent.evidence import ActEvidence
from consent_service.db.session import Database
from consent_service.delivery import worker
from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.models import OutboxMessage
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion
from consent_service.subjects import fields
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


def make_world(database: Database, worker_database: Database) -> World:
    """Make the controller and its form."""
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
