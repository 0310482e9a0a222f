"""The page for the code of an SMS: it confirms with number and code, and tells nobody which numbers wait."""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from consent_service import clock as wall_clock
from consent_service.audit import trail
from consent_service.consent import evidence, messages
from consent_service.db.session import Database
from consent_service.delivery import worker
from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.sms import OutgoingSms
from tests import builders
from tests.functional.pages.conftest import KARI, FormUnderTest, Stored
from tests.functional.pages.reading import Page

PHONE = "900 00 000"
VISIT = re.compile(r'name="visit" value="[^"]*"')


@dataclass
class Postbox:
    """Takes mails and SMS."""

    mails: list[OutgoingMail] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def send(self, message: OutgoingMail | OutgoingSms) -> None:
        if isinstance(message, OutgoingSms):
            self.texts.append(message.text)
        else:
            self.mails.append(message)


@dataclass
class Phones:
    """What is sent to phones, and a page to type it on."""

    form: FormUnderTest
    database: Database
    worker_database: Database
    postbox: Postbox = field(default_factory=Postbox)

    @property
    def path(self) -> str:
        return f"{self.form.path}/code"

    def deliver(self) -> int:
        handlers = messages.handlers(public_url="http://127.0.0.1:8000")
        worker.drain(
            self.worker_database,
            handlers=handlers,
            transport=self.postbox,
            sms_transport=self.postbox,
            at=wall_clock.now(),
        )
        return len(self.postbox.texts)

    def code(self) -> str:
        """Let the worker send what is due, and return the newest code."""
        self.deliver()
        found = re.search(r"\b\d{6}\b", self.postbox.texts[-1])
        assert found is not None
        return found[0]

    def sign_up(self, *ticked: str, email: str = KARI, phone: str = PHONE) -> TestResponse:
        return self.form.send(self.form.open(), ticked=ticked or ("offers:sms",), email=email, phone=phone)

    def type(self, page: Page, **typed: str) -> TestResponse:
        """Fill in the page's form for the code and send it."""
        return self.form.client.post(page.form.action, data={**page.form.fields, **typed})

    def may_text(self) -> bool:
        at = wall_clock.now() + timedelta(seconds=1)
        with self.database.transaction(self.form.controller_id) as session:
            return builders.a_check(session, phone="+4790000000", purpose="offers", channel="sms", at=at).allowed

    def signals(self) -> dict[str, object]:
        """Return the signals of the confirmation that was recorded for the number."""
        at = wall_clock.now() + timedelta(seconds=1)
        with self.database.transaction(self.form.controller_id) as session:
            decision = builders.a_check(session, phone="+4790000000", purpose="offers", channel="sms", at=at)
            assert decision.consent_id is not None
            [opened] = evidence.reveal(
                session, consent_id=decision.consent_id, reason="a complaint", actor=trail.SYSTEM, at=at
            )
        return dict(opened.statement["acts"]["confirmation"]["signals"])


@pytest.fixture
def phones(form: FormUnderTest, database: Database, worker_database: Database) -> Phones:
    """Return what the code of the customer club needs."""
    return Phones(form, database, worker_database)


class TestAfterTheForm:
    def test_for_the_phone_alone_it_speaks_of_no_mail(self, phones: Phones) -> None:
        text = phones.sign_up("offers:sms").text

        assert "Vi sender en SMS med en kode til <strong>+47 ••• •• 000</strong>" in text
        assert "e-post til" not in text
        assert "søppelpost" not in text

    def test_for_a_mail_alone_it_asks_for_no_code(self, phones: Phones) -> None:
        answer = phones.sign_up("newsletter:email")

        assert Page(answer.text).forms == []
        assert "SMS" not in answer.text

    def test_for_both_it_says_both(self, phones: Phones) -> None:
        text = phones.sign_up("newsletter:email", "offers:sms").text

        assert "To ting gjenstår" in text
        assert "k•••@k•••.example" in text
        assert "+47 ••• •• 000" in text

    @pytest.mark.rule("DOI-02")
    @pytest.mark.rule("DOI-14")
    def test_the_code_typed_there_binds_person_visit_and_number(self, phones: Phones) -> None:
        page = Page(phones.sign_up().text)

        answer = phones.type(page, code=phones.code())

        assert answer.status_code == 200
        assert "Takk, det er bekreftet" in answer.text
        assert "Ja, jeg vil ha offers på sms" in answer.text
        assert phones.may_text()
        assert phones.signals() == {
            "code_typed": True,
            "session_bound": True,
            "sms_accepted_at": "2026-03-02T12:00:20+00:00",
        }

    @pytest.mark.rule("DOI-14")
    def test_the_code_is_in_no_address(self, phones: Phones) -> None:
        page = Page(phones.sign_up().text)

        assert page.form.action == phones.path
        assert ("form", "post") in [(tag, values.get("method")) for tag, values in page.tags]

    def test_known_and_unknown_numbers_are_answered_alike(self, phones: Phones) -> None:
        unknown = VISIT.sub("", phones.sign_up().text)
        phones.type(Page(phones.sign_up().text), code=phones.code())

        known = VISIT.sub("", phones.sign_up().text)

        assert known == unknown


class TestHostedPage:
    def test_it_serves_whoever_comes_from_elsewhere(self, phones: Phones) -> None:
        phones.sign_up()
        code = phones.code()

        answer = phones.type(Page(phones.form.client.get(phones.path).text), phone=PHONE, code=f"{code[:3]} {code[3:]}")

        assert "Takk, det er bekreftet" in answer.text
        assert phones.signals()["session_bound"] is False

    def test_a_visit_for_another_number_ties_nothing(self, phones: Phones) -> None:
        other = Page(phones.sign_up(phone="900 00 001").text)
        phones.sign_up()

        phones.type(other, phone=PHONE, code=phones.code())

        assert phones.signals()["session_bound"] is False

    def test_wrong_number_wrong_code_and_no_request_are_answered_alike(self, phones: Phones) -> None:
        phones.sign_up()
        code = phones.code()
        page = Page(phones.form.client.get(phones.path).text)

        unknown = phones.type(page, phone="900 00 002", code=code)
        wrong = phones.type(page, phone=PHONE, code=f"{(int(code) + 1) % 1_000_000:06}")

        assert (unknown.status_code, wrong.status_code) == (422, 422)
        assert unknown.text.replace("900 00 002", PHONE) == wrong.text
        assert not phones.may_text()

    def test_a_second_press_says_that_it_is_done(self, phones: Phones) -> None:
        page = Page(phones.sign_up().text)
        code = phones.code()
        phones.type(page, code=code)

        again = phones.type(page, code=code)

        assert again.status_code == 200
        assert "Allerede bekreftet" in again.text

    @pytest.mark.parametrize(
        ("typed", "fault"),
        [
            ({"phone": "", "code": "123456"}, "Skriv mobilnummeret ditt."),
            ({"phone": "kari", "code": "123456"}, "Dette er ikke et telefonnummer."),
            ({"phone": PHONE, "code": ""}, "Skriv de seks sifrene"),
            ({"phone": PHONE, "code": "abc"}, "Nummeret og koden hører ikke sammen"),
        ],
    )
    def test_what_is_missing_is_said(self, phones: Phones, typed: dict[str, str], fault: str) -> None:
        answer = phones.type(Page(phones.form.client.get(phones.path).text), **typed)

        assert answer.status_code == 422
        assert fault in answer.text

    def test_a_new_code_is_sent_to_a_number_that_waits_and_the_answer_does_not_tell(self, phones: Phones) -> None:
        phones.sign_up()
        phones.deliver()
        page = Page(phones.form.client.get(phones.path).text)

        waiting = phones.type(page, phone=PHONE, again="1")
        unknown = phones.type(page, phone="900 00 002", again="1")

        assert waiting.status_code == 200
        assert unknown.text.replace("900 00 002", PHONE) == waiting.text
        assert phones.deliver() == 2

    def test_one_network_can_guess_only_so_often(self, phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
        extensions = phones.form.client.application.extensions
        service = extensions["consent_service"]
        limited = replace(service, settings=replace(service.settings, signups_per_ip_per_hour=3))
        monkeypatch.setitem(extensions, "consent_service", limited)
        phones.sign_up()
        page = Page(phones.form.client.get(phones.path).text)

        statuses = [phones.type(page, phone=PHONE, code="abc").status_code for _ in range(4)]

        assert statuses == [422, 422, 422, 429]

    @pytest.mark.rule("DOI-03")
    def test_fetching_it_changes_nothing(self, phones: Phones, stored: Stored) -> None:
        phones.sign_up()
        code = phones.code()

        for query in ("", "?lang=en", f"?phone=%2B4790000000&code={code}"):
            phones.form.client.get(f"{phones.path}{query}")
            phones.form.client.head(f"{phones.path}{query}")

        assert stored.entries() == 0

    @pytest.mark.parametrize(
        ("language", "title"),
        [
            ("nb", "Bekreft telefonnummeret ditt"),
            ("nn", "Stadfest telefonnummeret ditt"),
            ("en", "Confirm your phone number"),
        ],
    )
    def test_it_speaks_the_languages_of_the_form(self, phones: Phones, language: str, title: str) -> None:
        answer = phones.form.client.get(f"{phones.path}?lang={language}")

        assert f"<h1>{title}</h1>" in answer.text
        assert answer.headers["Content-Language"] == language
        assert answer.headers["Cache-Control"] == "no-store"

    def test_a_form_that_nobody_made_has_no_such_page(self, phones: Phones) -> None:
        assert phones.form.client.get("/f/unknown/code").status_code == 404
