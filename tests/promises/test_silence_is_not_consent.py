"""Promise: silence is not consent.

Nobody becomes a subscriber by doing nothing: no box is ticked in advance, sending a form with empty boxes records
nothing, ticking a box records nothing until the holder of the address has confirmed it, and whatever is not known
counts as no (GDPR Art. 4(11), 25(2); CJEU C-673/17 Planet49).
"""

from datetime import timedelta

import pytest

from tests.builders import KARI, KARIS_PHONE, LANGUAGES
from tests.promises.world import NEWSLETTER, OFFERS, Company, Person, World


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody who has not done anything yet."""
    return Person(world, company, KARI)


class TestBoxes:
    @pytest.mark.rule("CAP-01")
    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(
        "query", ["", "&consent=newsletter:email", "&newsletter=on", "&checked=1&email=a@b.example"]
    )
    def test_begin_empty_in_every_language_whatever_stands_in_the_address(
        self, kari: Person, language: str, query: str
    ) -> None:
        page = kari.opens(f"/f/{kari.company.form_id}?lang={language}{query}")

        assert page.form.boxes == [NEWSLETTER, "survey:email", OFFERS]
        assert page.form.ticked == []

    @pytest.mark.rule("CAP-01")
    def test_are_empty_again_after_a_mistake(self, kari: Person) -> None:
        page = kari.opens(f"/f/{kari.company.form_id}")

        answer = kari.presses(page.form, {"email": "not an address", "consent": [NEWSLETTER]})

        again = [form for form in type(page)(answer.text).forms if form.boxes]
        assert answer.status_code == 422
        assert [form.ticked for form in again] == [[]]

    @pytest.mark.rule("CAP-01")
    def test_are_empty_in_what_the_embed_element_draws(self, kari: Person) -> None:
        definition = kari.world.client.get(f"/f/{kari.company.form_id}/definition")

        assert definition.status_code == 200
        assert not {"checked", "default", "selected"} & _names(definition.json)

    @pytest.mark.rule("CAP-03")
    def test_stand_one_for_each_purpose_and_count_one_by_one(self, kari: Person) -> None:
        kari.signs_up([NEWSLETTER])
        kari.world.mail_goes_out()
        kari.confirms()

        assert kari.is_on_the_list("newsletter")
        assert not kari.is_on_the_list("survey")


class TestAnEmptyForm:
    @pytest.mark.rule("CAP-05")
    def test_is_taken_kindly_and_records_nothing(self, kari: Person) -> None:
        answer = kari.signs_up([])

        assert answer.status_code == 200
        assert kari.world.mail_goes_out() == 0
        assert kari.world.check(kari.company, KARI)["status"] == "unknown"

    def test_takes_nothing_away_from_somebody_who_consented_before(self, kari: Person) -> None:
        kari.world.a_subscriber(kari.company, KARI)

        kari.signs_up([])

        assert kari.is_on_the_list()


class TestATickedBox:
    @pytest.mark.rule("DOI-01")
    def test_is_no_consent_before_the_address_is_confirmed(self, kari: Person) -> None:
        kari.signs_up()
        kari.world.mail_goes_out()

        decision = kari.world.check(kari.company, KARI)

        assert (decision["allowed"], decision["status"], decision["reason"]) == (
            False,
            "requested",
            "confirmation_pending",
        )

    def test_is_shown_to_her_as_waiting(self, kari: Person) -> None:
        kari.signs_up()
        kari.world.mail_goes_out()

        page = kari.asks_for_her_choices()

        assert "Venter på at du bekrefter" in page.html
        assert page.form.ticked == []

    @pytest.mark.rule("DOI-07")
    def test_that_nobody_confirmed_never_becomes_one(self, kari: Person) -> None:
        kari.signs_up()
        kari.world.mail_goes_out()
        link = kari.link()

        kari.world.time_passes(timedelta(days=8))

        assert kari.world.client.get(link).status_code == 410
        assert not kari.is_on_the_list()

    @pytest.mark.rule("DOI-02")
    def test_for_the_phone_is_no_consent_when_the_mail_is_confirmed(self, kari: Person) -> None:
        kari.signs_up([NEWSLETTER, OFFERS], phone=KARIS_PHONE)
        kari.world.mail_goes_out()
        kari.confirms()

        by_sms = kari.world.check(kari.company, KARI, purpose="offers", channel="sms", subject={"phone": KARIS_PHONE})

        assert kari.is_on_the_list("newsletter")
        assert (by_sms["allowed"], by_sms["reason"]) == (False, "confirmation_pending")


class TestTheUnknown:
    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize(
        ("purpose", "channel", "reason"),
        [
            ("newsletter", "email", "no_consent"),
            ("no_such_purpose", "email", "purpose_unknown"),
            ("newsletter", "sms", "channel_not_offered"),
            ("newsletter", "smoke", "channel_not_offered"),
        ],
    )
    def test_is_answered_no(self, kari: Person, purpose: str, channel: str, reason: str) -> None:
        decision = kari.world.check(kari.company, KARI, purpose=purpose, channel=channel)

        assert (decision["allowed"], decision["reason"], decision["valid_until"]) == (False, reason, None)

    @pytest.mark.rule("CAP-04")
    def test_channel_is_no_when_another_one_is_yes(self, kari: Person) -> None:
        kari.world.a_subscriber(kari.company, KARI)

        assert kari.is_on_the_list("newsletter")
        assert not kari.world.check(kari.company, KARI, purpose="offers", channel="sms")["allowed"]


def _names(document: object) -> set[str]:
    """Return every member name that occurs anywhere in a JSON document."""
    if isinstance(document, dict):
        return set(document).union(*(_names(value) for value in document.values()))
    if isinstance(document, list):
        return set().union(*(_names(value) for value in document))
    return set()
