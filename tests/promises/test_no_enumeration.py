"""Promise: nobody can find out who is known here.

A form, the embed element and the page that mails a preference link answer the same, byte for byte, for an address that
subscribes, one that nobody knows, one that objected and one that said "this was not me". Mails are capped per address,
and the answer does not tell that either (law.md DOI-09).
"""

from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from tests.builders import KARI
from tests.functional.pages.reading import Page
from tests.promises.world import NEWSLETTER, Company, Person, World

#: One letter and one length for all, so that a masked address is the same too.
KNOWN, UNKNOWN, OBJECTED, REFUSED = (f"k{letter}ri@kunde.example" for letter in "abcd")
#: What differs in every answer by nature.
PER_REQUEST = {"Request-Id", "Date"}


@pytest.fixture
def people(world: World, company: Company) -> list[Person]:
    """Return four people: one subscribes, one is unknown, one objected, and one said that it was not her."""
    world.a_subscriber(company, KNOWN)
    world.call(company, "/v1/objections", {"subject": {"email": OBJECTED}})
    refused = Person(world, company, REFUSED)
    refused.signs_up()
    world.mail_goes_out()
    page = refused.opens(f"{refused.link()}/reject")
    refused.presses(page.form)
    world.time_passes(timedelta(days=3))
    return [Person(world, company, email) for email in (KNOWN, UNKNOWN, OBJECTED, REFUSED)]


def shown(answer: TestResponse) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return everything of an answer that could tell addresses apart."""
    headers = sorted((name, value) for name, value in answer.headers if name not in PER_REQUEST)
    return answer.status_code, headers, answer.data


class TestTheForm:
    @pytest.mark.rule("DOI-09")
    def test_answers_everybody_alike(self, people: list[Person]) -> None:
        answers = [shown(person.signs_up()) for person in people]

        assert answers[0][0] == 200
        assert answers == [answers[0]] * len(people)

    @pytest.mark.rule("DOI-09")
    def test_writes_the_same_rows_for_everybody(self, people: list[Person], superuser_url: str) -> None:
        """What is different is decided later, in the worker, where nobody outside can see or time it."""
        del superuser_url
        for person in people:
            person.signs_up()

        assert people[0].world.mail_goes_out() == len(people)


class TestTheEmbedElement:
    def test_is_answered_alike_for_everybody(self, people: list[Person]) -> None:
        answers = []
        for person in people:
            form = f"/f/{person.company.form_id}"
            definition = person.world.client.get(f"{form}/definition").json
            assert definition is not None
            person.world.time_passes()
            answer = person.world.client.post(
                f"{form}/submissions",
                json={"email": person.email, "consent": [NEWSLETTER], "lang": "nb", "snapshot": definition["snapshot"]},
                headers={"X-Consent-Form": person.company.form_id, "Origin": "https://shop.example"},
            )
            answers.append(shown(answer))

        assert answers[0][0] == 202, answers[0]
        assert answers == [answers[0]] * len(people)


class TestThePreferencePage:
    def test_answers_everybody_alike(self, people: list[Person]) -> None:
        answers = []
        for person in people:
            page = person.opens(f"/p?controller={person.company.key}&lang=nb")
            answers.append(shown(person.presses(page.form, {"email": person.email})))

        assert answers[0][0] == 200
        assert answers == [answers[0]] * len(people)


class TestAFlood:
    @pytest.mark.rule("DOI-09")
    def test_from_many_networks_sends_one_mail_and_is_answered_alike(self, world: World, company: Company) -> None:
        answers = []
        for number in range(50):
            page = Page(world.client.get(f"/f/{company.form_id}?lang=nb").text)
            world.time_passes()
            data = {**page.form.fields, "email": KARI, "consent": NEWSLETTER}
            source = {"REMOTE_ADDR": f"198.51.100.{number}"}
            answers.append(shown(world.client.post(page.form.action, data=data, environ_base=source)))
            if number % 10 == 0:
                world.mail_goes_out()
        world.mail_goes_out()

        assert answers == [answers[0]] * 50
        assert 1 <= len(world.sink.messages_to(KARI)) <= 2

    @pytest.mark.rule("DOI-09")
    def test_of_one_controller_after_another_stays_small(self, world: World) -> None:
        for key in ("aker", "bjerke", "colletts", "dokka", "eidsvoll"):
            person = Person(world, world.a_company(key), KARI)
            person.signs_up()
            world.mail_goes_out()

        assert len(world.sink.messages_to(KARI)) == 3

    def test_does_not_lock_the_person_out(self, world: World, company: Company) -> None:
        kari = Person(world, company, KARI)
        for _ in range(5):
            kari.signs_up([NEWSLETTER, "survey:email"])
            world.mail_goes_out()

        kari.confirms()

        assert kari.is_on_the_list()
