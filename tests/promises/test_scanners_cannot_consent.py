"""Promise: scanners cannot consent.

Mail systems fetch every link of a mail, some run the page's script, some press its buttons. None of that gives or takes
back a consent, none of it uses the link up, and the person can still press herself (RFC 9110 §9.2.1; law.md DOI-03).
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import KARI
from tests.functional.pages.reading import Page
from tests.promises.world import Company, Person, World

Scanner = Callable[[World, str], object]


def heads(world: World, path: str) -> None:
    """Ask whether the link is there."""
    world.client.head(path)


def fetches(world: World, path: str) -> None:
    """Fetch the link once."""
    world.client.get(path)


def fetches_five_times(world: World, path: str) -> None:
    """Fetch the link again and again."""
    for _ in range(5):
        world.client.get(path)


def fetches_everything_on_the_page(world: World, path: str) -> None:
    """Follow every link and load every file of the page, as a browser that runs its script would."""
    page = Page(world.client.get(path).text)
    for tag, values in page.tags:
        target = values.get("href") or values.get("src")
        if tag in {"a", "link", "script", "img"} and target and target.startswith("/"):
            world.client.get(target).close()


def submits_at_once(world: World, path: str) -> None:
    """Send the page's form in the moment it is there."""
    form = Page(world.client.get(path).text).forms[0]
    world.client.post(form.action, data=form.fields)


def submits_after_a_second(world: World, path: str) -> None:
    """Wait for the page to settle, then send its form."""
    form = Page(world.client.get(path).text).forms[0]
    world.time_passes(timedelta(seconds=1))
    world.client.post(form.action, data=form.fields)


def prefetches(world: World, path: str) -> None:
    """Fetch ahead of a person, as browsers and chat programs do."""
    world.client.get(path, headers={"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch", "X-Moz": "prefetch"})


def presses_every_button(world: World, path: str) -> None:
    """Press all that can be pressed, in less than a second, on the page and on the page behind it."""
    page = Page(world.client.get(path).text)
    targets = {form.action for form in page.forms}
    targets |= {values["formaction"] or "" for tag, values in page.tags if tag == "button" and "formaction" in values}
    for target in sorted(targets):
        answer = world.client.post(target, data=page.forms[0].fields)
        for form in Page(answer.text).forms:
            world.client.post(form.action, data=form.fields)


def posts_nothing(world: World, path: str) -> None:
    """Send an empty form to the link."""
    world.client.post(path)
    world.client.post(f"{path}/reject")


def posts_what_it_made_up(world: World, path: str) -> None:
    """Send a form with values of its own."""
    world.client.post(path, data={"nonce": "AAAA", "confirm": "yes"})
    world.client.post(f"{path}/reject", data={"nonce": "AAAA"})


def comes_from_elsewhere(world: World, path: str) -> None:
    """Fetch from one network and submit from another."""
    form = Page(world.client.get(path, environ_base={"REMOTE_ADDR": "203.0.113.5"}).text).forms[0]
    world.client.post(form.action, data=form.fields, environ_base={"REMOTE_ADDR": "203.0.113.77"})


def opens_the_other_link(world: World, path: str) -> None:
    """Fetch the link for *this was not me*."""
    world.client.get(f"{path}/reject")
    world.client.head(f"{path}/reject")


def asks_with_other_methods(world: World, path: str) -> None:
    """Try what else HTTP has."""
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE"):
        world.client.open(path, method=method)


SCANNERS: tuple[Scanner, ...] = (
    heads,
    fetches,
    fetches_five_times,
    fetches_everything_on_the_page,
    submits_at_once,
    submits_after_a_second,
    prefetches,
    presses_every_button,
    posts_nothing,
    posts_what_it_made_up,
    comes_from_elsewhere,
    opens_the_other_link,
    asks_with_other_methods,
)

#: Those that need no form on the page, for a link that was used shows none.
RESCANNERS: tuple[Scanner, ...] = (heads, fetches_five_times, prefetches, posts_nothing, posts_what_it_made_up)


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody with a confirmation mail in her mailbox."""
    person = Person(world, company, KARI)
    person.signs_up()
    world.mail_goes_out()
    return person


class TestAConfirmationLink:
    @pytest.mark.rule("DOI-03")
    @pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.__name__)
    def test_gives_a_scanner_nothing_and_stays_usable(self, kari: Person, scanner: Scanner) -> None:
        scanner(kari.world, kari.link())

        assert kari.world.check(kari.company, KARI)["reason"] == "confirmation_pending"
        kari.confirms()
        assert kari.is_on_the_list()

    @pytest.mark.rule("DOI-06")
    @pytest.mark.parametrize("scanner", RESCANNERS, ids=lambda scanner: scanner.__name__)
    def test_changes_nothing_when_it_is_scanned_again_later(self, kari: Person, scanner: Scanner) -> None:
        kari.confirms()

        scanner(kari.world, kari.link())

        assert kari.world.check(kari.company, KARI)["status"] == "given"


class TestAMachineThatPresses:
    @pytest.mark.rule("DOI-03", "DOI-04")
    def test_is_asked_for_the_code_of_the_mail(self, kari: Person) -> None:
        form = Page(kari.world.client.get(kari.link()).text).forms[0]

        page = Page(kari.world.client.post(form.action, data=form.fields).text)

        assert "code" in page.forms[0].fields
        answer = kari.presses(page.forms[0], {"code": kari.code()})
        assert answer.status_code == 200
        assert kari.is_on_the_list()

    @pytest.mark.rule("DOI-03")
    def test_finds_no_script_that_presses_for_it(self, kari: Person) -> None:
        answer = kari.world.client.get(kari.link())

        tags = {tag for tag, _ in Page(answer.text).tags}
        assert "script" not in tags
        assert not any(name.startswith("on") for _, values in Page(answer.text).tags for name in values)
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]


class TestASendersLinks:
    @pytest.mark.rule("MAIL-05")
    @pytest.mark.parametrize("name", ["unsubscribe_url", "preferences_url"])
    @pytest.mark.parametrize(
        "scanner",
        [heads, fetches_five_times, prefetches, posts_nothing, posts_what_it_made_up, asks_with_other_methods],
        ids=lambda scanner: scanner.__name__,
    )
    def test_withdraw_nothing_for_a_scanner(self, kari: Person, name: str, scanner: Scanner) -> None:
        kari.confirms()
        answer = kari.world.call(kari.company, "/v1/links", {"subject": {"email": KARI}})
        assert answer.json is not None

        scanner(kari.world, answer.json[name].removeprefix("http://127.0.0.1:8000"))

        assert kari.is_on_the_list()
