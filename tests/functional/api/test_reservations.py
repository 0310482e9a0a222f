"""Live calls and post under the reservation regime: washed this month, not reserved, and in calling hours, or no."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner

from consent_service.audit import trail
from consent_service.cli import main
from consent_service.db.session import Database
from consent_service.registry import controllers, purpose_settings
from consent_service.subjects import fields, identity
from tests import builders
from tests.builders import NOON
from tests.functional.api.conftest import System

HERS = "+4740000001"
HIS = "+4740000002"
HOME = "Storgata 1, 0155 Oslo"
DAY = timedelta(days=1)

Wash = Callable[..., None]


@pytest.fixture
def shop(system: System, database: Database, controller: str, clock: time_machine.Traveller) -> System:
    """Let the shop call and write about its tours on a recorded balancing; it has known her and him since yesterday."""
    with database.transaction(controller) as session:
        builders.a_published_purpose(session, key="tours", channels=("phone", "post"), double_opt_in=False)
        changes = {"reservation_enabled": True, "balancing": "LIA-7", "balanced_on": NOON.date()}
        purpose_settings.change(session, key="tours", changes=changes, actor=trail.SYSTEM, at=NOON)
        form = builders.a_form(session, key="counter", offers=[("tours", "phone")], fields=[builders.PHONE_FIELD])
        for contacts in ((HERS, HOME), (HIS,)):
            subject_id = identity.create(session, at=NOON - DAY, actor=trail.SYSTEM)
            for text in contacts:
                contact = fields.parse_phone(text) if text.startswith("+") else fields.parse_post(text)
                identity.attach_point(session, subject_id=subject_id, contact=contact, verified_at=None, at=NOON - DAY)
    del clock
    return System(system.client, system.key, form.form_id)


@pytest.fixture
def wash(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wash:
    """Import a file of the register with the command that operators use."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run(*lines: str, header: str = "phone;reserved;reserved_charity;certain") -> None:
        file = tmp_path / "register.csv"
        file.write_text("\n".join((header, *lines)), encoding="utf-8")
        command = ("import", "reservations", str(file), "--controller", "nordlys", "--data", str(tmp_path))
        result = CliRunner().invoke(main.consent, command)
        assert result.exit_code == 0, result.output

    return run


def check(system: System, who: str = HERS, **asked: object) -> dict[str, Any]:
    return system.check(purpose="tours", subject={"phone": who}, channel="phone", **asked)


def reason(system: System, who: str = HERS) -> str:
    decision = check(system, who)
    assert decision["allowed"] == (decision["reason"] in {"not_reserved", "consent_given"})
    return str(decision["reason"])


class TestCalls:
    @pytest.mark.rule("NO-05")
    @pytest.mark.rule("NO-06")
    def test_after_a_wash_whoever_is_not_reserved_may_be_called(self, shop: System, wash: Wash) -> None:
        assert reason(shop) == "reservation_check_stale"

        wash(f"{HIS};1;1;1")

        assert (reason(shop, HERS), reason(shop, HIS)) == ("not_reserved", "reserved")

    @pytest.mark.rule("NO-08")
    def test_a_yes_ends_with_the_day_and_asks_for_a_visible_number(self, shop: System, wash: Wash) -> None:
        wash(f"{HIS};1;1;1")

        decision = check(shop)

        assert decision["valid_until"] == "2026-03-02T16:00:00Z"
        assert {"sender_identity", "visible_caller_id", "objection_notice"} <= set(decision["obligations"])

    @pytest.mark.rule("NO-08")
    def test_nobody_is_called_at_night(self, shop: System, wash: Wash, clock: time_machine.Traveller) -> None:
        wash(f"{HIS};1;1;1")
        clock.shift(timedelta(hours=9))

        decision = check(shop)

        assert (decision["allowed"], decision["reason"]) == (False, "outside_calling_hours")
        assert decision["next_allowed_at"] == "2026-03-03T08:00:00Z"

    @pytest.mark.rule("NO-05")
    def test_a_wash_of_last_month_is_none(self, shop: System, wash: Wash, clock: time_machine.Traveller) -> None:
        wash(f"{HIS};1;1;1")
        clock.shift(30 * DAY)

        assert reason(shop) == "reservation_check_stale"

        wash(f"{HERS};1;0;1")

        assert (reason(shop, HERS), reason(shop, HIS)) == ("reserved", "not_reserved")

    @pytest.mark.rule("NO-05")
    def test_who_came_after_the_wash_was_not_washed(
        self, shop: System, wash: Wash, database: Database, controller: str, clock: time_machine.Traveller
    ) -> None:
        wash(f"{HIS};1;1;1")
        clock.shift(timedelta(minutes=1))
        newcomer = "+4740000009"
        with database.transaction(controller) as session:
            at = NOON + timedelta(minutes=1)
            subject_id = identity.create(session, at=at, actor=trail.SYSTEM)
            contact = fields.parse_phone(newcomer)
            identity.attach_point(session, subject_id=subject_id, contact=contact, verified_at=None, at=at)

        assert reason(shop, newcomer) == "reservation_check_stale"
        assert reason(shop, HERS) == "not_reserved"

    @pytest.mark.rule("NO-06")
    def test_an_entry_that_may_mean_somebody_else_counts_as_reserved(self, shop: System, wash: Wash) -> None:
        wash(f"{HERS};0;0;0")

        assert reason(shop) == "reserved"

    @pytest.mark.rule("NO-10")
    def test_a_charity_looks_at_the_reservation_against_charities(
        self, shop: System, wash: Wash, database: Database, controller: str
    ) -> None:
        wash(f"{HERS};1;0;1", f"{HIS};1;1;1")
        assert reason(shop, HERS) == "reserved"

        with database.transaction(controller) as session:
            charity = replace(controllers.get(session), is_charity=True)
            controllers.change_settings(session, changed=charity, actor=trail.SYSTEM, at=NOON)

        assert (reason(shop, HERS), reason(shop, HIS)) == ("not_reserved", "reserved")

    @pytest.mark.rule("NO-07")
    def test_who_told_the_shop_itself_is_not_called(self, shop: System, wash: Wash) -> None:
        wash(f"{HIS};1;1;1")

        shop.post("/v1/objections", {"subject": {"phone": HERS}, "channel": "phone"})

        assert reason(shop) == "objected"

    @pytest.mark.rule("NO-06")
    def test_an_own_yes_goes_before_the_register(self, shop: System, wash: Wash) -> None:
        wash(f"{HERS};1;1;1")
        report = shop.report(subject={"phone": HERS})
        report["decisions"] = [{"purpose": "tours", "channel": "phone", "granted": True}]

        assert shop.post("/v1/consents", report).status_code == 422
        report["evidence"]["occurred_at"] = "2026-03-02T12:00:00Z"
        assert shop.post("/v1/consents", report).status_code == 201

        assert reason(shop) == "consent_given"

    def test_the_past_is_judged_by_the_wash_of_its_time(
        self, shop: System, wash: Wash, clock: time_machine.Traveller
    ) -> None:
        wash(f"{HIS};1;1;1")
        clock.shift(timedelta(hours=1))
        wash(f"{HERS};1;1;1")

        assert reason(shop) == "reserved"
        assert check(shop, as_of="2026-03-02T12:30:00Z")["reason"] == "not_reserved"


class TestPost:
    def decision(self, system: System) -> dict[str, Any]:
        subject_id = system.post("/v1/subjects/lookup", {"phone": HERS}).get_json()["subject_id"]
        subject = {"id": subject_id, "contact_point": {"post": HOME}}
        return system.check(purpose="tours", subject=subject, channel="post")

    @pytest.mark.rule("NO-05")
    def test_each_kind_of_address_has_its_own_wash(self, shop: System, wash: Wash) -> None:
        wash(f"{HIS};1;1;1")
        assert self.decision(shop)["reason"] == "reservation_check_stale"

        wash("Lillegata 2 0155 Oslo", header="post")

        assert self.decision(shop)["reason"] == "not_reserved"

    @pytest.mark.rule("NO-06")
    def test_who_is_reserved_is_not_written_to(self, shop: System, wash: Wash) -> None:
        wash("STORGATA 1 0155 OSLO", header="post")

        assert self.decision(shop)["reason"] == "reserved"

    def test_there_are_no_hours_for_post(self, shop: System, wash: Wash, clock: time_machine.Traveller) -> None:
        wash("Lillegata 2 0155 Oslo", header="post")
        clock.shift(timedelta(hours=9))

        assert self.decision(shop)["allowed"] is True


@pytest.mark.rule("CAP-14")
class TestAge:
    def test_a_yes_from_before_age_mattered_is_none_any_more(
        self, system: System, database: Database, controller: str
    ) -> None:
        system.post("/v1/consents", system.report())
        assert system.check()["reason"] == "consent_given"

        with database.transaction(controller) as session:
            changes = {"age_condition": True}
            purpose_settings.change(session, key="survey", changes=changes, actor=trail.SYSTEM, at=NOON)

        assert system.check()["reason"] == "age_condition_not_met"

    @pytest.mark.parametrize("said", [{"age_at_least": 13}, {"acting": "guardian", "age_at_least": 8}])
    def test_a_declared_age_or_a_guardian_carries_it(
        self, system: System, database: Database, controller: str, said: dict[str, object]
    ) -> None:
        with database.transaction(controller) as session:
            changes = {"age_condition": True}
            purpose_settings.change(session, key="survey", changes=changes, actor=trail.SYSTEM, at=NOON)
        report = system.report()
        report["evidence"] |= said

        system.post("/v1/consents", report)

        assert system.check()["reason"] == "consent_given"
