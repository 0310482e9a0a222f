"""A form that offers something for which age matters asks one thing more, and the answer goes into the ledger."""

import dataclasses
from typing import Any

import pytest
from sqlalchemy import select

from consent_service.audit import trail
from consent_service.consent import confirmation, preferences
from consent_service.consent.choices import Choice
from consent_service.consent.models import LedgerEntry, SignupRequest
from consent_service.consent.preference_links import Visitor
from consent_service.db.session import Database
from consent_service.registry import controllers
from consent_service.subjects import fields, identity
from tests import builders
from tests.builders import NOON
from tests.functional.pages.conftest import KARI, ORIGIN, FormUnderTest, Stored
from tests.functional.pages.reading import Page

GAMES = "games:email"


@pytest.fixture
def games(form: FormUnderTest, database: Database) -> FormUnderTest:
    """Offer a club for which age matters, beside a newsletter for which it does not."""
    with database.transaction(form.controller_id) as session:
        builders.a_published_purpose(session, key="games", age_condition=True)
        offers = [("newsletter", "email"), ("games", "email")]
        version = builders.a_form(session, key="games", offers=offers, origins=(ORIGIN,))
    return dataclasses.replace(form, form_id=version.form_id)


def send(form: FormUnderTest, *ticked: str, **typed: str) -> Page:
    return Page(form.send(form.open("?lang=nb"), ticked=ticked, email=KARI, **typed).text)


def declared(database: Database, form: FormUnderTest) -> list[int | None]:
    """Confirm what waits, and return the ages that stand in the ledger."""
    with database.transaction(form.controller_id) as session:
        request = session.scalars(select(SignupRequest)).one()
        link = confirmation.create_link(session, request_id=request.id, at=request.created_at)
        press = builders.an_act(at=request.created_at)
        confirmation.confirm(session, secret=link.secret, code=None, confirmation=press, at=request.created_at)
        return list(session.scalars(select(LedgerEntry.age_at_least).order_by(LedgerEntry.channel, LedgerEntry.seq)))


@pytest.mark.rule("CAP-14")
class TestTheHostedForm:
    @pytest.mark.parametrize(
        ("language", "words"),
        [("nb", "Jeg er minst 13 år"), ("nn", "Eg er minst 13 år"), ("en", "I am at least 13 years old")],
    )
    def test_it_asks_with_an_unticked_box(self, games: FormUnderTest, language: str, words: str) -> None:
        page = games.open(f"?lang={language}")

        assert words in page.html
        assert page.form.boxes == ["newsletter:email", GAMES, "13"]
        assert page.form.ticked == []

    def test_it_does_not_ask_where_age_does_not_matter(self, form: FormUnderTest) -> None:
        assert "age_at_least" not in form.open().html

    def test_it_asks_for_the_age_of_the_country(self, games: FormUnderTest, database: Database) -> None:
        with database.transaction(games.controller_id) as session:
            elsewhere = dataclasses.replace(controllers.get(session), country="DE")
            controllers.change_settings(session, changed=elsewhere, actor=trail.SYSTEM, at=NOON)

        assert "Jeg er minst 16 år" in games.open("?lang=nb").html

    def test_without_it_the_box_is_refused_with_what_to_do(self, games: FormUnderTest, stored: Stored) -> None:
        page = send(games, GAMES)

        assert "be en av foreldrene eller en verge kontakte oss" in page.html
        assert page.form.ticked == []
        assert stored.requests() == 0

    def test_what_it_does_not_matter_for_needs_no_age(self, games: FormUnderTest, stored: Stored) -> None:
        send(games, "newsletter:email")

        assert stored.requests() == 1

    def test_it_travels_to_the_ledger(self, games: FormUnderTest, database: Database) -> None:
        send(games, GAMES, age_at_least="13")

        assert declared(database, games) == [13]

    @pytest.mark.parametrize("value", ["12", "99", "yes", "13 "])
    def test_another_age_than_was_asked_is_not_taken(self, games: FormUnderTest, stored: Stored, value: str) -> None:
        send(games, GAMES, age_at_least=value)

        assert stored.requests() == 0

    def test_a_page_that_asked_for_another_age_is_shown_again(
        self, games: FormUnderTest, database: Database, stored: Stored
    ) -> None:
        page = games.open("?lang=nb")
        with database.transaction(games.controller_id) as session:
            elsewhere = dataclasses.replace(controllers.get(session), country="DE")
            controllers.change_settings(session, changed=elsewhere, actor=trail.SYSTEM, at=NOON)

        answer = games.send(page, ticked=[GAMES], email=KARI, age_at_least="13")

        assert answer.status_code == 422
        assert stored.requests() == 0


@pytest.mark.rule("CAP-14")
class TestTheEmbedElement:
    def definition(self, form: FormUnderTest) -> dict[str, Any]:
        answer = form.client.get(f"{form.path}/definition?lang=nb", headers={"Origin": ORIGIN})
        document: dict[str, Any] = answer.get_json()
        return document

    def submit(self, form: FormUnderTest, **changed: object) -> Any:  # noqa: ANN401 - what the client gives
        sent = {"email": KARI, "consent": [GAMES], "lang": "nb", "snapshot": self.definition(form)["snapshot"]}
        return form.client.post(
            f"{form.path}/submissions",
            json={**sent, **changed},
            headers={"Origin": ORIGIN, "X-Consent-Form": form.form_id},
        )

    def test_its_definition_has_the_box(self, games: FormUnderTest) -> None:
        age = self.definition(games)["age"]

        assert (age["value"], age["statement"]) == ("13", "Jeg er minst 13 år")
        assert "games (nb)" in age["terms"][0][1]

    def test_it_has_none_where_age_does_not_matter(self, form: FormUnderTest) -> None:
        assert self.definition(form)["age"] is None

    def test_without_it_the_fault_is_named(self, games: FormUnderTest) -> None:
        answer = self.submit(games)

        assert answer.status_code == 422
        assert [(each["pointer"], each["code"]) for each in answer.get_json()["errors"]] == [
            ("/age_at_least", "guardian_required")
        ]
        assert "verge" in self.definition(games)["words"]["faults"]["guardian_required"]

    def test_with_it_the_answer_waits(self, games: FormUnderTest, database: Database) -> None:
        assert self.submit(games, age_at_least="13").status_code == 202

        assert declared(database, games) == [13]


@pytest.mark.rule("CAP-14")
class TestThePreferenceCentre:
    def choice(self, form: FormUnderTest, database: Database) -> Choice:
        with database.transaction(form.controller_id) as session:
            contact = fields.parse_email(KARI)
            point = identity.find_point(session, contact)
            visitor = Visitor(
                contact=contact,
                masked=fields.mask(contact),
                subject_id=None if point is None else point.subject_id,
                point=point,
                can_give=True,
            )
            shown = preferences.view(session, visitor=visitor, language="nb", at=NOON)
            return next(choice for choice in shown.choices if choice.purpose == "games")

    def test_it_sends_whoever_never_said_their_age_to_the_form(self, games: FormUnderTest, database: Database) -> None:
        choice = self.choice(games, database)

        assert (choice.can_give, choice.lacks_age) == (False, True)

    def test_what_was_declared_once_is_enough(self, games: FormUnderTest, database: Database) -> None:
        send(games, GAMES, age_at_least="13")
        declared(database, games)

        choice = self.choice(games, database)

        assert (choice.can_give, choice.lacks_age) == (True, False)
