"""The audit log as a controller's systems read it: by query, page by page, and one entry with what proves it."""

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from consent_service import identifiers
from consent_service.accounts import api_keys
from consent_service.audit import sequencer, trail
from consent_service.consent import merging
from consent_service.crypto import canonical
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database
from consent_service.subjects import fields, identity
from tests.builders import NOON
from tests.functional.api.conftest import KARI, System, key_with

ADDRESS = KARI["email"]
NOBODY = "nobody.knows@kunde.example"


@pytest.fixture
def kari(system: System) -> str:
    """Let Kari say yes to the survey; return her id."""
    said = system.post("/v1/consents", system.report())
    assert said.status_code == 201
    return str(system.post("/v1/subjects/lookup", KARI).get_json()["subject_id"])


def listed(system: System, q: str, **more: object) -> dict[str, Any]:
    """Return the answer to a query in the address."""
    named = "".join(f"&{name}={value}" for name, value in more.items())
    answer = system.get(f"/v1/audit/entries?q={quote(q)}{named}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def asked(system: System, q: str, **more: object) -> dict[str, Any]:
    """Return the answer to a query in the body."""
    answer = system.post("/v1/audit/queries", {"q": q, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def types(page: Mapping[str, Any]) -> list[str]:
    return sorted(each["type"] for each in page["data"])


class TestListing:
    def test_an_entry_shows_who_did_what_about_whom_and_what_it_says(self, system: System, kari: str) -> None:
        page = listed(system, f"action:consent.given subject:{kari}")

        (entry,) = page["data"]
        payload = entry.pop("payload")
        request_id, key = entry.pop("request_id"), entry.pop("actor")
        assert entry == {
            "entry_id": entry["entry_id"],
            "type": "consent.given",
            "occurred_at": entry["occurred_at"],
            "subject_id": kari,
            "purpose": "survey",
            "channel": "email",
            "stream": f"subject:{kari}",
            "number": payload["number"],
            "payload_status": "opened",
            "epoch": None,
            "leaf_index": None,
        }
        assert key.startswith("api_key:key_")
        assert (payload["actor"], payload["request_id"], payload["subject"]) == (key, request_id, kari)
        assert listed(system, f"request_id:{request_id} action:consent.*")["data"][0]["entry_id"] == entry["entry_id"]

    def test_nothing_asked_shows_everything_newest_first(self, system: System, kari: str) -> None:
        page = system.get("/v1/audit/entries").get_json()

        ids = [each["entry_id"] for each in page["data"]]
        assert ids == sorted(ids, reverse=True)
        assert {"consent.given", "controller.created", "form.created", "subject.created"} <= set(types(page))
        assert page["q"] == ""
        assert kari in str(page)

    def test_the_query_comes_back_in_canonical_form(self, system: System) -> None:
        page = listed(system, ' ACTION:"Consent.*"   -actor:SYSTEM ')

        assert page["q"] == "action:consent.* -actor:system"

    def test_it_is_kept_nowhere(self, system: System) -> None:
        assert system.get("/v1/audit/entries").headers["Cache-Control"] == "no-store"
        assert system.post("/v1/audit/queries", {}).headers["Cache-Control"] == "no-store"

    def test_looking_writes_no_entry(self, system: System, kari: str) -> None:
        before = listed(system, "", limit=200)["data"]

        asked(system, f"subject:{ADDRESS}")
        system.get(f"/v1/audit/entries/{before[0]['entry_id']}")

        assert listed(system, "", limit=200)["data"] == before
        assert kari in str(before)

    def test_it_takes_the_scope(self, database: Database, controller: str, system: System) -> None:
        other = System(system.client, key_with(database, controller, "subjects:read"))

        assert other.get("/v1/audit/entries").get_json()["code"] == "scope_missing"
        assert other.post("/v1/audit/queries", {}).get_json()["code"] == "scope_missing"

    @pytest.mark.rule("ACC-05")
    def test_another_controllers_entries_are_not_there(self, system: System, other_system: System, kari: str) -> None:
        (entry,) = listed(system, "action:consent.given")["data"]

        assert listed(other_system, f"subject:{kari}")["data"] == []
        assert listed(other_system, "action:consent.given")["data"] == []
        answer = other_system.get(f"/v1/audit/entries/{entry['entry_id']}")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "audit_entry_unknown")


class TestPages:
    def test_they_show_each_entry_once(self, system: System, kari: str) -> None:
        whole = listed(system, f"-subject:{kari}", limit=200)["data"]

        seen: list[dict[str, Any]] = []
        url: str | None = f"/v1/audit/entries?limit=3&q={quote(f'-subject:{kari}')}"
        while url:
            answer = system.get(url)
            seen += answer.get_json()["data"]
            assert ("Link" in answer.headers) == (answer.get_json()["next_cursor"] is not None)
            link = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
            url = link and "{0.path}?{0.query}".format(urlsplit(link))

        assert len(whole) > 6
        assert seen == whole

    def test_a_cursor_is_good_for_its_query_by_either_door(self, system: System, kari: str) -> None:
        first = asked(system, f"subject:{ADDRESS}", limit=1)

        by_address = asked(system, f"subject:{ADDRESS}", limit=1, cursor=first["next_cursor"])
        by_id = listed(system, first["q"], limit=1, cursor=first["next_cursor"])

        assert by_address == by_id
        assert by_id["data"][0]["entry_id"] < first["data"][0]["entry_id"]
        assert first["q"] == f"subject:{kari}"

    @pytest.mark.parametrize("cursor", ["x", "eA.x", "0" * 1000])
    def test_one_of_our_own_making_alone(self, system: System, cursor: str) -> None:
        answer = system.get(f"/v1/audit/entries?cursor={cursor}")

        assert (answer.status_code, answer.get_json()["code"]) == (400, "cursor_invalid")

    def test_one_of_another_query_is_refused(self, system: System, kari: str) -> None:
        cursor = listed(system, f"subject:{kari}", limit=1)["next_cursor"]

        answer = system.get(f"/v1/audit/entries?q=actor:system&cursor={cursor}")

        assert answer.get_json()["code"] == "cursor_invalid"

    @pytest.mark.parametrize("limit", [0, 201, -1])
    def test_they_have_between_1_and_200_entries(self, system: System, limit: int) -> None:
        answer = system.get(f"/v1/audit/entries?limit={limit}")

        assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (422, "out_of_range")


class TestAddresses:
    def test_the_answer_names_the_person_by_id(self, system: System, kari: str) -> None:
        page = asked(system, f"action:consent.given subject:{ADDRESS}")

        assert page["q"] == f"action:consent.given subject:{kari}"
        assert types(page) == ["consent.given"]
        assert listed(system, page["q"])["data"] == page["data"]

    @pytest.mark.parametrize("address", [ADDRESS, "+4740000001", '"+47 400 00 001"'])
    def test_none_may_stand_in_a_url(self, system: System, kari: str, address: str) -> None:
        q = f"action:consent.* -subject:{address}"

        answer = system.get(f"/v1/audit/entries?q={quote(q)}")

        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (422, "audit_query_invalid")
        assert [each["code"] for each in problem["errors"]] == ["address_in_url"]
        (place,) = problem["places"]
        assert q[place["column"] - 1 :][: place["length"]] == address.strip('"')
        assert address.strip('"') not in answer.text + str(answer.headers)
        assert kari not in answer.text

    def test_one_that_nobody_is_known_under_finds_nothing(self, system: System, kari: str) -> None:
        page = asked(system, f"subject:{NOBODY}")

        assert page == {"data": [], "q": None, "next_cursor": None}
        assert asked(system, f"subject:{identifiers.new_id('sub')}")["data"] == []
        assert kari not in str(page)

    def test_beside_others_or_negated_it_names_nobody(self, system: System, kari: str) -> None:
        both = asked(system, f"subject:{NOBODY} subject:{ADDRESS} action:consent.*")
        without = asked(system, f"-subject:{NOBODY} action:consent.*")

        assert both["q"] == f"subject:{kari} action:consent.*"
        assert without["q"] == "action:consent.*"
        assert types(both) == types(without) == ["consent.given"]

    def test_two_of_one_person_are_one_term(self, system: System, kari: str) -> None:
        page = asked(system, f"subject:{ADDRESS.upper()} subject:{ADDRESS} subject:{kari}")

        assert page["q"] == f"subject:{kari}"

    def test_a_number_finds_its_holder(self, database: Database, controller: str, system: System) -> None:
        with database.transaction(controller) as session:
            holder = identity.create(session, at=NOON, actor=trail.SYSTEM)
            phone = fields.parse_phone("+4740000001")
            identity.attach_point(session, subject_id=holder, contact=phone, verified_at=NOON, at=NOON)

        page = asked(system, 'subject:"+47 400 00 001"')

        assert page["q"] == f"subject:{holder}"
        assert types(page) == ["subject.created"]

    def test_either_address_of_a_person_of_two_records_finds_both(
        self, database: Database, controller: str, system: System, kari: str
    ) -> None:
        with database.transaction(controller) as session:
            twin = identity.create(session, at=NOON, actor=trail.SYSTEM)
            point = fields.parse_email("twin@kunde.example")
            identity.attach_point(session, subject_id=twin, contact=point, verified_at=NOON, at=NOON)
            merging.merge(
                session,
                survivor_id=kari,
                duplicate_id=twin,
                source="reported",
                reason="called",
                actor=trail.SYSTEM,
                at=NOON + timedelta(days=300),
            )

        page = asked(system, "subject:twin@kunde.example action:subject.created")

        assert page["q"] == f"subject:{kari} action:subject.created"
        assert {each["subject_id"] for each in page["data"]} == {kari, twin}
        assert listed(system, f"subject:{twin} action:subject.created")["data"] == page["data"]

    @pytest.mark.parametrize(
        ("address", "code"),
        [("kari.secret@", "email_invalid"), ("+47.secret", "phone_invalid"), ("@", "email_invalid")],
    )
    def test_what_is_none_is_pointed_at_and_not_repeated(self, system: System, address: str, code: str) -> None:
        answer = system.post("/v1/audit/queries", {"q": f"actor:system subject:{address}"})

        (place,) = answer.get_json()["places"]
        assert (answer.status_code, place["column"], place["length"]) == (422, 22, len(address))
        assert place["code"] == code
        assert "secret" not in answer.text

    def test_none_reaches_the_log_of_the_service(
        self, system: System, kari: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        asked(system, f"subject:{ADDRESS} actor:api_key")
        system.get(f"/v1/audit/entries?q=subject:{ADDRESS}")
        system.get(f"/v1/audit/entries?q={ADDRESS}")
        system.post("/v1/audit/queries", {"q": f"acton:{ADDRESS}"})
        system.post("/v1/audit/queries", {"q": f"subject:{ADDRESS}", "cursor": ADDRESS})
        system.post("/v1/audit/queries", {"q": f'subject:"{ADDRESS}'})

        written = capfd.readouterr()

        assert "/v1/audit/queries" in written.err
        assert ADDRESS.partition("@")[0] not in written.err + written.out
        assert ADDRESS.partition("@")[2] not in written.err + written.out
        assert kari


class TestProblems:
    def test_what_is_wrong_is_told_with_its_column_and_what_would_be_right(self, system: System) -> None:
        answer = system.get("/v1/audit/entries?q=acton:consent.given%20purpose:newsleter%20created:tomorrow")

        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (422, "audit_query_invalid")
        assert [(each["column"], each["length"], each["code"], each["suggestion"]) for each in problem["places"]] == [
            (1, 5, "qualifier_unknown", "action"),
            (29, 9, "purpose_unknown", "newsletter"),
            (47, 8, "created_invalid", None),
        ]
        assert [each["pointer"] for each in problem["errors"]] == ["/q"] * 3

    def test_either_door_tells_it(self, system: System) -> None:
        sent = system.post("/v1/audit/queries", {"q": "nothing"}).get_json()
        named = system.get("/v1/audit/entries?q=nothing").get_json()

        assert sent["places"] == named["places"]


class TestLimitedKeys:
    @pytest.fixture
    def limited(self, database: Database, controller: str, system: System) -> System:
        """Connect a system that may know about the newsletter alone."""
        with database.transaction(controller) as session:
            created = api_keys.create(
                session,
                name="newsletter",
                system="mailer",
                scopes=("audit:read",),
                purposes=("newsletter",),
                environment="live",
                actor=trail.SYSTEM,
                at=NOON,
            )
        return System(system.client, created.text)

    def test_they_see_entries_of_their_purposes_alone(self, system: System, limited: System, kari: str) -> None:
        found = listed(limited, "")["data"]
        (other,) = listed(system, "action:consent.given")["data"]
        shown = limited.get(f"/v1/audit/entries/{other['entry_id']}")

        assert {each["purpose"] for each in found} == {"newsletter"}
        assert listed(limited, f"subject:{kari}")["data"] == []
        assert (shown.status_code, shown.get_json()["code"]) == (403, "purpose_not_allowed")
        assert limited.get(f"/v1/audit/entries/{found[0]['entry_id']}").status_code == 200

    def test_who_may_not_read_people_finds_none_by_address(self, limited: System, kari: str) -> None:
        answers = [
            limited.post("/v1/audit/queries", {"q": f"subject:{each}"}) for each in (KARI["email"], "x@y.example")
        ]
        by_id = limited.post("/v1/audit/queries", {"q": f"subject:{kari}"})

        assert [(each.status_code, each.get_json()["code"]) for each in answers] == [(403, "scope_missing")] * 2
        assert by_id.status_code == 200

    def test_they_are_told_of_no_other_purpose(self, limited: System) -> None:
        answer = limited.get("/v1/audit/entries?q=purpose:survey%20purpose:survei").get_json()

        assert [each["code"] for each in answer["places"]] == ["purpose_unknown"] * 2
        assert "survey" not in str(answer)


class TestOneEntry:
    @pytest.fixture
    def placed(self, kari: str, sequencer_database: Database, controller: str) -> str:
        """Give all that happened its place in the log."""
        with sequencer_database.transaction(controller) as session:
            sequencer.place_batch(
                session,
                host="consent.example",
                vkey_of=lambda origin: NoteSigner(origin, bytes(32)).vkey,
                at=NOON,
            )
        return kari

    def test_it_comes_with_its_leaf_and_what_opens_its_commitment(self, system: System, placed: str) -> None:
        (listed_entry,) = listed(system, f"subject:{placed} action:consent.given")["data"]

        entry = system.get(f"/v1/audit/entries/{listed_entry['entry_id']}").get_json()

        leaf = base64.b64decode(entry["leaf"])
        key, payload = base64.b64decode(entry["entry_key"]), entry["canonical_payload"].encode()
        assert {name: entry[name] for name in listed_entry} == listed_entry
        assert (entry["epoch"], entry["leaf_index"] >= 0) == (1, True)
        assert canonical.canonical_json(entry["payload"]) == payload
        assert canonical.commitment(key, payload) == binascii.unhexlify(entry["commit"])
        assert f'"commit":"{entry["commit"]}"'.encode() in leaf
        assert entry["entry_id"].encode() in leaf

    def test_one_that_waits_has_no_leaf_yet(self, system: System, kari: str) -> None:
        (waiting,) = listed(system, f"subject:{kari} action:consent.given")["data"]

        entry = system.get(f"/v1/audit/entries/{waiting['entry_id']}").get_json()

        assert (entry["epoch"], entry["leaf_index"], entry["leaf"]) == (None, None, None)
        assert entry["entry_key"] is not None

    @pytest.mark.rule("LOG-09")
    def test_one_of_an_erased_person_keeps_its_leaf_and_opens_no_more(
        self, system: System, placed: str, superuser_url: str
    ) -> None:
        (before,) = listed(system, f"subject:{placed} action:consent.given")["data"]
        proven = system.get(f"/v1/audit/entries/{before['entry_id']}").get_json()
        with psycopg.connect(superuser_url) as connection:
            person = identifiers.to_uuid(placed, "sub")
            connection.execute("DELETE FROM vault.subject_key WHERE subject_id = %s", (person,))

        entry = system.get(f"/v1/audit/entries/{before['entry_id']}").get_json()

        gone = ("payload", "stream", "number", "entry_key", "canonical_payload")
        assert [entry[name] for name in gone] == [None] * 5
        assert entry["payload_status"] == "erased"
        assert (entry["leaf"], entry["commit"]) == (proven["leaf"], proven["commit"])

    def test_an_unknown_one_is_not_found(self, system: System) -> None:
        answer = system.get(f"/v1/audit/entries/{identifiers.new_id('aud', at=NOON)}")

        assert (answer.status_code, answer.get_json()["code"]) == (404, "audit_entry_unknown")
