"""Promise: one company never sees another's.

Every route of the API is called with another company's key, about objects that exist: nothing of them shows, and
nothing changes. A route that is not in the table below fails until somebody has thought about it. The database keeps
the wall itself; tests/house/test_isolation.py proves that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from werkzeug.test import TestResponse

from consent_service import identifiers
from consent_service.accounts import api_keys
from consent_service.audit import logs
from consent_service.db.session import Database
from consent_service.web import access
from tests import builders
from tests.audit_logs import LogKeeper
from tests.builders import KARI
from tests.promises.world import Company, Person, World

NOT_THERE = {403, 404, 409, 422}


@dataclass(frozen=True, slots=True)
class Call:
    """One call about another company's object: what is sent, and what the stranger may be told."""

    body: Mapping[str, Any] | None = None
    answers: frozenset[int] = frozenset(NOT_THERE)
    query: str = ""


ABOUT_HER = {"subject": {"id": "{subject}", "contact_point": {"email": KARI}}}
REPORT = {
    "subject": {"email": KARI},
    "form": "{form}",
    "language": "nb",
    "decisions": [{"purpose": "survey", "channel": "email", "granted": False}],
    "evidence": {"method": "app", "act": "button_pressed", "occurred_at": "2026-03-02T12:00:00Z"},
}
SALE = {
    "relation": "membership",
    "sold_at": "2026-03-02T12:00:00Z",
    "product_category": "skis",
    "contact_point_received_at_sale": True,
    "opt_out_offered": True,
}
#: An answer that lists or decides is given, about the stranger's own world.
OWN_WORLD = frozenset({200})
#: A call that makes something of one's own is about nobody else; its body is empty here and refused.
MAKES_OWN = Call({}, frozenset({422}))

CALLS: Mapping[str, Call] = {
    "POST /v1/checks": Call({**ABOUT_HER, "purpose": "newsletter", "channel": "email"}, OWN_WORLD),
    "POST /v1/checks/batch": Call(
        {"purpose": "newsletter", "channel": "email", "subjects": [{"email": KARI}, {"id": "{subject}"}]}, OWN_WORLD
    ),
    "POST /v1/checks/stream": Call({"email": KARI}, OWN_WORLD, "?purpose=newsletter&channel=email"),
    "POST /v1/consents": Call(REPORT),
    "POST /v1/customer-relations": Call({**ABOUT_HER, **SALE}),
    "POST /v1/notice-deliveries": Call({**ABOUT_HER, "notice": "objection", "delivered_at": "2026-03-02T12:00:00Z"}),
    "POST /v1/recipient-kinds": Call({**ABOUT_HER, "recipient_kind": "company", "reason": "spite"}),
    "POST /v1/withdrawals": Call(ABOUT_HER),
    "POST /v1/objections": Call(ABOUT_HER),
    "POST /v1/links": Call(ABOUT_HER),
    "POST /v1/links/batch": Call({"subjects": [{"id": "{subject}"}]}, OWN_WORLD),
    "POST /v1/subjects/lookup": Call({"email": KARI}),
    "GET /v1/subjects/<id(sub):subject_id>": Call(),
    "GET /v1/subjects/<id(sub):subject_id>/consents": Call(),
    "GET /v1/subjects/<id(sub):subject_id>/history": Call(),
    "POST /v1/subjects/<id(sub):subject_id>/reveal": Call({"reason": "curious"}),
    "POST /v1/subjects/<id(sub):subject_id>/merges": Call({"duplicate": "sub_" + "0" * 26, "reason": "spite"}),
    "POST /v1/subjects/<id(sub):subject_id>/restriction": Call({"restricted": True, "reason": "spite"}),
    "GET /v1/consents/<id(con):consent_id>": Call(),
    "GET /v1/consents/<id(con):consent_id>/evidence": Call(),
    "GET /v1/consents/<id(con):consent_id>/receipt": Call(),
    "GET /v1/consents/<id(con):consent_id>/proof": Call(),
    "GET /v1/audit/vkey": Call(),
    "GET /v1/audit/checkpoint": Call(),
    "GET /v1/audit/tile/<level>/<path:number>": Call(),
    "GET /v1/audit/tile/entries/<path:number>": Call(),
    "GET /v1/audit/entries/<id(aud):entry_id>/proof": Call(),
    "GET /v1/audit/consistency": Call(query="?from=1"),
    "GET /v1/audit/logs": Call(answers=OWN_WORLD),
    "GET /v1/decisions": Call(query="?subject_id={subject}"),
    "GET /v1/decisions/<id(dec):decision_id>": Call(),
    "GET /v1/audit/entries": Call(answers=OWN_WORLD, query="?q=action:*"),
    "GET /v1/audit/entries/<id(aud):entry_id>": Call(),
    "POST /v1/audit/queries": Call({"q": f"subject:{KARI}"}, OWN_WORLD),
    "GET /v1/forms": Call(answers=OWN_WORLD),
    "POST /v1/forms": MAKES_OWN,
    "GET /v1/forms/<id(frm):form_id>": Call(),
    "POST /v1/forms/<id(frm):form_id>/versions": Call({}),
    "GET /v1/purposes": Call(answers=OWN_WORLD),
    "POST /v1/purposes": MAKES_OWN,
    "GET /v1/purposes/<key>": Call(),
    "POST /v1/purposes/<key>/settings": Call({"legal_basis": "contract", "age_condition": True}),
    "POST /v1/purposes/<key>/notice-versions": Call(
        {"channels": [], "data_categories": [], "recipients": [], "languages": {}}
    ),
    "POST /v1/purposes/<key>/notice-versions/<int(max=2147483647):number>/publish": Call({"material": True}),
    "GET /v1/revocations": Call(answers=OWN_WORLD),
    "POST /v1/revocations": Call({"form": "{form}", "reason": "spite", "dry_run": False}),
    "GET /v1/revocations/<id(rvk):revocation_id>": Call(),
    "POST /v1/exports": MAKES_OWN,
    "GET /v1/exports/<id(exp):export_id>": Call(),
    "GET /v1/exports/<id(exp):export_id>/file": Call(),
    "GET /v1/recipients": Call(answers=OWN_WORLD),
    "POST /v1/recipients": MAKES_OWN,
}


@dataclass(frozen=True, slots=True)
class Owned:
    """What belongs to one company: the ids and words that nobody else may be shown."""

    subject: str
    consent: str
    form: str
    purpose: str
    revocation: str
    decision: str
    entry: str
    export: str

    def fill(self, template: object) -> Any:  # noqa: ANN401 - JSON
        """Put the ids into a body."""
        if isinstance(template, dict):
            return {name: self.fill(value) for name, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value) for value in template]
        if isinstance(template, str):
            return template.replace("{subject}", self.subject).replace("{form}", self.form)
        return template

    def path(self, rule: str) -> str:
        """Put the ids into a route."""
        values = {
            "<id(sub):subject_id>": self.subject,
            "<id(con):consent_id>": self.consent,
            "<id(frm):form_id>": self.form,
            "<id(rvk):revocation_id>": self.revocation,
            "<id(dec):decision_id>": self.decision,
            "<id(aud):entry_id>": self.entry,
            "<id(exp):export_id>": self.export,
            "<key>": self.purpose,
            "<level>": "0",
            "<path:number>": "000.p/2",
            "<int(max=2147483647):number>": "1",
        }
        for name, value in values.items():
            rule = rule.replace(name, value)
        assert "<" not in rule
        return rule


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody who subscribes to the first company's newsletter, and to nothing of the second."""
    with world.database.transaction(company.controller_id) as session:
        builders.a_published_purpose(session, key="secret_club")
    return world.a_subscriber(company, KARI)


@pytest.fixture
def owned(kari: Person, sequencer_database: Database) -> Owned:
    """Return what the first company has, and in its log."""
    LogKeeper(sequencer_database, kari.company.controller_id).publish()
    decision = kari.world.check(kari.company, KARI)
    recalled = kari.world.call(
        kari.company, "/v1/revocations", {"import": "bad", "reason": "bought addresses", "dry_run": False}
    )
    revocation = (recalled.json or {})["revocation_id"]
    exported = kari.world.call(kari.company, "/v1/exports", {"kind": "audit", "format": "csv"})
    with kari.world.database.transaction(kari.company.controller_id) as session:
        entry = logs.list_after(session, after=None, limit=1)[0].entry_id
    return Owned(
        subject=decision["subject_id"],
        consent=decision["consent_id"],
        form=kari.company.form_id,
        purpose="secret_club",
        revocation=revocation,
        decision=decision["decision_id"],
        entry=entry,
        export=(exported.json or {})["export_id"],
    )


@pytest.fixture
def stranger(world: World) -> Company:
    """Return the second company, with a key that may do everything of its own."""
    return world.a_company("fjord")


def call(world: World, company: Company, route: str, owned: Owned) -> TestResponse:
    """Make one call of the table."""
    method, _, rule = route.partition(" ")
    body = owned.fill(CALLS[route].body)
    assert (method == "POST") == (body is not None)
    return world.call(company, owned.path(rule) + owned.fill(CALLS[route].query), body)


class TestTheTable:
    def test_speaks_of_every_route_of_the_api(self, world: World) -> None:
        routes = {f"{method} {rule}" for method, rule, _ in access.list_callers(world.client.application)}

        assert set(CALLS) == {route for route in routes if " /v1/" in route}


class TestAStranger:
    def test_is_shown_nothing_and_changes_nothing(
        self, kari: Person, owned: Owned, stranger: Company, superuser_url: str
    ) -> None:
        before = rows_of(superuser_url, kari.company)
        answers = {route: call(kari.world, stranger, route, owned) for route in CALLS}

        told = {route: answer.status_code for route, answer in answers.items()}
        assert {route: status for route, status in told.items() if status not in CALLS[route].answers} == {}
        for route, answer in answers.items():
            shown = answer.text + str(answer.headers)
            ids = (owned.subject, owned.consent, owned.form, owned.purpose, owned.revocation, owned.entry)
            secrets = (*ids, kari.company.controller_id, "Nordlys", "nordlys.example")
            found = [secret for secret in secrets if secret in shown.replace(owned.path(route), "")]
            assert found == [], route
        assert rows_of(superuser_url, kari.company) == before
        assert kari.is_on_the_list()

    def test_gets_a_no_about_people_of_others(self, kari: Person, owned: Owned, stranger: Company) -> None:
        decision = kari.world.check(stranger, KARI)

        assert owned.subject
        assert (decision["allowed"], decision["subject_id"], decision["status"]) == (False, None, "unknown")

    def test_stops_only_what_is_its_own(self, kari: Person, owned: Owned, stranger: Company) -> None:
        answer = kari.world.call(stranger, "/v1/withdrawals", {"subject": {"email": KARI}})

        assert owned.subject
        assert answer.status_code == 200
        assert kari.is_on_the_list()

    def test_cannot_use_a_snapshot_of_another_form(self, kari: Person, stranger: Company) -> None:
        page = kari.opens(f"/f/{stranger.form_id}?lang=nb")
        foreign = kari.opens(f"/f/{kari.company.form_id}?lang=nb").form.fields["snapshot"]

        answer = kari.presses(page.form, {"email": KARI, "consent": ["newsletter:email"], "snapshot": foreign})

        assert answer.status_code == 422
        assert kari.world.check(stranger, KARI)["status"] == "unknown"


class TestAKey:
    @pytest.mark.rule("ACC-06")
    def test_opens_only_what_its_scope_names(self, kari: Person, owned: Owned) -> None:
        """A key for checks reads no contact data, and so on for every scope and route."""
        world = kari.world
        scope_of = {f"{method} {rule}": who for method, rule, who in access.list_callers(world.client.application)}
        opened = []
        for route in CALLS:
            scope = (scope_of[route] or "").removeprefix(access.SCOPE_PREFIX)
            others = [each for each in api_keys.SCOPES if each != scope]
            with world.database.transaction(kari.company.controller_id) as session:
                key = builders.an_api_key(session, scopes=others)
            limited = Company(kari.company.key, kari.company.controller_id, kari.company.form_id, key)
            answer = call(world, limited, route, owned)
            opened += [] if answer.status_code == 403 else [route]

        assert opened == []

    def test_is_demanded_everywhere(self, kari: Person, owned: Owned) -> None:
        keys = ("", "cs_live_nothing", kari.company.api_key[:-1], kari.company.api_key.replace("cs_live", "cs_demo"))
        nobodies = [Company("x", kari.company.controller_id, kari.company.form_id, key) for key in keys]

        answers = {call(kari.world, nobody, route, owned).status_code for nobody in nobodies for route in CALLS}

        assert answers == {401}

    def test_of_one_company_is_none_of_another(self, kari: Person, owned: Owned, stranger: Company) -> None:
        """The key's text names its company, and that name is part of what is signed."""
        own, foreign = kari.company.api_key, stranger.api_key
        forged = (
            foreign[: len("cs_live_")] + own[len("cs_live_") : len("cs_live_") + 26] + foreign[len("cs_live_") + 26 :]
        )
        liar = Company("x", kari.company.controller_id, kari.company.form_id, forged)

        assert forged not in {own, foreign}
        assert call(kari.world, liar, "POST /v1/checks", owned).status_code == 401


def rows_of(url: str, company: Company) -> dict[str, object]:
    """Count the rows of one company in every table."""
    uuid = identifiers.to_uuid(company.controller_id, "ctl")
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.columns"
            " WHERE column_name = 'controller_id' AND table_schema IN ('public', 'vault', 'audit')"
        ).fetchall()
        count = sql.SQL("SELECT count(*) FROM {} WHERE controller_id = %s")
        return {name: connection.execute(count.format(sql.SQL(name)), (uuid,)).fetchone() for (name,) in tables}
