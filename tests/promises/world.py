"""The world in which promises are tried: a controller with a form, its systems, its mail, and people.

Everything goes through the doors that people and systems use: pages and API over HTTP, mail over SMTP, rows in
PostgreSQL. Nothing of the service is replaced.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service import app as composition
from consent_service import clock as service_clock
from consent_service.config import Settings
from consent_service.db.session import Database
from consent_service.delivery import worker
from tests import builders
from tests.functional.pages.reading import Page, PageForm
from tests.smtp_sink import SmtpSink, text_of

NEWSLETTER = "newsletter:email"
OFFERS = "offers:sms"
#: As long as a person looks at a page before pressing anything.
A_WHILE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Company:
    """A controller as the outside sees it: its form, and the key of its own systems."""

    key: str
    controller_id: str
    form_id: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class World:
    """The running service with its clock, and what stands around it."""

    client: FlaskClient
    database: Database
    worker_database: Database
    settings: Settings
    sink: SmtpSink
    clock: time_machine.Traveller

    def a_company(self, key: str = "nordlys") -> Company:
        """Set up a controller with a newsletter by e-mail, offers by SMS, a form for both and an API key."""
        controller_id = builders.a_controller(self.database, key=key)
        with self.database.transaction(controller_id) as session:
            builders.a_published_purpose(session, key="newsletter")
            builders.a_published_purpose(session, key="survey", double_opt_in=False)
            builders.a_published_purpose(session, key="offers", channels=("sms",))
            form = builders.a_form(
                session,
                offers=(("newsletter", "email"), ("survey", "email"), ("offers", "sms")),
                fields=(builders.EMAIL_FIELD, builders.PHONE_FIELD, builders.NAME_FIELD),
                origins=("https://shop.example",),
            )
            api_key = builders.an_api_key(session)
        return Company(key, controller_id, form.form_id, api_key)

    def mail_goes_out(self) -> int:
        """Let the worker hand over what is due; return how many messages it handled."""
        return worker.drain(
            self.worker_database,
            handlers=composition.message_handlers(self.settings),
            transport=composition.mail_transport(replace(self.settings, mail_port=self.sink.port)),
            at=service_clock.now(),
        )

    def time_passes(self, duration: timedelta = A_WHILE) -> None:
        """Move the clock forward."""
        self.clock.shift(duration)

    def call(self, company: Company, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> TestResponse:
        """Call the API as one of the company's systems: POST with a body, else GET."""
        headers = {"Authorization": f"Bearer {company.api_key}", **headers}
        if body is None:
            return self.client.get(path, headers=headers)
        return self.client.post(path, json=body, headers=headers)

    def check(
        self,
        company: Company,
        email: str,
        *,
        purpose: str = "newsletter",
        channel: str = "email",
        subject: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask whether somebody may be contacted, a moment after whatever happened last."""
        self.time_passes(timedelta(seconds=1))
        answer = self.call(
            company, "/v1/checks", {"subject": subject or {"email": email}, "purpose": purpose, "channel": channel}
        )
        assert answer.status_code == 200
        decision = answer.json
        assert isinstance(decision, dict)
        return decision

    def a_subscriber(self, company: Company, email: str) -> "Person":
        """Let somebody sign up for the newsletter and confirm it."""
        person = Person(self, company, email)
        person.signs_up()
        self.mail_goes_out()
        person.confirms()
        return person


@dataclass(slots=True)
class Person:
    """Somebody with a browser and a mailbox; `acts` counts what she had to do with her hands."""

    world: World
    company: Company
    email: str
    acts: list[str] = field(default_factory=list)

    def opens(self, path: str, **headers: str) -> Page:
        """Open a page and read it for a while."""
        self.acts.append("open")
        answer = self.world.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.status
        self.world.time_passes()
        return Page(answer.text)

    def presses(self, form: PageForm, data: Mapping[str, str | list[str]] | None = None) -> TestResponse:
        """Press the button of a form."""
        self.acts.append("press")
        return self.world.client.post(form.action, data={**form.fields, **(data or {})})

    def signs_up(
        self, ticking: Iterable[str] = (NEWSLETTER,), *, phone: str = "", name: str = "", language: str = "nb"
    ) -> TestResponse:
        """Open the company's form, fill it in, tick boxes and send it."""
        page = self.opens(f"/f/{self.company.form_id}?lang={language}")
        ticked = list(ticking)
        self.acts += ["type", *("tick" for _ in ticked)]
        typed: dict[str, str | list[str]] = {"email": self.email, "consent": ticked}
        typed |= {"phone": phone} if phone else {}
        typed |= {"field_name": name} if name else {}
        return self.presses(page.form, typed)

    def mails(self) -> list[EmailMessage]:
        """Return what lies in the mailbox, oldest first."""
        return self.world.sink.messages_to(self.email)

    def link(self, kind: str = "c") -> str:
        """Return the path of the newest link of a kind in the mailbox: `c` to confirm, `p` to choose."""
        found = re.findall(rf"https?://\S+?(/{kind}/[\w.~-]+)(?=\s|$)", text_of(self.mails()[-1]))
        return str(urlsplit(found[0]).path)

    def code(self) -> str:
        """Return the code of the newest mail."""
        found = re.search(r"\b(\d{6})\b", text_of(self.mails()[-1]))
        assert found is not None
        return str(found[1])

    def confirms(self) -> TestResponse:
        """Open the link of the newest mail and press its button."""
        page = self.opens(self.link())
        answer = self.presses(page.forms[0])
        assert answer.status_code == 200, answer.status
        return answer

    def asks_for_her_choices(self) -> Page:
        """Ask for the link to the preference centre, wait for the mail, and open it."""
        page = self.opens(f"/p?controller={self.company.key}&lang=nb")
        self.acts.append("type")
        self.presses(page.form, {"email": self.email})
        self.world.mail_goes_out()
        return self.opens(self.link("p"))

    def is_on_the_list(self, purpose: str = "newsletter") -> bool:
        """Say whether the company is told yes about her."""
        return bool(self.world.check(self.company, self.email, purpose=purpose)["allowed"])
