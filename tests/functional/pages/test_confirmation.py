"""The confirmation page: whoever fetches it changes nothing, and only a person's press confirms."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service import clock as wall_clock
from consent_service import identifiers
from consent_service.consent import confirmation
from consent_service.crypto import links
from consent_service.db.session import Database
from tests.functional.pages.conftest import FormUnderTest, Stored
from tests.functional.pages.reading import Page


@dataclass(frozen=True, slots=True)
class Mailed:
    """What stands in the mail: a link and a code."""

    path: str
    code: str

    def wrong_code(self) -> str:
        return f"{(int(self.code) + 1) % 1_000_000:06}"


@pytest.fixture
def mailed(form: FormUnderTest, database: Database, superuser_url: str) -> Mailed:
    """Sign up for newsletter and ads, and make the link as the worker does."""
    form.sign_up(ticked=("newsletter:email", "ads:ads"))
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute("SELECT id FROM signup_request ORDER BY created_at DESC").fetchone()
    assert row is not None
    with database.transaction(form.controller_id) as session:
        request_id = identifiers.from_uuid(row[0], "req")
        link = confirmation.create_link(session, request_id=request_id, at=wall_clock.now())
    payload = identifiers.to_uuid(form.controller_id, "ctl").bytes + link.secret
    return Mailed(f"/c/{links.sign_link(database.keyring, purpose='confirm', payload=payload)}", link.code)


def press(form: FormUnderTest, path: str, *, after: timedelta = timedelta(seconds=5)) -> TestResponse:
    """Open a page, wait, and press the button of its form."""
    page = Page(form.client.get(path).text)
    form.clock.shift(after)
    return form.client.post(page.form.action, data=page.form.fields)


class TestLook:
    @pytest.mark.rule("DOI-03")
    def test_fetching_it_ten_times_changes_nothing(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        for _ in range(5):
            form.client.get(mailed.path)
            form.client.head(mailed.path)
            form.client.get(f"{mailed.path}/reject")

        assert stored.entries() == 0
        assert "Ja, bekreft" in form.client.get(mailed.path).text

    def test_it_repeats_each_statement_and_masks_the_address(self, form: FormUnderTest, mailed: Mailed) -> None:
        page = form.client.get(mailed.path).text

        assert page.count('class="statements"') == 1
        assert "Ja, jeg vil ha newsletter" in page
        assert "Ja, jeg vil ha ads" in page
        assert "k•••@k•••.example" in page
        assert "kari@" not in page

    def test_it_speaks_the_language_of_the_form(self, form: FormUnderTest, mailed: Mailed) -> None:
        answer = form.client.get(mailed.path, headers={"Accept-Language": "en"})

        assert answer.headers["Content-Language"] == "nb"

    def test_it_is_kept_by_nobody_and_told_to_nobody(self, form: FormUnderTest, mailed: Mailed) -> None:
        headers = form.client.get(mailed.path).headers

        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Set-Cookie" not in headers

    @pytest.mark.rule("DOI-05")
    def test_a_forged_link_is_not_ours(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        forged = mailed.path[:-1] + ("A" if mailed.path[-1] != "A" else "B")

        for answer in (form.client.get(forged), form.client.post(forged, data={"code": mailed.code})):
            assert answer.status_code == 404
        assert stored.entries() == 0

    @pytest.mark.rule("DOI-05")
    def test_after_72_hours_it_is_too_old(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        form.clock.shift(timedelta(hours=72, seconds=1))

        assert form.client.get(mailed.path).status_code == 410
        assert form.client.post(mailed.path, data={"code": mailed.code}).status_code == 410
        assert stored.entries() == 0

    def test_a_link_of_another_controller_is_nobodys(
        self, client: FlaskClient, form: FormUnderTest, database: Database, mailed: Mailed, other_controller: str
    ) -> None:
        secret = links.read_link(database.keyring, purpose="confirm", token=mailed.path.removeprefix("/c/"))[16:]
        payload = identifiers.to_uuid(other_controller, "ctl").bytes + secret

        token = links.sign_link(database.keyring, purpose="confirm", payload=payload)

        assert client.get(f"/c/{token}").status_code == 404
        assert uuid.UUID(bytes=payload[:16]) != identifiers.to_uuid(form.controller_id, "ctl")


class TestConfirm:
    @pytest.mark.rule("DOI-01")
    def test_the_button_confirms(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        answer = press(form, mailed.path)

        assert answer.status_code == 200
        assert "Takk, det er bekreftet" in answer.text
        assert stored.entries() == 2

    def test_it_hands_out_a_receipt_without_the_address(self, form: FormUnderTest, mailed: Mailed) -> None:
        page = Page(press(form, mailed.path).text)
        links_to_receipts = [
            href for tag, values in page.tags if tag == "a" and (href := values["href"] or "")[:3] == "/r/"
        ]

        printed = form.client.get(links_to_receipts[0])
        document = form.client.get(f"{links_to_receipts[0]}?format=json")

        assert len(links_to_receipts) == 2
        assert printed.status_code == 200
        assert "style-src 'sha256-" in printed.headers["Content-Security-Policy"]
        assert document.mimetype == "application/ld+json"
        assert "kari" not in printed.text.lower() + document.text.lower()
        assert form.client.get("/r/x").status_code == 404

    @pytest.mark.rule("DOI-04")
    @pytest.mark.parametrize("data", [{}, {"nonce": "x"}, {"nonce": ""}])
    def test_without_the_pages_nonce_the_code_is_asked_for(
        self, form: FormUnderTest, mailed: Mailed, stored: Stored, data: dict[str, str]
    ) -> None:
        answer = form.client.post(mailed.path, data=data)

        assert answer.status_code == 200
        assert 'name="code"' in answer.text
        assert stored.entries() == 0

    @pytest.mark.rule("DOI-04")
    def test_a_press_within_two_seconds_is_asked_for_the_code(
        self, form: FormUnderTest, mailed: Mailed, stored: Stored
    ) -> None:
        answer = press(form, mailed.path, after=timedelta(seconds=1.9))

        assert answer.status_code == 200
        assert 'name="code"' in answer.text
        assert stored.entries() == 0

    def test_the_code_confirms(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        code = f"{mailed.code[:3]} {mailed.code[3:]}"

        answer = form.client.post(mailed.path, data={"code": code})

        assert answer.status_code == 200
        assert stored.entries() == 2

    def test_five_wrong_codes_close_the_link(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        statuses = [form.client.post(mailed.path, data={"code": mailed.wrong_code()}).status_code for _ in range(5)]

        assert statuses == [422, 422, 422, 422, 410]
        assert form.client.post(mailed.path, data={"code": mailed.code}).status_code == 410
        assert stored.entries() == 0

    @pytest.mark.parametrize("code", ["1", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "0" * 5000])
    def test_what_is_no_code_is_a_wrong_code(self, form: FormUnderTest, mailed: Mailed, code: str) -> None:
        assert form.client.post(mailed.path, data={"code": code}).status_code == 422

    @pytest.mark.rule("DOI-06")
    def test_a_second_press_changes_nothing(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        page = Page(form.client.get(mailed.path).text)
        form.clock.shift(timedelta(seconds=5))

        answers = [form.client.post(page.form.action, data=page.form.fields) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert "Allerede bekreftet" in answers[1].text
        assert stored.entries() == 2

    def test_the_nonce_of_one_link_is_not_that_of_another(
        self, form: FormUnderTest, mailed: Mailed, database: Database, stored: Stored
    ) -> None:
        nonce = links.sign_timed(
            database.keyring, purpose="confirm-page", payload=b"x" * 32, at=wall_clock.now() - timedelta(minutes=1)
        )

        answer = form.client.post(mailed.path, data={"nonce": nonce})

        assert 'name="code"' in answer.text
        assert stored.entries() == 0


class TestReject:
    @pytest.mark.rule("DOI-08")
    def test_not_me_deletes_the_request(self, form: FormUnderTest, mailed: Mailed, stored: Stored) -> None:
        answer = press(form, f"{mailed.path}/reject")

        assert answer.status_code == 200
        assert "Forespørselen er slettet" in answer.text
        assert form.client.post(mailed.path, data={"code": mailed.code}).status_code == 200
        assert stored.entries() == 0

    def test_it_obeys_the_same_rule_as_confirming(self, form: FormUnderTest, mailed: Mailed) -> None:
        answer = form.client.post(f"{mailed.path}/reject")

        assert 'name="code"' in answer.text
        assert "Ja, bekreft" in form.client.get(mailed.path).text

    def test_the_person_can_take_it_back(self, form: FormUnderTest, mailed: Mailed) -> None:
        rejected = Page(press(form, f"{mailed.path}/reject").text)

        answer = form.client.post(rejected.form.action, data=rejected.form.fields)

        assert answer.status_code == 200
        assert "Sperren er opphevet" in answer.text
