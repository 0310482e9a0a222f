"""The main job, end to end in a real browser: ask, confirm, be told yes; withdraw, be told no."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.browser.conftest import World

KARI = "kari@kunde.example"
PHONE = "+4790000000"


def sign_up_on_the_shop(page: Page, world: World) -> None:
    """Tick the newsletter in the form that the shop embeds, and send it."""
    page.goto(world.host_url)
    page.get_by_label("E-post", exact=True).fill(KARI)
    page.get_by_role("checkbox", name="e-post fra Nordlys Sport AS om sportsutstyr").check()
    page.get_by_role("button", name="Bli medlem").click()
    expect(page.get_by_role("heading", name="Én ting gjenstår")).to_be_focused()


class TestEmbeddedForm:
    @pytest.mark.rule("DOI-01")
    @pytest.mark.rule("WD-02")
    def test_from_a_foreign_site_to_yes_and_back_to_no(self, page: Page, world: World) -> None:
        sign_up_on_the_shop(page, world)
        assert not world.is_allowed(KARI)

        page.goto(world.link_in(world.mail_to(KARI), "c"))
        world.wait_as_people_do()
        page.get_by_role("button", name="Ja, bekreft").click()
        expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()
        assert world.is_allowed(KARI)

        page.get_by_role("main").get_by_role("link", name="Mine valg").click()
        page.get_by_label("E-post").fill(KARI)
        page.get_by_role("button", name="Send meg lenken").click()
        page.goto(world.link_in(world.mail_to(KARI), "p"))
        page.get_by_role("checkbox", name="e-post fra Nordlys Sport AS om sportsutstyr").uncheck()
        page.get_by_role("button", name="Lagre").click()
        expect(page.get_by_role("status")).to_contain_text("Fra nå av får du ikke lenger: Nyhetsbrev (e-post)")
        assert not world.is_allowed(KARI)

    @pytest.mark.rule("NO-13")
    def test_it_sets_nothing_on_the_device_and_asks_no_third_party(self, page: Page, world: World) -> None:
        asked: set[str] = set()

        def note(request: Request) -> None:
            asked.add("/".join(request.url.split("/")[:3]))

        page.on("request", note)

        sign_up_on_the_shop(page, world)

        assert asked == {world.host_url, world.url}
        assert page.context.cookies() == []
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]") == [0, 0, 0]
        assert page.evaluate("indexedDB.databases()") == []

    @pytest.mark.rule("CAP-01")
    def test_no_box_is_ticked_before_nor_after_going_back(self, page: Page, world: World) -> None:
        page.goto(world.host_url)
        boxes = page.get_by_role("checkbox")
        expect(boxes).to_have_count(6)
        boxes.first.check()

        page.goto(f"{world.url}/health/live")
        page.go_back()

        expect(boxes).to_have_count(6)
        assert not any(box.is_checked() for box in boxes.all())

    def test_a_fault_is_said_on_top_and_leads_to_its_field(self, page: Page, world: World) -> None:
        page.goto(world.host_url)
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Bli medlem").click()

        expect(page.get_by_role("alert")).to_be_focused()
        page.get_by_role("link", name="Skriv e-postadressen din.").click()

        expect(page.get_by_label("E-post", exact=True)).to_be_focused()

    def test_what_looks_like_markup_stays_text(self, page: Page, world: World) -> None:
        page.route(
            "**/definition*",
            lambda route: route.fulfill(
                response=(answer := route.fetch()),
                json={**answer.json(), "title": "<img src=x onerror=alert(1)>", "choices_url": "javascript:alert(1)"},
            ),
        )

        page.goto(world.host_url)

        expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)>")).to_be_visible()
        expect(page.get_by_role("link", name="Mine valg")).to_have_count(0)

    def test_without_the_service_the_link_to_the_form_remains(self, page: Page, world: World) -> None:
        page.route("**/definition*", lambda route: route.abort())

        page.goto(world.host_url)

        expect(page.get_by_role("link", name="Bli med")).to_be_visible()


class TestHostedForm:
    def test_it_works_without_javascript_and_with_the_code(
        self, open_context: Callable[..., BrowserContext], world: World
    ) -> None:
        page = open_context(java_script_enabled=False).new_page()
        page.goto(world.form_url("nyhetsbrev"))
        page.get_by_label("E-post", exact=True).fill(KARI)
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("status")).to_contain_text("k•••@k•••.example")

        mail = world.mail_to(KARI)
        page.goto(world.link_in(mail, "c"))
        page.get_by_role("button", name="Ja, bekreft").click()
        code = re.search(r"skriver du ([\d ]+)\.", mail)
        assert code is not None
        page.get_by_label("Koden i meldingen").fill(code[1])
        page.get_by_role("button", name="Ja, bekreft").click()

        expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()
        assert world.is_allowed(KARI)

    def test_it_needs_no_mouse(self, page: Page, world: World) -> None:
        page.goto(world.form_url("nyhetsbrev"))
        email, box, button = (
            page.get_by_label("E-post", exact=True),
            page.get_by_role("checkbox"),
            page.locator("button"),
        )

        for target, keys in ((email, KARI), (box, " "), (button, "")):
            _tab_to(page, target.evaluate("element => element.id || element.tagName"))
            expect(target).to_be_focused()
            page.keyboard.type(keys)
        page.keyboard.press("Enter")

        expect(page.get_by_role("heading", name="Én ting gjenstår")).to_be_visible()
        assert world.deliver() == 1

    @pytest.mark.rule("CAP-01")
    def test_after_a_fault_every_box_is_empty_and_the_focus_is_on_the_summary(self, page: Page, world: World) -> None:
        page.goto(world.form_url())
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Bli medlem").click()

        expect(page.get_by_role("alert")).to_be_focused()
        assert not any(box.is_checked() for box in page.get_by_role("checkbox").all())


class TestPhone:
    @pytest.mark.rule("DOI-02")
    @pytest.mark.rule("DOI-14")
    def test_the_code_confirms_the_number_and_the_mail_the_address(self, page: Page, world: World) -> None:
        page.goto(world.form_url())
        page.get_by_label("E-post", exact=True).fill(KARI)
        page.get_by_label("Mobil").fill(PHONE)
        page.get_by_role("checkbox", name="e-post fra Nordlys Sport AS om sportsutstyr").check()
        page.get_by_role("checkbox", name="SMS fra Nordlys Sport AS om kampanjer").check()
        page.get_by_role("button", name="Bli medlem").click()
        expect(page.get_by_role("heading", name="To ting gjenstår")).to_be_visible()

        page.get_by_label("Koden i tekstmeldingen").fill(world.code_to(PHONE))
        page.get_by_role("button", name="Bekreft nummeret").click()

        expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()
        assert world.is_allowed(phone=PHONE, purpose="sms_offers", channel="sms")
        assert not world.is_allowed(KARI)

    def test_from_a_foreign_site_the_code_is_typed_on_the_hosted_page(self, page: Page, world: World) -> None:
        page.goto(world.host_url)
        page.get_by_label("E-post", exact=True).fill(KARI)
        page.get_by_label("Mobil").fill(PHONE)
        page.get_by_role("checkbox", name="SMS fra Nordlys Sport AS om kampanjer").check()
        page.get_by_role("button", name="Bli medlem").click()
        expect(page.get_by_role("status")).not_to_contain_text("e-post")

        page.get_by_role("link", name="Skriv koden").click()
        page.get_by_label("Mobilnummer").fill(PHONE)
        page.get_by_label("Koden i tekstmeldingen").fill(world.code_to(PHONE))
        page.get_by_role("button", name="Bekreft nummeret").click()

        expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()
        assert world.is_allowed(phone=PHONE, purpose="sms_offers", channel="sms")


class TestScanner:
    @pytest.mark.rule("DOI-03")
    def test_a_browser_that_loads_the_page_and_presses_nothing_confirms_nothing(self, page: Page, world: World) -> None:
        sign_up_on_the_shop(page, world)
        link = world.link_in(world.mail_to(KARI), "c")

        for _ in range(3):
            page.goto(link, wait_until="networkidle")
            world.wait_as_people_do()

        assert not world.is_allowed(KARI)
        expect(page.get_by_role("button", name="Ja, bekreft")).to_be_visible()

    @pytest.mark.rule("DOI-04")
    def test_one_that_presses_at_once_is_asked_for_the_code(self, page: Page, world: World) -> None:
        sign_up_on_the_shop(page, world)
        page.goto(world.link_in(world.mail_to(KARI), "c"))

        page.get_by_role("button", name="Ja, bekreft").click()

        expect(page.get_by_label("Koden i meldingen")).to_be_visible()
        assert not world.is_allowed(KARI)


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is where it is wanted, as far as the page goes."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id || document.activeElement.tagName") == name:
            return
