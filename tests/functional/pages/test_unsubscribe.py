"""One click out: what a mail client posts, what a person sees, and what a scanner cannot do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from consent_service import clock as wall_clock
from consent_service import identifiers
from consent_service.consent import confirmation, public_links
from consent_service.consent.public_links import SenderLinks
from consent_service.consent.withdrawal import Scope
from consent_service.crypto import links
from consent_service.db.session import Database, keyring_of
from consent_service.registry import forms
from consent_service.subjects import fields, suppression
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.functional.pages.conftest import KARI, FormUnderTest, Stored
from tests.functional.pages.reading import Page

PAIR = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def path(form: FormUnderTest, database: Database) -> str:
    """Return the unsubscribe link of a newsletter that was sent to Kari."""
    with database.transaction(form.controller_id) as session:
        builders.a_given_consent(session, email=KARI)
    return _link(form, database, KARI)


@pytest.fixture
def allowed(form: FormUnderTest, database: Database) -> Callable[[], bool]:
    """Return what asks a check about Kari's newsletter."""

    def ask() -> bool:
        form.clock.shift(timedelta(seconds=1))
        with database.transaction(form.controller_id) as session:
            return builders.a_check(session, email=KARI, at=wall_clock.now()).allowed

    return ask


def _link(form: FormUnderTest, database: Database, email: str) -> str:
    return _links(form, database, email).unsubscribe_url


def _links(form: FormUnderTest, database: Database, email: str) -> SenderLinks:
    with database.transaction(form.controller_id) as session:
        return public_links.sender_links(
            session,
            reference=SubjectReference(contact=fields.parse_email(email)),
            scope=Scope("newsletter", "email"),
            public_url="",
            at=wall_clock.now(),
        )


def press(form: FormUnderTest, path: str) -> TestResponse:
    """Open the page and press its button."""
    page = Page(form.client.get(path).text)
    return form.client.post(page.form.action, data=page.form.fields)


class TestOneClick:
    @pytest.mark.rule("MAIL-03")
    @pytest.mark.rule("MAIL-04")
    @pytest.mark.rule("WD-06")
    @pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
    def test_a_mail_client_withdraws_in_one_request(
        self, form: FormUnderTest, path: str, allowed: Callable[[], bool], media_type: str
    ) -> None:
        assert allowed()

        answer = form.client.post(path, data=PAIR, content_type=media_type)

        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        assert not allowed()

    @pytest.mark.rule("MAIL-03")
    @pytest.mark.parametrize("data", [{}, {"List-Unsubscribe": "x"}, {"list-unsubscribe": "One-Click"}])
    def test_a_body_without_the_pair_is_refused(
        self, form: FormUnderTest, path: str, allowed: Callable[[], bool], data: dict[str, str]
    ) -> None:
        assert form.client.post(path, data=data).status_code == 400
        assert allowed()

    @pytest.mark.rule("MAIL-02")
    def test_a_forged_link_does_nothing(self, form: FormUnderTest, path: str, allowed: Callable[[], bool]) -> None:
        forged = path[:-1] + ("A" if path[-1] != "A" else "B")

        assert form.client.post(forged, data=PAIR).status_code == 404
        assert allowed()

    def test_it_may_be_repeated(self, form: FormUnderTest, path: str) -> None:
        assert [form.client.post(path, data=PAIR).status_code for _ in range(3)] == [200, 200, 200]

    def test_an_address_that_nobody_knows_is_told_the_same(
        self, form: FormUnderTest, path: str, database: Database
    ) -> None:
        unknown = _link(form, database, "nobody@kunde.example")

        statuses = {form.client.post(each, data=PAIR).status_code for each in (path, unknown)}

        assert statuses == {200}


class TestALinkFromBeforeAnybodyWasKnown:
    """Mails that were sent to an address under another basis: by the time of the no, the address may be somebody's."""

    @pytest.fixture
    def early(self, form: FormUnderTest, database: Database) -> SenderLinks:
        """Return the links of a mail that was sent to Kari's address before she consented to anything."""
        made = _links(form, database, KARI)
        with database.transaction(form.controller_id) as session:
            builders.a_given_consent(session, email=KARI)
        return made

    def test_withdraws_what_was_given_since(
        self, form: FormUnderTest, early: SenderLinks, stored: Stored, allowed: Callable[[], bool]
    ) -> None:
        assert allowed()
        before = stored.entries()

        assert form.client.post(early.unsubscribe_url, data=PAIR).status_code == 200

        assert not allowed()
        assert stored.entries() == before + 1

    def test_withdraws_from_the_page_of_choices_too(
        self, form: FormUnderTest, early: SenderLinks, stored: Stored, allowed: Callable[[], bool]
    ) -> None:
        before = stored.entries()

        form.client.post(early.preferences_url, data={"action": "withdraw_all"})

        assert not allowed()
        assert stored.entries() == before + 1

    def test_shows_nothing_of_whoever_holds_the_address_now(self, form: FormUnderTest, early: SenderLinks) -> None:
        for url in (early.unsubscribe_url, early.preferences_url):
            page = form.client.get(url)

            assert page.status_code == 200
            assert "k•••" not in page.text
            assert "kari" not in page.text.lower()

    def test_cancels_what_waits_for_the_address(
        self, form: FormUnderTest, database: Database, allowed: Callable[[], bool]
    ) -> None:
        early = _links(form, database, KARI)
        with database.transaction(form.controller_id) as session:
            version = forms.current(session, form_id=form.form_id, at=wall_clock.now())
            waiting = builders.a_signup(
                session, version, email=KARI, ticked=[("newsletter", "email")], at=wall_clock.now()
            )
            assert waiting is not None
            link = confirmation.create_link(session, request_id=waiting, at=wall_clock.now())

        form.client.post(early.unsubscribe_url, data=PAIR)

        with database.transaction(form.controller_id) as session:
            assert confirmation.look(session, secret=link.secret, at=wall_clock.now()).state != "waiting"
        assert not allowed()

    def test_of_an_older_make_still_says_no(
        self, form: FormUnderTest, database: Database, allowed: Callable[[], bool]
    ) -> None:
        with database.transaction(form.controller_id) as session:
            builders.a_given_consent(session, email=KARI)
            hashed = suppression.address_hash(session, fields.parse_email(KARI))
            controller = identifiers.to_uuid(form.controller_id, "ctl").bytes
            payload = controller + b"h" + hashed + bytes(16) + b"\0"
            token = links.sign_link(keyring_of(session), purpose="sender", payload=payload)

        assert form.client.post(f"/u/{token}", data=PAIR).status_code == 200

        assert not allowed()


class TestPage:
    @pytest.mark.rule("MAIL-05")
    def test_opening_it_changes_nothing(
        self, form: FormUnderTest, path: str, stored: Stored, allowed: Callable[[], bool]
    ) -> None:
        before = stored.entries()

        for _ in range(3):
            form.client.get(path)
            form.client.head(path)

        assert stored.entries() == before
        assert allowed()

    def test_it_names_what_it_stops_and_masks_the_address(self, form: FormUnderTest, path: str) -> None:
        page = form.client.get(path).text

        assert "k•••@k•••.example" in page
        assert "kari@" not in page

    @pytest.mark.rule("WD-01")
    def test_its_one_button_withdraws(self, form: FormUnderTest, path: str, allowed: Callable[[], bool]) -> None:
        answer = press(form, path)

        assert answer.status_code == 200
        assert not allowed()

    @pytest.mark.rule("WD-14")
    def test_undoing_leads_to_a_new_consent(self, form: FormUnderTest, path: str) -> None:
        answer = press(form, path)

        links = [values["href"] or "" for tag, values in Page(answer.text).tags if tag == "a"]
        assert any(link.startswith("/f/frm_") for link in links)
