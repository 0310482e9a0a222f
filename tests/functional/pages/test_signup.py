"""The hosted form: what it asks, what it never does, and what becomes of what was sent."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from consent_service.audit import trail
from consent_service.config import Settings
from consent_service.db.session import Database
from consent_service.pages import submission
from consent_service.registry import controllers
from tests import builders
from tests.functional.pages.conftest import KARI, FormUnderTest, Stored
from tests.functional.pages.reading import Page


class TestForm:
    @pytest.mark.rule("CAP-01")
    @pytest.mark.parametrize(
        "query", ["", "?lang=nn", "?lang=en", "?consent=newsletter:email", "?checked=1&default=true"]
    )
    def test_no_box_is_ticked_whatever_the_address_says(self, form: FormUnderTest, query: str) -> None:
        page = form.open(query)

        assert page.form.boxes == ["newsletter:email", "offers:sms", "ads:ads", "profiling:web"]
        assert page.form.ticked == []

    @pytest.mark.rule("CAP-01")
    def test_no_box_is_ticked_after_a_fault(self, form: FormUnderTest) -> None:
        answer = form.sign_up("not an address")

        page = Page(answer.text)
        assert answer.status_code == 422
        assert page.form.ticked == []
        assert page.form.fields["email"] == "not an address"

    @pytest.mark.rule("CAP-03")
    @pytest.mark.rule("CAP-06")
    def test_each_box_tells_all_before_the_act(self, form: FormUnderTest) -> None:
        page = form.open("?lang=nb")

        for words in (
            "Ja, jeg vil ha newsletter",
            "E-post",
            "SMS",
            "Personvernerklæring",
            "personvern@nordlys.example",
        ):
            assert words in page.html

    @pytest.mark.rule("CAP-05")
    def test_no_box_is_required(self, form: FormUnderTest) -> None:
        boxes = [values for tag, values in form.open().tags if tag == "input" and values.get("name") == "consent"]

        assert len(boxes) == 4
        assert not any("required" in values for values in boxes)

    @pytest.mark.rule("CAP-07")
    @pytest.mark.parametrize(("query", "language"), [("?lang=nn", "nn"), ("?lang=en", "en"), ("", "nb")])
    def test_it_speaks_one_language(self, form: FormUnderTest, query: str, language: str) -> None:
        page = form.open(query)

        assert page.form.fields["lang"] == language
        assert f'<html lang="{language}">' in page.html

    def test_it_follows_the_browser(self, form: FormUnderTest) -> None:
        assert form.open(**{"Accept-Language": "nn-NO"}).form.fields["lang"] == "nn"

    def test_a_language_that_it_lacks_is_answered_with_those_it_has(self, form: FormUnderTest) -> None:
        answer = form.client.get(f"{form.path}?lang=fr")

        assert answer.status_code == 404
        assert all(name in answer.text for name in ("Bokmål", "Nynorsk", "English"))

    @pytest.mark.rule("NO-13")
    def test_it_sets_no_cookie_and_runs_no_script(self, form: FormUnderTest) -> None:
        answer = form.client.get(form.path)

        assert "Set-Cookie" not in answer.headers
        assert not [tag for tag, _ in Page(answer.text).tags if tag in {"script", "img", "iframe"}]
        assert len(answer.data) < 50_000

    def test_only_the_named_origins_may_frame_it(self, form: FormUnderTest) -> None:
        policy = form.client.get(form.path).headers["Content-Security-Policy"]

        assert "frame-ancestors https://nordlys.example" in policy

    @pytest.mark.parametrize("key", ["frm_0000000000000000000000000A", "frm_x", "kundeklubb", "%00"])
    def test_an_unknown_form_is_a_kind_page(self, client: FlaskClient, key: str) -> None:
        answer = client.get(f"/f/{key}", headers={"Accept": "text/html"})

        assert answer.status_code == 404
        assert answer.mimetype == "text/html"


class TestPost:
    def test_what_was_ticked_waits_and_a_mail_is_queued(self, form: FormUnderTest, stored: Stored) -> None:
        answer = form.sign_up()

        assert answer.status_code == 200
        assert "k•••@k•••.example" in answer.text
        assert (stored.requests(), stored.messages()) == (1, 1)

    @pytest.mark.rule("CAP-05")
    def test_with_nothing_ticked_it_stores_nothing_and_sends_nothing(self, form: FormUnderTest, stored: Stored) -> None:
        answer = form.sign_up(ticked=())

        assert answer.status_code == 200
        assert (stored.requests(), stored.messages()) == (0, 0)

    def test_an_empty_form_is_taken_without_an_address(self, form: FormUnderTest) -> None:
        assert form.sign_up("", ticked=()).status_code == 200

    @pytest.mark.rule("DOI-09")
    def test_the_answer_is_the_same_however_often_it_is_sent(self, form: FormUnderTest) -> None:
        page = form.open()

        answers = {form.send(page, ticked=["newsletter:email"], email=KARI).data for _ in range(4)}

        assert len(answers) == 1

    def test_a_machines_haste_changes_no_letter_of_the_answer(self, form: FormUnderTest) -> None:
        page = form.open()
        data = {**page.form.fields, "email": KARI, "consent": "newsletter:email", "website": "https://spam.example"}

        hasty = form.client.post(page.form.action, data=data)

        assert hasty.data == form.sign_up().data

    def test_a_box_that_needs_a_phone_asks_for_one(self, form: FormUnderTest, stored: Stored) -> None:
        answer = form.sign_up(ticked=["offers:sms"])

        assert answer.status_code == 422
        assert 'id="phone-fault"' in answer.text
        assert stored.requests() == 0

    def test_a_national_number_is_understood(self, form: FormUnderTest, stored: Stored) -> None:
        answer = form.send(form.open(), ticked=["offers:sms"], email=KARI, phone="900 00 000")

        assert answer.status_code == 200
        assert "+47 ••• •• 000" in answer.text
        assert stored.requests() == 1

    @pytest.mark.parametrize(
        "address", ["", "kari", "kari@", "a" * 400 + "@kunde.example", "kari@kunde.example\r\nBcc: x"]
    )
    def test_what_is_no_address_is_said_at_its_field(self, form: FormUnderTest, stored: Stored, address: str) -> None:
        answer = form.sign_up(address)

        assert answer.status_code == 422
        assert 'id="email-fault"' in answer.text
        assert stored.requests() == 0

    @pytest.mark.parametrize("address", ["kåre@kunde.example", "kari@blåbær.example", "ka\u030are@kunde.example"])
    def test_addresses_beyond_ascii_are_taken(self, form: FormUnderTest, address: str) -> None:
        assert form.sign_up(address).status_code == 200

    @pytest.mark.parametrize(
        "data",
        [
            {"consents": "newsletter:email"},
            {"consent": "newsletter:sms"},
            {"email": "kari\0@kunde.example"},
            {"field_other": "x"},
        ],
    )
    def test_what_no_form_of_ours_sends_is_not_taken(
        self, form: FormUnderTest, stored: Stored, data: dict[str, str]
    ) -> None:
        page = form.open()
        filled = {**page.form.fields, "email": KARI, "consent": "newsletter:email", **data}

        answer = form.client.post(page.form.action, data=filled)

        assert answer.status_code == 422
        assert stored.requests() == 0

    def test_a_field_that_stands_twice_is_not_taken(self, form: FormUnderTest, stored: Stored) -> None:
        page = form.open()
        pairs = [*page.form.fields.items(), ("email", "b@kunde.example"), ("consent", "newsletter:email")]

        answer = form.client.post(
            page.form.action, data=urlencode(pairs), content_type="application/x-www-form-urlencoded"
        )

        assert answer.status_code == 422
        assert stored.requests() == 0

    @pytest.mark.rule("DOI-09")
    def test_one_network_address_has_its_share(self, form: FormUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
        service = form.client.application.extensions["consent_service"]
        limited = dataclasses.replace(
            service, settings=dataclasses.replace(service.settings, signups_per_ip_per_hour=2)
        )
        monkeypatch.setitem(form.client.application.extensions, "consent_service", limited)

        statuses = [form.sign_up(f"kari{n}@kunde.example").status_code for n in range(3)]

        assert statuses == [200, 200, 429]

    @pytest.mark.parametrize("media_type", ["text/plain", "application/json", ""])
    def test_what_is_no_form_post_is_refused(self, form: FormUnderTest, stored: Stored, media_type: str) -> None:
        answer = form.client.post(
            form.path, data="consent=newsletter:email", content_type=media_type, headers={"Accept": "text/html"}
        )

        assert answer.status_code == 415
        assert answer.mimetype == "text/html"
        assert stored.requests() == 0

    @pytest.mark.parametrize("path", ["/f/{}", "/p?controller=nordlys&form={}"])
    def test_too_much_is_said_kindly(self, form: FormUnderTest, path: str) -> None:
        answer = form.client.post(
            path.format(form.form_id), data={"email": "x" * 300_000}, headers={"Accept": "text/html"}
        )

        assert answer.status_code == 413
        assert answer.mimetype == "text/html"

    def test_its_answer_may_be_framed_where_the_form_may(self, form: FormUnderTest) -> None:
        answers = [form.sign_up(), form.sign_up("no address")]

        assert all("frame-ancestors https://nordlys.example" in a.headers["Content-Security-Policy"] for a in answers)

    def test_a_database_that_is_away_is_said_kindly(
        self, start: Callable[[Settings], Flask], settings: Settings
    ) -> None:
        away = start(dataclasses.replace(settings, database_url="postgresql://consent@127.0.0.1:9/consent"))

        answer = away.test_client().get("/f/frm_00000000000000000000000000", headers={"Accept": "text/html"})

        assert answer.status_code == 503
        assert answer.mimetype == "text/html"
        assert "Retry-After" in answer.headers


class TestPageUrl:
    @pytest.mark.parametrize(
        ("named", "kept"),
        [
            ("https://shop.example/club", "https://shop.example/club"),
            ("https://shop.example/club?email=kari@kunde.example#x", "https://shop.example/club"),
            ("https://evil.example/club", "https://shop.example"),
            ("https://shop.example.evil.example/", "https://shop.example"),
            ("https://shop.example/" + "a" * 3000, "https://shop.example"),
            (None, "https://shop.example"),
        ],
    )
    def test_it_is_on_the_origin_and_has_no_query(self, named: str | None, kept: str) -> None:
        assert submission.page_url(named, origin="https://shop.example", form_id="frm_x") == kept


class TestSnapshot:
    @pytest.mark.rule("CAP-09")
    def test_without_it_the_form_is_shown_anew(self, form: FormUnderTest, stored: Stored) -> None:
        answer = form.client.post(form.path, data={"email": KARI, "consent": "newsletter:email", "lang": "nb"})

        assert answer.status_code == 422
        assert Page(answer.text).form.fields["snapshot"]
        assert stored.requests() == 0

    def test_it_is_good_for_a_day(self, form: FormUnderTest, stored: Stored) -> None:
        page = form.open()
        form.clock.shift(timedelta(hours=24, minutes=1))

        answer = form.send(page, ticked=["newsletter:email"], email=KARI)

        assert answer.status_code == 422
        assert stored.requests() == 0

    def test_it_belongs_to_one_form(self, form: FormUnderTest, database: Database, stored: Stored) -> None:
        with database.transaction(form.controller_id) as session:
            other = builders.a_form(session, key="nyhetsbrev")
        page = form.open()

        answer = form.client.post(
            f"/f/{other.form_id}", data={**page.form.fields, "email": KARI, "consent": "newsletter:email"}
        )

        assert answer.status_code == 422
        assert stored.requests() == 0

    def test_texts_that_cannot_be_read_again_as_they_stood_are_asked_anew(
        self, form: FormUnderTest, database: Database, stored: Stored
    ) -> None:
        page = form.open()
        with database.transaction(form.controller_id) as session:
            renamed = dataclasses.replace(controllers.get(session), legal_name="Sydlys AS")
            controllers.change_settings(session, changed=renamed, actor=trail.SYSTEM, at=builders.NOON)

        answer = form.send(page, ticked=["newsletter:email"], email=KARI)

        assert answer.status_code == 422
        assert "Sydlys AS" in answer.text
        assert stored.requests() == 0

    @pytest.mark.rule("CAP-08")
    def test_a_notice_that_changed_meanwhile_is_asked_anew(
        self, form: FormUnderTest, database: Database, stored: Stored
    ) -> None:
        page = form.open()
        form.clock.shift(timedelta(minutes=5))
        with database.transaction(form.controller_id) as session:
            builders.a_published_notice(
                session, content=builders.a_notice(edition=2), at=builders.NOON + timedelta(minutes=5)
            )

        answer = form.send(page, ticked=["newsletter:email"], email=KARI)

        assert answer.status_code == 422
        assert stored.requests() == 0
