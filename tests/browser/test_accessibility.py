"""Every page a person sees, in both themes and at both widths: axe finds nothing, and nothing runs out of sight."""

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from consent_service import clock
from consent_service.consent import public_links
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import Database
from consent_service.registry import controllers
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from tests.browser.conftest import World

KARI = "kari@kunde.example"
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
LOOKS = [(1280, "light"), (320, "dark")]

Tab = Callable[[int, str], Page]


@pytest.fixture
def tab(open_context: Callable[..., BrowserContext]) -> Tab:
    """Return what opens a tab of a width and a theme."""

    def open_tab(width: int, theme: str) -> Page:
        return open_context(viewport={"width": width, "height": 800}, color_scheme=theme).new_page()

    return open_tab


def demand_accessible(page: Page, name: str) -> None:
    """Fail with what axe finds, or where the page is wider than the screen (WCAG 1.4.10)."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document)")
    violations = [f"{name}: {each['id']} {[node['target'] for node in each['nodes']]}" for each in found["violations"]]
    assert violations == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name


def demand_equal(page: Page, first: str, second: str) -> None:
    """Fail where two answers differ in size (CAP-19)."""
    boxes = [page.get_by_role("button", name=name).bounding_box() for name in (first, second)]
    sizes = [(round(box["width"]), round(box["height"])) for box in boxes if box is not None]
    assert len(sizes) == 2
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("width", "theme"), LOOKS)
class TestPages:
    def test_the_form_and_its_answers(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)

        page.goto(world.form_url())
        demand_accessible(page, "form")
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Bli medlem").click()
        demand_accessible(page, "form with faults")
        page.get_by_label("E-post", exact=True).fill(KARI)
        page.get_by_role("button", name="Bli medlem").click()
        demand_accessible(page, "nothing ticked")
        page.goto(f"{world.form_url()}?lang=fr")
        demand_accessible(page, "unknown language")
        page.set_extra_http_headers({"Accept": "text/html"})
        page.goto(f"{world.url}/f/unknown")
        demand_accessible(page, "unknown form")

    def test_the_embedded_form(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)

        page.goto(world.host_url)
        expect(page.get_by_role("checkbox")).to_have_count(6)
        demand_accessible(page, "embedded form")
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Bli medlem").click()
        expect(page.get_by_role("alert")).to_be_visible()
        demand_accessible(page, "embedded form with faults")

    def test_the_code_of_an_sms(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)

        page.goto(world.form_url())
        page.get_by_label("E-post", exact=True).fill(KARI)
        page.get_by_label("Mobil").fill("900 00 000")
        page.get_by_role("checkbox", name="SMS fra Nordlys Sport AS om kampanjer").check()
        page.get_by_role("button", name="Bli medlem").click()
        demand_accessible(page, "code is on its way")
        page.get_by_label("Koden i tekstmeldingen").fill("x")
        page.get_by_role("button", name="Bekreft nummeret").click()
        demand_accessible(page, "wrong code")
        page.get_by_role("button", name="Send meg en ny kode").click()
        demand_accessible(page, "new code")

    @pytest.mark.rule("CAP-19")
    def test_the_confirmation(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)
        link = ask(page, world)

        page.goto(link)
        demand_accessible(page, "confirm")
        demand_equal(page, "Ja, bekreft", "Dette var ikke meg")
        page.get_by_role("button", name="Ja, bekreft").click()
        demand_accessible(page, "code")
        page.get_by_label("Koden i meldingen").fill("x")
        page.get_by_role("button", name="Ja, bekreft").click()
        demand_accessible(page, "wrong code")
        page.goto(f"{link}/reject")
        demand_accessible(page, "reject")
        confirm(page, world, link)
        demand_accessible(page, "confirmed")
        page.goto(link)
        demand_accessible(page, "already confirmed")
        page.goto(f"{link}x")
        demand_accessible(page, "invalid link")

    def test_not_me(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)
        page.goto(f"{ask(page, world)}/reject")
        world.wait_as_people_do()

        page.get_by_role("button", name="Dette var ikke meg").click()
        demand_accessible(page, "rejected")
        page.get_by_role("button", name="Opphev sperren").click()
        demand_accessible(page, "undone")

    @pytest.mark.rule("CAP-19")
    def test_the_preference_centre(self, tab: Tab, world: World, width: int, theme: str) -> None:
        page = tab(width, theme)
        confirm(page, world, ask(page, world))
        page.goto(f"{world.url}/p?controller=nordlys-sport")
        demand_accessible(page, "ask for a link")
        page.get_by_role("button", name="Send meg lenken").click()
        demand_accessible(page, "ask with a fault")
        page.get_by_label("E-post").fill(KARI)
        page.get_by_role("button", name="Send meg lenken").click()
        demand_accessible(page, "asked")

        page.goto(world.link_in(world.mail_to(KARI), "p"))
        demand_accessible(page, "preferences")
        demand_equal(page, "Lagre", "Trekk alt tilbake")
        page.get_by_role("button", name="Trekk alt tilbake").click()
        demand_accessible(page, "saved")
        page.goto(f"{world.url}/p/x")
        demand_accessible(page, "invalid link")

    def test_one_click_out(self, tab: Tab, world: World, database: Database, width: int, theme: str) -> None:
        page = tab(width, theme)
        confirm(page, world, ask(page, world))
        links = sender_links(database, world)

        page.goto(links.preferences_url)
        demand_accessible(page, "stop messages")
        page.goto(links.unsubscribe_url)
        demand_accessible(page, "unsubscribe")
        page.get_by_role("button", name="Meld deg av").click()
        demand_accessible(page, "unsubscribed")
        assert not world.is_allowed(KARI)


def ask(page: Page, world: World) -> str:
    """Sign up for the newsletter and return the link of the mail."""
    page.goto(world.form_url("nyhetsbrev"))
    page.get_by_label("E-post", exact=True).fill(KARI)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Send").click()
    demand_accessible(page, "sent")
    return world.link_in(world.mail_to(KARI), "c")


def confirm(page: Page, world: World, link: str) -> None:
    """Open a link, read the page, and press its button."""
    page.goto(link)
    world.wait_as_people_do()
    page.get_by_role("button", name="Ja, bekreft").click()
    expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()


def sender_links(database: Database, world: World) -> public_links.SenderLinks:
    """Make the links that the shop puts into its newsletter to Kari."""
    with database.platform_transaction() as session:
        controller_id = controllers.find_id(session, key=world.shop.key)
    assert controller_id is not None
    with database.transaction(controller_id) as session:
        return public_links.sender_links(
            session,
            reference=SubjectReference(contact=fields.parse_email(KARI)),
            scope=Scope("newsletter", "email"),
            public_url=world.url,
            at=clock.now(),
        )
