"""Promise: withdrawing is as easy as giving.

It takes no more acts than giving did, no account and no reason; it counts for every check that starts after its answer;
it works from every mail and by machine; and no system can undo it (GDPR Art. 7(3), 21; RFC 8058).
"""

from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from tests.builders import KARI
from tests.functional.pages.reading import Page
from tests.promises.world import Company, Person, World

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody who subscribes to the newsletter."""
    return world.a_subscriber(company, KARI)


def links_for(person: Person, purpose: str | None = "newsletter") -> dict[str, str]:
    """Ask for the links and headers that the company puts into a mail to her."""
    body: dict[str, object] = {"subject": {"email": person.email}}
    if purpose:
        body |= {"purpose": purpose, "channel": "email"}
    answer = person.world.call(person.company, "/v1/links", body)
    assert answer.json is not None
    made = answer.json
    return {"unsubscribe": made["unsubscribe_url"], "preferences": made["preferences_url"], **made["headers"]}


def path_of(url: str) -> str:
    """Return the path of one of our links."""
    return url.removeprefix("http://127.0.0.1:8000")


def one_click(person: Person, path: str, **how: object) -> TestResponse:
    """Post what a mail client posts: no cookie, no Origin, no page before it."""
    fresh = person.world.client.application.test_client(use_cookies=False)
    return fresh.post(path, data=ONE_CLICK, **how)


class TestTheEffort:
    @pytest.mark.rule("WD-01")
    def test_from_a_mail_is_less_than_signing_up_was(self, kari: Person) -> None:
        giving = len(kari.acts)
        path = path_of(links_for(kari)["unsubscribe"])

        kari.acts.clear()
        page = kari.opens(path)
        answer = kari.presses(page.form)

        assert answer.status_code == 200
        assert len(kari.acts) <= giving
        assert not kari.is_on_the_list()

    @pytest.mark.rule("WD-01")
    def test_in_the_preference_centre_is_no_more_either(self, kari: Person) -> None:
        giving = len(kari.acts)

        kari.acts.clear()
        page = kari.asks_for_her_choices()
        kari.presses(page.form, {"action": "withdraw_all"})

        assert len(kari.acts) <= giving
        assert not kari.is_on_the_list()

    @pytest.mark.rule("WD-01")
    def test_asks_for_no_login_no_reason_and_no_riddle(self, kari: Person) -> None:
        page = kari.opens(path_of(links_for(kari)["unsubscribe"]))

        typed = [values for tag, values in page.tags if tag in {"input", "textarea", "select"}]
        assert {values.get("type") for values in typed} == {"hidden"}
        assert "set-cookie" not in str(kari.world.client.get(path_of(links_for(kari)["unsubscribe"])).headers).lower()


class TestTheEffect:
    @pytest.mark.rule("WD-02")
    def test_is_there_in_every_check_that_starts_after_the_answer(self, kari: Person) -> None:
        before = kari.world.check(kari.company, KARI)
        answer = kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})
        after = kari.world.check(kari.company, KARI)

        assert answer.status_code == 200
        assert (before["allowed"], after["allowed"], after["reason"]) == (True, False, "consent_withdrawn")

    @pytest.mark.rule("WD-02")
    def test_leaves_the_past_as_it_was(self, kari: Person) -> None:
        moment = kari.world.check(kari.company, KARI)["evaluated_at"]
        kari.world.time_passes(timedelta(days=1))
        kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})
        kari.world.time_passes()

        answer = kari.world.call(
            kari.company,
            "/v1/checks",
            {"subject": {"email": KARI}, "purpose": "newsletter", "channel": "email", "as_of": moment},
        )

        assert answer.json is not None
        assert (answer.json["allowed"], answer.json["reason"]) == (True, "consent_given")

    def test_covers_everything_when_nothing_is_named(self, kari: Person) -> None:
        kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})

        assert kari.world.check(kari.company, KARI, purpose="survey")["reason"] == "consent_withdrawn"

    def test_of_a_stranger_is_taken_as_well_and_remembered(self, kari: Person) -> None:
        stranger = "aldri.sett@kunde.example"

        answer = kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": stranger}})

        assert answer.status_code == 200
        assert kari.world.check(kari.company, stranger)["reason"] == "suppressed"


class TestOneClick:
    @pytest.mark.rule("MAIL-01")
    def test_comes_with_both_headers_letter_by_letter(self, kari: Person) -> None:
        made = links_for(kari)

        assert made["List-Unsubscribe"] == f"<{made['unsubscribe']}>"
        assert made["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    @pytest.mark.rule("WD-06", "MAIL-03", "MAIL-04")
    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
    def test_works_without_cookies_in_both_encodings_and_is_not_redirected(
        self, kari: Person, content_type: str
    ) -> None:
        answer = one_click(kari, path_of(links_for(kari)["unsubscribe"]), content_type=content_type)

        assert answer.status_code == 200
        assert "Location" not in answer.headers
        assert not kari.is_on_the_list()

    @pytest.mark.rule("MAIL-03")
    @pytest.mark.parametrize("body", [{}, {"List-Unsubscribe": "Yes"}, {"One-Click": "List-Unsubscribe"}])
    def test_needs_its_pair_of_words(self, kari: Person, body: dict[str, str]) -> None:
        answer = kari.world.client.post(path_of(links_for(kari)["unsubscribe"]), data=body)

        assert answer.status_code == 400
        assert kari.is_on_the_list()

    @pytest.mark.rule("MAIL-05")
    def test_changes_nothing_when_somebody_only_opens_the_link(self, kari: Person) -> None:
        path = path_of(links_for(kari)["unsubscribe"])

        opened = [kari.world.client.get(path).status_code, kari.world.client.head(path).status_code]

        assert opened == [200, 200]
        assert Page(kari.world.client.get(path).text).form.fields["List-Unsubscribe"] == "One-Click"
        assert kari.is_on_the_list()

    @pytest.mark.rule("MAIL-02")
    def test_link_cannot_be_forged(self, kari: Person) -> None:
        path = path_of(links_for(kari)["unsubscribe"])
        forged = [path[:place] + _other(path[place]) + path[place + 1 :] for place in range(3, len(path), 7)]

        answers = {one_click(kari, each).status_code for each in forged}

        assert answers <= {400, 404}
        assert kari.is_on_the_list()

    def test_may_be_pressed_again(self, kari: Person) -> None:
        path = path_of(links_for(kari)["unsubscribe"])

        assert [one_click(kari, path).status_code for _ in range(3)] == [200] * 3


class TestALinkInAMailThatWasPassedOn:
    @pytest.mark.rule("WD-13")
    def test_shows_a_masked_address_and_nothing_more(self, kari: Person) -> None:
        made = links_for(kari)

        pages = [kari.world.client.get(path_of(made[name])).text for name in ("unsubscribe", "preferences")]

        for page in pages:
            assert "k•••@k•••.example" in page
            assert KARI not in page
            assert "survey" not in page

    @pytest.mark.rule("WD-13")
    def test_can_stop_and_never_give(self, kari: Person) -> None:
        kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})
        path = path_of(links_for(kari)["preferences"])

        kari.world.client.post(
            path, data={"consent": "newsletter:email", "shown": "newsletter:email", "action": "save"}
        )

        assert not kari.is_on_the_list()


class TestObjection:
    @pytest.mark.rule("WD-03")
    def test_beats_a_consent_and_cannot_be_reported_away(self, kari: Person) -> None:
        kari.world.call(kari.company, "/v1/objections", {"subject": {"email": KARI}})
        report = {
            "subject": {"email": KARI},
            "form": kari.company.form_id,
            "language": "nb",
            "decisions": [{"purpose": "survey", "channel": "email", "granted": True}],
            "evidence": {"method": "app", "act": "button_pressed", "occurred_at": "2026-03-02T12:00:00Z"},
        }

        answer = kari.world.call(kari.company, "/v1/consents", report)

        assert (answer.status_code, (answer.json or {})["code"]) == (409, "objected")
        assert kari.world.check(kari.company, KARI)["reason"] == "objected"

    @pytest.mark.rule("WD-04")
    def test_is_lifted_by_her_own_confirmed_act_for_that_alone(self, kari: Person) -> None:
        kari.world.call(kari.company, "/v1/objections", {"subject": {"email": KARI}})
        kari.world.time_passes(timedelta(days=2))

        kari.signs_up()
        kari.world.mail_goes_out()
        kari.confirms()

        assert kari.is_on_the_list("newsletter")
        assert kari.world.check(kari.company, KARI, purpose="survey")["reason"] == "objected"


def _other(character: str) -> str:
    return "A" if character != "A" else "B"
