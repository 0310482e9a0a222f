"""A form that asks for age, in a real browser: hosted, and drawn on a foreign site."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from consent_service import clock
from consent_service.audit import trail
from consent_service.consent.models import LedgerEntry
from consent_service.db.session import Database
from consent_service.registry import controllers, purpose_settings
from tests.browser.conftest import World
from tests.browser.test_accessibility import demand_accessible

KARI = "kari@kunde.example"
NEWSLETTER = "e-post fra Nordlys Sport AS om sportsutstyr"
AGE = "Jeg er minst 13 år"


@pytest.fixture
def shop_id(world: World, database: Database) -> str:
    """Let age matter for the shop's newsletter; return the shop's id."""
    with database.platform_transaction() as session:
        known = {row.key: row.controller_id for row in controllers.list_directory(session)}
    with database.transaction(known[world.shop.key]) as session:
        changes = {"age_condition": True}
        purpose_settings.change(session, key="newsletter", changes=changes, actor=trail.SYSTEM, at=clock.now())
    return known[world.shop.key]


def fill_in(page: Page, *boxes: str) -> None:
    page.get_by_label("E-post", exact=True).fill(KARI)
    for name in boxes:
        page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name="Bli medlem").click()


@pytest.mark.rule("CAP-14")
class TestAge:
    def test_the_element_asks_and_the_answer_reaches_the_ledger(
        self, page: Page, world: World, database: Database, shop_id: str
    ) -> None:
        page.goto(world.host_url)
        expect(page.get_by_role("checkbox", name=AGE)).not_to_be_checked()
        fill_in(page, NEWSLETTER)
        expect(page.get_by_role("alert")).to_contain_text("verge")
        demand_accessible(page, "embedded form that asks for age")

        fill_in(page, AGE)
        expect(page.get_by_role("heading", name="Én ting gjenstår")).to_be_focused()
        page.goto(world.link_in(world.mail_to(KARI), "c"))
        world.wait_as_people_do()
        page.get_by_role("button", name="Ja, bekreft").click()
        expect(page.get_by_role("heading", name="Takk, det er bekreftet")).to_be_visible()

        assert world.is_allowed(KARI)
        with database.transaction(shop_id) as session:
            assert session.scalars(select(LedgerEntry.age_at_least)).all() == [13]

    def test_the_hosted_form_says_what_to_do(self, page: Page, world: World, shop_id: str) -> None:
        page.goto(world.form_url())
        fill_in(page, NEWSLETTER)

        expect(page.get_by_role("alert")).to_contain_text("verge")
        demand_accessible(page, "form that asks for age")
        assert shop_id
