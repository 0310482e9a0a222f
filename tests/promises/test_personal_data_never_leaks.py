"""Promise: personal data never leaks.

A canary goes through every flow there is, errors included: an address, a number, a name, a network address and a
browser's name that occur nowhere else. Afterwards they are searched for in a dump of the database, in the logs of the
service and of PostgreSQL, in metrics, links, error messages and other people's mails: in clear, in base64 and in hex.
What is sealed is bound to its place, and people are found by keyed indexes only (GDPR Art. 5(1)(f), 32).
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import pytest
from werkzeug.test import TestResponse

from consent_service import app as composition
from consent_service import clock
from consent_service.cli.export_maker import ExportMaking
from consent_service.errors import SealBrokenError
from consent_service.subjects import fields, identity
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.builders import KARI, OLA
from tests.conftest import ROLES
from tests.promises import traces
from tests.promises.world import NEWSLETTER, OFFERS, Company, Person, World
from tests.smtp_sink import html_of, text_of

ADDRESS = "kanari.fugl7931@lekkasje.example"
PHONE = "+4740777931"
NAME = "Kanarifugl Sjøberg-Østli"
NETWORK = "203.0.113.179"
BROWSER = "KanariLeser/79.31"
SECRETS = (ADDRESS, ADDRESS.partition("@")[0], PHONE, "40777931", NAME, "Kanarifugl", NETWORK, BROWSER)


@dataclass
class Seen:
    """What the outside got to see while the canary flew."""

    errors: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture
def canary(world: World, company: Company) -> Person:
    """Return the person who must not be found anywhere."""
    world.client.environ_base |= {"REMOTE_ADDR": NETWORK, "HTTP_USER_AGENT": BROWSER}
    return Person(world, company, ADDRESS)


def flies_through_the_pages(canary: Person, seen: Seen) -> None:
    """Sign up with everything, confirm, look at the choices, change them, unsubscribe, sign up again, reject."""
    canary.signs_up([NEWSLETTER, OFFERS], phone=PHONE, name=NAME)
    canary.world.mail_goes_out()
    seen.links["confirmation mail"] = links_in(canary)
    canary.confirms()
    page = canary.asks_for_her_choices()
    seen.links["preference mail"] = links_in(canary)
    canary.presses(page.form, {"consent": ["survey:email"], "action": "save"})
    made = canary.world.call(canary.company, "/v1/links", {"subject": {"email": ADDRESS}}).json
    assert made is not None
    seen.links["sender's links"] = str(made).encode()
    canary.world.client.post(
        made["unsubscribe_url"].removeprefix("http://127.0.0.1:8000"), data={"List-Unsubscribe": "One-Click"}
    )
    canary.signs_up([NEWSLETTER])
    canary.world.mail_goes_out()
    canary.presses(canary.opens(f"{canary.link()}/reject").form)


def flies_through_the_api(canary: Person) -> str:
    """Have the company's systems report, check, look up, reveal, restrict, object and withdraw; return her id."""
    call, company = canary.world.call, canary.company
    person = {"email": ADDRESS}
    report = {
        "subject": {"external_id": "kanari-7931"},
        "additional_contact_points": [{"phone": PHONE}, {"email": ADDRESS}],
        "form": company.form_id,
        "language": "nb",
        "decisions": [{"purpose": "survey", "channel": "email", "granted": True}],
        "evidence": {
            "method": "phone",
            "act": "statement_spoken",
            "occurred_at": "2026-03-02T12:00:00Z",
            "operator": "desk 3",
            "reference": NAME,
            "ip": NETWORK,
            "user_agent": BROWSER,
        },
        "personal_fields": {"name": NAME},
    }
    call(company, "/v1/consents", report, **{"Idempotency-Key": f'"{ADDRESS}"'})
    canary.world.check(company, ADDRESS)
    subject_id = str((call(company, "/v1/subjects/lookup", person).json or {})["subject_id"])
    revealed = call(company, f"/v1/subjects/{subject_id}/reveal", {"reason": f"{NAME} called"})
    assert ADDRESS in revealed.text
    call(company, f"/v1/subjects/{subject_id}/restriction", {"restricted": True, "reason": f"{NAME} asked"})
    call(company, f"/v1/subjects/{subject_id}/restriction", {"restricted": False, "reason": f"{NAME} asked"})
    sale = {
        "relation": "single_purchase",
        "sold_at": "2026-03-02T12:00:00Z",
        "product_category": "skis",
        "contact_point_received_at_sale": True,
        "opt_out_offered": True,
        "sale_reference": f"{NAME}, {PHONE}",
    }
    assert call(company, "/v1/customer-relations", {"subject": person, **sale}).status_code == 201
    told = {"subject": person, "notice": "objection", "delivered_at": "2026-03-02T12:00:00Z"}
    assert call(company, "/v1/notice-deliveries", told).status_code == 201
    kind = {"subject": person, "recipient_kind": "natural_person", "reason": f"{NAME} reads it"}
    assert call(company, "/v1/recipient-kinds", kind).status_code == 201
    other = {
        **report,
        "subject": {"external_id": "kanari-7932"},
        "additional_contact_points": [{"email": f"to.{ADDRESS}"}],
    }
    twin = (call(company, "/v1/consents", other).json or {})["subject_id"]
    merged = call(company, f"/v1/subjects/{subject_id}/merges", {"duplicate": twin, "reason": f"{NAME} is both"})
    assert merged.status_code == 201
    found = call(company, "/v1/audit/queries", {"q": f'subject:{ADDRESS} -subject:"{PHONE}"', "limit": 1})
    assert (found.json or {})["q"].startswith(f"subject:{subject_id}")
    asked = call(company, "/v1/exports", {"kind": "audit", "format": "csv", "q": f"subject:{ADDRESS}"})
    maker = ExportMaking(composition.export_makers(canary.world.settings), slice_seconds=60)
    maker(canary.world.worker_database, clock.now())
    assert call(company, f"/v1/exports/{(asked.json or {})['export_id']}/file").status_code == 200
    call(company, "/v1/objections", {"subject": person, "channel": "email", "reason": f"{NAME} wrote"})
    call(company, "/v1/withdrawals", {"subject": person, "reason": f"{NAME} wrote"})
    return subject_id


def flies_into_errors(canary: Person, seen: Seen) -> None:
    """Send the canary where it does not belong, and let everything below break while it is in hand."""
    world, company = canary.world, canary.company
    wrong: dict[str, Callable[[], TestResponse]] = {
        "unknown field": lambda: world.call(company, "/v1/checks", {"subject": {"email": ADDRESS}, ADDRESS: NAME}),
        "wrong type": lambda: world.call(
            company, "/v1/checks", {"subject": ADDRESS, "purpose": NAME, "channel": PHONE}
        ),
        "bad address": lambda: world.call(company, "/v1/subjects/lookup", {"email": f"{ADDRESS}@{ADDRESS}"}),
        "bad number": lambda: world.call(company, "/v1/subjects/lookup", {"phone": f"{PHONE}{PHONE}{PHONE}"}),
        "NUL": lambda: world.call(company, "/v1/subjects/lookup", {"email": f"{ADDRESS}\0"}),
        "not JSON": lambda: world.client.post(
            "/v1/checks", data=f'{{"email": "{ADDRESS}"', headers={"Authorization": f"Bearer {company.api_key}"}
        ),
        "wrong key": lambda: world.client.post("/v1/checks", json={}, headers={"Authorization": f"Bearer {ADDRESS}"}),
        "address in a path": lambda: world.client.get(f"/v1/subjects/{ADDRESS}"),
        "address in a query of the log": lambda: world.call(company, f"/v1/audit/entries?q=subject:{ADDRESS}"),
        "query that is none": lambda: world.call(
            company, "/v1/audit/queries", {"q": f'{ADDRESS} acton:{ADDRESS} subject:{ADDRESS}@ actor:"{ADDRESS}'}
        ),
        "export of a query that is none": lambda: world.call(
            company, "/v1/exports", {"kind": "audit", "format": "csv", "q": f"{ADDRESS} subject:{ADDRESS}@"}
        ),
        "address in a query": lambda: world.call(company, f"/v1/consents?email={ADDRESS}"),
    }
    for name, send in wrong.items():
        answer = send()
        seen.errors[name] = answer.data
        assert answer.status_code >= 400, name


def the_database_refuses(canary: Person, url: str, seen: Seen) -> None:
    """Take a right away, so that a sign-up and a call break in their last step, with everything in hand."""
    world, company = canary.world, canary.company
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"REVOKE INSERT ON audit.entry FROM {ROLES.app}")
        try:
            seen.errors["sign-up without a database"] = canary.signs_up(
                [NEWSLETTER, OFFERS], phone=PHONE, name=NAME
            ).data.replace(ADDRESS.encode(), b"what she typed herself")
            answer = world.call(company, "/v1/withdrawals", {"subject": {"email": ADDRESS}, "reason": NAME})
            seen.errors["call without a database"] = answer.data
        finally:
            connection.execute(f"GRANT INSERT ON audit.entry TO {ROLES.app}")
    assert answer.status_code >= 500


def the_mail_server_repeats_the_address(canary: Person) -> None:
    """Let the mail server refuse with the address in its answer, as many do."""
    canary.world.sink.answer = f"550 5.1.1 <{ADDRESS}>: {NAME} is unknown here"
    canary.signs_up(["survey:email"], name=NAME)
    canary.world.mail_goes_out()
    canary.world.sink.answer = "250 OK"


def links_in(person: Person) -> bytes:
    """Return every address of a page in the newest mail."""
    newest = person.mails()[-1]
    return " ".join(re.findall(r"https?://[^\s\"<>]+", text_of(newest) + html_of(newest))).encode()


@pytest.fixture
def flown(canary: Person, superuser_url: str, capfd: pytest.CaptureFixture[str]) -> Seen:
    """Let the canary fly through everything, beside somebody else who gets mail too."""
    seen = Seen()
    canary.world.a_subscriber(canary.company, OLA)
    flies_through_the_pages(canary, seen)
    flies_through_the_api(canary)
    flies_into_errors(canary, seen)
    the_database_refuses(canary, superuser_url, seen)
    the_mail_server_repeats_the_address(canary)
    output = capfd.readouterr()
    seen.errors["log of the service"] = (output.out + output.err).encode()
    return seen


class TestTheCanary:
    @pytest.mark.rule("ACC-04", "ACC-11", "DOI-05")
    def test_is_found_nowhere(
        self, flown: Seen, canary: Person, superuser_url: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        logs = {str(path): path.read_bytes() for path in tmp_path_factory.getbasetemp().glob("postgresql*/server.log")}
        files = {str(path): path.read_bytes() for path in canary.world.settings.data_dir.rglob("*") if path.is_file()}
        others = {
            f"mail {number} of Ola": mail.as_bytes() for number, mail in enumerate(canary.world.sink.messages_to(OLA))
        }
        metrics = {"metrics": canary.world.client.get("/metrics").data}

        places = {**traces.dump(superuser_url), **logs, **files, **others, **metrics, **flown.errors, **flown.links}

        assert len(flown.errors["log of the service"]) > 1000
        assert traces.find(SECRETS, places) == []

    def test_would_be_found(self, flown: Seen, superuser_url: str) -> None:
        """A search that finds nothing must be able to find something."""
        dump = traces.dump(superuser_url)
        assert flown.links

        with_traces = {
            "text": dump["table public.purpose"] + f"call {PHONE} back".encode(),
            "hex": b"\\\\x00" + b"\x01\x02".hex().encode() + ADDRESS.encode().hex().encode(),
            "base64": base64.b64encode(b"{'a':'" + ADDRESS.encode() + b"'}"),
        }

        assert {line.rpartition(" in ")[2] for line in traces.find(SECRETS, with_traces)} == {"text", "hex", "base64"}


class TestAMail:
    @pytest.mark.rule("DOI-10")
    def test_repeats_nothing_that_was_typed_into_the_form(self, canary: Person) -> None:
        canary.signs_up([NEWSLETTER], name="Win $$$ http://evil.example")
        canary.world.mail_goes_out()

        (mail,) = canary.mails()
        whole = mail.as_string() + text_of(mail) + html_of(mail)
        assert "Win" not in whole
        assert "evil" not in whole

    @pytest.mark.rule("DOI-11")
    def test_says_that_a_machine_sent_it(self, canary: Person) -> None:
        canary.signs_up()
        canary.world.mail_goes_out()
        canary.asks_for_her_choices()

        assert [mail["Auto-Submitted"] for mail in canary.mails()] == ["auto-generated"] * 2

    @pytest.mark.rule("DOI-12")
    def test_loads_nothing_and_links_to_the_service_alone(self, canary: Person) -> None:
        canary.signs_up()
        canary.world.mail_goes_out()
        (mail,) = canary.mails()

        hosts = set(re.findall(r"https?://([^/\s\"<>]+)", text_of(mail) + html_of(mail)))

        assert hosts == {"127.0.0.1:8000"}
        assert not re.search(r"<(img|script|link|iframe|object|video)\b|url\(", html_of(mail))


class TestASeal:
    @pytest.mark.rule("ACC-04")
    def test_is_broken_by_moving_it_to_another_row(self, world: World, company: Company, superuser_url: str) -> None:
        """Somebody who can write to the database must not be able to make one person's mail reach another."""
        with world.database.transaction(company.controller_id) as session:
            for email in (KARI, OLA):
                builders.a_given_consent(session, email=email)
        with psycopg.connect(superuser_url) as connection:
            connection.execute(
                "UPDATE contact_point a SET sealed = b.sealed FROM contact_point b"
                " WHERE a.id <> b.id AND a.controller_id = b.controller_id"
            )

        with world.database.transaction(company.controller_id) as session:
            found = identity.find_subject(session, SubjectReference(contact=fields.parse_email(KARI)))
            assert found is not None
            assert found.point is not None
            with pytest.raises(SealBrokenError):
                identity.open_point(session, found.point)


class TestAnIndex:
    @pytest.mark.rule("ACC-05")
    def test_finds_equal_addresses_of_one_company_and_ties_nothing_between_two(
        self, world: World, company: Company, superuser_url: str
    ) -> None:
        other = world.a_company("fjord")
        for each in (company, other):
            with world.database.transaction(each.controller_id) as session:
                builders.a_given_consent(session, email=KARI)
        with psycopg.connect(superuser_url) as connection:
            indexes = connection.execute("SELECT blind_index FROM contact_point").fetchall()

        assert len(indexes) == len(set(indexes)) == 3
        assert all(world.check(each, KARI.upper())["allowed"] for each in (company, other))

    @pytest.mark.rule("ACC-05")
    def test_is_no_plain_hash_of_the_address(self, world: World, company: Company, superuser_url: str) -> None:
        world.a_subscriber(company, KARI)
        dump = b"".join(traces.dump(superuser_url).values())

        for algorithm in ("sha256", "sha1", "md5", "sha512", "blake2b", "sha3_256"):
            digest = hashlib.new(algorithm, KARI.encode()).digest()
            assert digest[:12].hex().encode() not in dump
