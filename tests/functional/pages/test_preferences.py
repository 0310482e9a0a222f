"""The preference centre: asked for by mail, open for an hour; taking back is no harder than giving."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service import clock as wall_clock
from consent_service import identifiers
from consent_service.consent import preference_links, public_links
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import Database
from consent_service.subjects import fields, identity
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.functional.pages.conftest import KARI, FormUnderTest, Stored
from tests.functional.pages.reading import Page

NEWSLETTER = "newsletter:email"
PROFILING = "profiling:web"
WORK = "kari@jobb.example"

Allowed = Callable[..., bool]


@pytest.fixture
def path(form: FormUnderTest, database: Database, superuser_url: str) -> str:
    """Return the address of Kari's preference centre; she gets the newsletter."""
    with database.transaction(form.controller_id) as session:
        builders.a_given_consent(session, email=KARI)
        preference_links.ask(session, contact=fields.parse_email(KARI), language="nb", at=wall_clock.now())
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute("SELECT id FROM preference_request ORDER BY created_at DESC").fetchone()
    assert row is not None
    with database.transaction(form.controller_id) as session:
        request_id = identifiers.from_uuid(row[0], "req")
        secret = preference_links.create_link(session, request_id=request_id, at=wall_clock.now())
        return public_links.preferences_url(session, secret=secret, public_url="")


@pytest.fixture
def sender_path(form: FormUnderTest, database: Database) -> str:
    """Return the address in a newsletter that was sent to Kari."""
    with database.transaction(form.controller_id) as session:
        builders.a_given_consent(session, email=KARI)
        made = public_links.sender_links(
            session,
            reference=SubjectReference(contact=fields.parse_email(KARI)),
            scope=Scope(None, None),
            public_url="",
            at=wall_clock.now(),
        )
    return made.preferences_url


@pytest.fixture
def allowed(form: FormUnderTest, database: Database) -> Allowed:
    """Return what asks a check about Kari."""

    def ask(purpose: str = "newsletter", channel: str = "email") -> bool:
        form.clock.shift(timedelta(seconds=1))
        with database.transaction(form.controller_id) as session:
            decision = builders.a_check(session, email=KARI, purpose=purpose, channel=channel, at=wall_clock.now())
        return decision.allowed

    return ask


def save(form: FormUnderTest, path: str, *, ticked: list[str], action: str = "save", **changed: str) -> TestResponse:
    """Open the preference centre and save it with these boxes ticked."""
    page = Page(form.client.get(path).text)
    form.clock.shift(timedelta(seconds=10))
    data: dict[str, str | list[str]] = {**page.form.fields, **changed, "action": action, "consent": ticked}
    data["shown"] = page.form.boxes
    return form.client.post(page.form.action, data=data)


class TestAsk:
    def test_a_mail_is_queued(self, form: FormUnderTest, stored: Stored) -> None:
        page = Page(form.client.get("/p?controller=nordlys").text)

        answer = form.client.post(page.form.action, data={**page.form.fields, "email": KARI})

        assert answer.status_code == 200
        assert "k•••@k•••.example" in answer.text
        assert stored.messages() == 1

    def test_known_and_unknown_get_the_same_page(self, form: FormUnderTest, path: str) -> None:
        del path

        known, unknown = (
            form.client.post("/p?controller=nordlys", data={"email": email, "lang": "nb"})
            for email in (KARI, "kåre@kunde.example")
        )

        assert known.text == unknown.text.replace("kåre", "kari")

    @pytest.mark.parametrize("typed", ["", "kari", "kari@\0kunde.example", "x" * 2000])
    def test_what_is_no_address_is_said(self, form: FormUnderTest, stored: Stored, typed: str) -> None:
        answer = form.client.post("/p?controller=nordlys", data={"email": typed})

        assert answer.status_code == 422
        assert stored.messages() == 0

    def test_a_workplace_behind_one_address_may_ask_more_often_than_it_signs_up(
        self, form: FormUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = form.client.application.extensions["consent_service"]
        settings = replace(service.settings, signups_per_ip_per_hour=1, preference_links_per_ip_per_hour=3)
        monkeypatch.setitem(form.client.application.extensions, "consent_service", replace(service, settings=settings))

        asked = [form.client.post("/p?controller=nordlys", data={"email": f"kari{n}@kunde.example"}) for n in range(4)]

        assert [answer.status_code for answer in asked] == [200, 200, 200, 429]

    @pytest.mark.parametrize("query", ["", "?controller=unknown"])
    def test_it_must_be_known_whose_centre_is_meant(self, form: FormUnderTest, query: str) -> None:
        # Two controllers exist in these tests: the form's, and the noise.
        assert form.client.get(f"/p{query}", headers={"Accept": "text/html"}).status_code == 404


class TestLook:
    def test_it_shows_what_is_given_and_what_is_not(self, form: FormUnderTest, path: str) -> None:
        page = Page(form.client.get(path).text)

        assert NEWSLETTER in page.form.boxes
        assert page.form.ticked == [NEWSLETTER]
        assert "kari@" not in page.html

    def test_opening_it_changes_nothing_and_does_not_use_it_up(
        self, form: FormUnderTest, path: str, stored: Stored
    ) -> None:
        before = stored.entries()

        for _ in range(3):
            assert form.client.get(path).status_code == 200
            form.client.head(path)

        assert stored.entries() == before

    def test_it_tells_what_has_happened_in_words(self, form: FormUnderTest, path: str) -> None:
        assert "Du sa ja til" in form.client.get(path).text

    def test_after_an_hour_it_asks_for_a_new_link(self, form: FormUnderTest, path: str) -> None:
        form.clock.shift(timedelta(minutes=60))

        answer = form.client.get(path)

        assert answer.status_code == 410
        assert "/p?controller=nordlys" in answer.text

    def test_a_forged_link_is_not_ours(self, client: FlaskClient, path: str) -> None:
        assert client.get(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404

    @pytest.mark.parametrize("language", ["nb", "nn", "en"])
    def test_it_speaks_the_readers_language(self, form: FormUnderTest, path: str, language: str) -> None:
        answer = form.client.get(f"{path}?lang={language}")

        assert answer.headers["Content-Language"] == language
        assert "Set-Cookie" not in answer.headers


class TestSave:
    @pytest.mark.rule("WD-01")
    @pytest.mark.rule("WD-02")
    def test_taking_a_tick_away_withdraws_at_once(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        assert allowed()

        answer = save(form, path, ticked=[])

        assert answer.status_code == 200
        assert "Lagret kl." in answer.text
        assert not allowed()

    def test_a_tick_gives(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        answer = save(form, path, ticked=[NEWSLETTER, "ads:ads"])

        assert answer.status_code == 200
        assert allowed()
        assert allowed("ads", "ads")

    def test_saving_without_a_change_changes_nothing(self, form: FormUnderTest, path: str, stored: Stored) -> None:
        before = stored.entries()

        answer = save(form, path, ticked=[NEWSLETTER])

        assert "Ingenting ble endret" in answer.text
        assert stored.entries() == before

    @pytest.mark.rule("WD-01")
    def test_withdrawing_everything_is_one_press(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        save(form, path, ticked=[NEWSLETTER], action="withdraw_all")

        assert not allowed()

    @pytest.mark.rule("CAP-09")
    def test_a_yes_needs_the_proof_of_what_was_shown(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        answer = save(form, path, ticked=[NEWSLETTER, "ads:ads"], snapshot="forged")

        assert answer.status_code == 422
        assert allowed()
        assert not allowed("ads", "ads")

    @pytest.mark.rule("CAP-01")
    def test_a_box_that_we_ticked_on_a_page_of_before_gives_nothing(
        self, form: FormUnderTest, path: str, sender_path: str, allowed: Allowed
    ) -> None:
        opened = Page(form.client.get(path).text)
        form.clock.shift(timedelta(seconds=10))
        form.client.post(sender_path, data={"action": "withdraw_all"})
        assert not allowed()

        data = {**opened.form.fields, "action": "save", "consent": [NEWSLETTER], "shown": opened.form.boxes}
        answer = form.client.post(opened.form.action, data=data)

        assert answer.status_code == 422
        assert not allowed()

    def test_a_no_counts_without_it(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        save(form, path, ticked=[], snapshot="forged")

        assert not allowed()

    def test_what_was_not_shown_is_left_alone(self, form: FormUnderTest, path: str, allowed: Allowed) -> None:
        form.client.post(path, data={"action": "save", "lang": "nb"})

        assert allowed()

    def test_a_phone_is_not_proved_by_a_mail(self, form: FormUnderTest, path: str, stored: Stored) -> None:
        before = stored.entries()

        form.client.post(path, data={"action": "save", "shown": "offers:sms", "consent": "offers:sms"})

        assert stored.entries() == before


class TestWhatIsNoLongerOffered:
    @pytest.fixture
    def dropped(self, form: FormUnderTest, path: str, database: Database) -> str:
        """Let a newer notice ask for the newsletter by SMS alone; return the address of Kari's choices."""
        with database.transaction(form.controller_id) as session:
            content = builders.a_notice(channels=("sms",), edition=2)
            builders.a_published_notice(
                session, content=content, material=False, reason="Mails have ended.", at=wall_clock.now()
            )
        form.clock.shift(timedelta(seconds=1))
        return path

    def test_is_shown_while_it_stands(self, form: FormUnderTest, dropped: str) -> None:
        page = Page(form.client.get(dropped).text)

        assert NEWSLETTER in page.form.ticked

    def test_can_be_taken_back_and_not_be_given_again(self, form: FormUnderTest, dropped: str, stored: Stored) -> None:
        before = stored.entries()

        save(form, dropped, ticked=[])

        assert stored.entries() > before
        page = Page(form.client.get(dropped).text)
        assert NEWSLETTER not in page.form.boxes
        assert "Trukket tilbake" in page.html


class TestSeveralAddresses:
    @pytest.fixture
    def second(self, form: FormUnderTest, path: str, database: Database) -> str:
        """Let Kari prove a second address and get the newsletter there too; return the value of its box."""
        del path
        contact = fields.parse_email(WORK)
        with database.transaction(form.controller_id) as session:
            own = identity.find_point(session, fields.parse_email(KARI))
            assert own is not None
            point = identity.attach_point(
                session, subject_id=own.subject_id, contact=contact, verified_at=builders.NOON, at=builders.NOON
            )
            builders.a_given_consent(session, email=WORK)
        return f"{NEWSLETTER}:{point.id}"

    def test_each_is_shown_masked_with_its_own_choice(self, form: FormUnderTest, path: str, second: str) -> None:
        page = Page(form.client.get(path).text)

        assert set(page.form.ticked) == {NEWSLETTER, second}
        assert "k•••@j•••.example" in page.html
        assert WORK not in page.html

    def test_one_can_be_stopped_and_the_other_kept(
        self, form: FormUnderTest, path: str, second: str, allowed: Allowed, stored: Stored
    ) -> None:
        before = stored.entries()

        save(form, path, ticked=[NEWSLETTER])

        assert stored.entries() == before + 1
        assert allowed()
        assert Page(form.client.get(path).text).form.ticked == [NEWSLETTER]
        assert second not in Page(form.client.get(path).text).form.boxes

    def test_both_can_be_stopped(self, form: FormUnderTest, path: str, second: str, allowed: Allowed) -> None:
        save(form, path, ticked=[])

        assert not allowed()
        assert second not in Page(form.client.get(path).text).form.ticked

    def test_a_link_proves_one_of_them_alone(self, form: FormUnderTest, path: str, second: str, stored: Stored) -> None:
        save(form, path, ticked=[])
        before = stored.entries()

        form.client.post(path, data={"action": "save", "shown": second, "consent": second, "lang": "nb"})

        assert stored.entries() == before


class TestSendersLink:
    @pytest.mark.rule("WD-13")
    def test_it_shows_a_masked_address_and_what_can_be_stopped(self, form: FormUnderTest, sender_path: str) -> None:
        page = Page(form.client.get(sender_path).text)

        assert page.form.boxes == [NEWSLETTER]
        assert page.form.ticked == []
        assert "k•••@k•••.example" in page.html
        assert "kari@" not in page.html

    def test_it_stops_what_is_ticked(self, form: FormUnderTest, sender_path: str, allowed: Allowed) -> None:
        answer = form.client.post(sender_path, data={"action": "stop", "stop": NEWSLETTER, "lang": "nb"})

        assert answer.status_code == 200
        assert not allowed()

    def test_it_stops_everything(self, form: FormUnderTest, sender_path: str, allowed: Allowed) -> None:
        form.client.post(sender_path, data={"action": "withdraw_all"})

        assert not allowed()

    def test_it_works_after_years(self, form: FormUnderTest, sender_path: str) -> None:
        form.clock.shift(timedelta(days=1000))

        assert form.client.get(sender_path).status_code == 200

    def test_it_gives_nothing(self, form: FormUnderTest, sender_path: str, stored: Stored) -> None:
        before = stored.entries()

        form.client.post(sender_path, data={"action": "save", "shown": PROFILING, "consent": PROFILING})

        assert stored.entries() == before
