"""What a receipt says, in the words of the Data Privacy Vocabulary, and what it never says."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from consent_service.consent import receipt, rules
from consent_service.consent.receipt_facts import ReceiptFacts, StateChange
from consent_service.consent.records import ConsentRecord
from consent_service.registry.boxes import ShownBox
from consent_service.registry.controllers import Controller
from consent_service.registry.notices import NoticeVersion, Publication
from consent_service.registry.recipients import Recipient
from tests.builders import NOON, a_notice

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "consent-receipt.schema.json").read_text(encoding="utf-8"))
ALLOWED = {
    line
    for line in Path(__file__).with_name("dpv_terms.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
CHECKED = re.compile(r"(?:dpv|pd|loc|eu-gdpr|legal-[a-z]+):[A-Za-z0-9-]+")
BASE = "https://consent.example"
MINUTE = timedelta(minutes=1)
METHOD = "act of the subject"

CONTROLLER = Controller(
    controller_id="ctl_00000000000000000000000000",
    key="nordlys",
    legal_name="Nordlys AS",
    display_name="Nordlys",
    organisation_number="999 999 999",
    postal_address="Storgata 1, 0001 Oslo",
    privacy_contact="personvern@nordlys.example",
    phone=None,
    country="NO",
    timezone="Europe/Oslo",
    decision_lifetime=timedelta(hours=4),
    keeps_traces=True,
)
POST = Recipient(
    id="rcp_00000000000000000000000000",
    key="post",
    legal_name="Post og Brev AS",
    role="processor",
    country="NO",
    agreement="2026-01",
    created_at=NOON,
)
REQUESTED = StateChange("requested", NOON, "controller")
GIVEN = StateChange("given", NOON + MINUTE, "subject", METHOD)


def the_facts(*states: StateChange, months: int | None = 24, basis: str = "consent") -> ReceiptFacts:
    return ReceiptFacts(
        public_url=BASE,
        record=_record(basis),
        subject=uuid.UUID("5f0c0f6a-8d0e-8f4b-b1a9-0b7d0f0a1c11"),
        controller=CONTROLLER,
        notice=NoticeVersion(
            id="ntc_00000000000000000000000000",
            purpose_id="pur_00000000000000000000000000",
            purpose_key="newsletter",
            number=3,
            content=a_notice(recipients=("post",)),
            created_at=NOON,
            publication=Publication(material=True, reason="", published_at=NOON, effective_at=NOON),
        ),
        box=_box(months),
        recipients=(POST,),
        states=states or (REQUESTED, GIVEN),
    )


def _record(basis: str) -> ConsentRecord:
    return ConsentRecord(
        consent_id="con_06EW4N8X40000000000000000Z",
        subject_id="sub_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        contact_point_id="cpt_00000000000000000000000000",
        purpose_id="pur_00000000000000000000000000",
        purpose="newsletter",
        channel="email",
        status="given",
        legal_basis=basis,
        notice_id="ntc_00000000000000000000000000",
        notice_version=3,
        language="nb",
        evidence_grade="double_opt_in",
        requested_at=NOON,
        given_at=NOON,
        confirmed_at=NOON + MINUTE,
        withdrawn_at=None,
        expires_at=None,
        form_id=None,
        entries=(),
    )


def _box(months: int | None) -> ShownBox:
    return ShownBox(
        purpose="newsletter",
        channel="email",
        notice_id="ntc_00000000000000000000000000",
        notice_number=3,
        title="Nyhetsbrev",
        statement="Ja, jeg vil ha nyhetsbrev.",
        frequency_text="to ganger i måneden",
        short_text="e-post",
        product_types_text="sportsutstyr",
        purpose_text="Fortelle om tilbud.",
        data_categories=("e-postadresse",),
        recipients=("Post og Brev AS",),
        recipients_text="Post og Brev AS",
        withdrawal_text="Du kan trekke det tilbake.",
        privacy_notice_url="https://nordlys.example/personvern",
        valid_for_months=months,
    )


def words(node: object) -> Iterator[str]:
    """Yield every name and every text of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from words(value)
    elif isinstance(node, list):
        for value in node:
            yield from words(value)
    elif isinstance(node, str):
        yield node


def the_record(document: dict[str, Any]) -> dict[str, Any]:
    records: list[dict[str, Any]] = document["dpv:hasRecordOfActivity"]
    assert len(records) == 1
    return records[0]


def parse_strictly(text: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Parse JSON and refuse an object that says one name twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(names) != len(set(names)):
            raise ValueError("an object says a name twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


EVERY_STATE = [
    StateChange(status, NOON + 2 * MINUTE, "subject", METHOD if status in rules.GIVEN else None)
    for status in rules.DPV_STATUS
]


class TestDocument:
    @pytest.mark.rule("REC-01")
    @pytest.mark.parametrize("state", EVERY_STATE, ids=lambda state: str(state.status))
    @pytest.mark.parametrize("months", [24, None])
    def test_it_has_all_mandatory_fields_in_every_state(self, state: StateChange, months: int | None) -> None:
        document = receipt.document(the_facts(REQUESTED, state, months=months))

        jsonschema.Draft202012Validator(SCHEMA).validate(document)

    @pytest.mark.rule("REC-01")
    @pytest.mark.parametrize(
        "name",
        [
            "dpv:hasDataSubject",
            "dpv:hasNotice",
            "dpv:hasJurisdiction",
            "dpv:hasLegalBasis",
            "dpv:hasRight",
            "dpv:hasConsentStatus",
        ],
    )
    def test_the_schema_misses_what_is_left_out(self, name: str) -> None:
        document = receipt.document(the_facts())
        del the_record(document)[name]

        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(document)

    @pytest.mark.rule("REC-01")
    @pytest.mark.parametrize("state", EVERY_STATE, ids=lambda state: str(state.status))
    @pytest.mark.parametrize("basis", ["consent", "explicit_consent"])
    def test_every_term_is_one_of_the_vocabulary(self, state: StateChange, basis: str) -> None:
        document = receipt.document(the_facts(REQUESTED, state, basis=basis))
        del document["@context"]

        used = {term for word in words(document) for term in CHECKED.findall(word) if word == term}

        assert len(used) > 40
        assert used - ALLOWED == set()

    @pytest.mark.rule("REC-03")
    @pytest.mark.parametrize("status", sorted(rules.DPV_STATUS))
    def test_each_status_has_its_term(self, status: str) -> None:
        state = StateChange(status, NOON, "subject", METHOD if status in rules.GIVEN else None)

        written = the_record(receipt.document(the_facts(state)))["dpv:hasConsentStatus"]

        assert written[0]["@type"][0] == f"dpv:{rules.DPV_STATUS[status]}"

    def test_states_stand_in_their_order(self) -> None:
        withdrawn = StateChange("withdrawn", NOON + timedelta(days=9), "subject")

        states = the_record(receipt.document(the_facts(REQUESTED, GIVEN, withdrawn)))["dpv:hasConsentStatus"]

        assert [state["@type"][0] for state in states] == [
            "dpv:ConsentRequested",
            "dpv:ConsentGiven",
            "dpv:ConsentWithdrawn",
        ]
        assert states[1]["dpv:isIndicatedAtTime"]["@value"] == "2026-03-02T12:01:00Z"

    @pytest.mark.rule("CAP-13")
    def test_explicit_consent_is_typed_as_such(self) -> None:
        record = the_record(receipt.document(the_facts(basis="explicit_consent")))

        assert record["dpv:hasLegalBasis"] == {"@id": "eu-gdpr:A9-2-a"}
        assert record["dpv:hasConsentStatus"][1]["@type"] == ["dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"]

    def test_without_an_end_it_lasts_until_withdrawn(self) -> None:
        given = the_record(receipt.document(the_facts(months=None)))["dpv:hasConsentStatus"][1]

        assert given["dpv:hasDuration"]["@type"] == "dpv:UntilEventDuration"

    def test_the_authority_of_another_country_is_not_guessed(self) -> None:
        facts = the_facts()
        abroad = replace(facts, controller=replace(facts.controller, country="SE"))

        assert "dpv:hasAuthority" in the_record(receipt.document(facts))
        assert "dpv:hasAuthority" not in the_record(receipt.document(abroad))

    @pytest.mark.rule("REC-05")
    def test_it_names_the_person_by_a_pseudonym_alone(self) -> None:
        facts = the_facts()

        text = json.dumps(receipt.document(facts))

        assert the_record(receipt.document(facts))["dpv:hasDataSubject"]["@id"] == facts.subject.urn
        assert "sub_" not in text
        assert "cpt_" not in text

    @pytest.mark.rule("REC-06")
    def test_no_name_stands_twice_in_an_object(self) -> None:
        document = receipt.document(the_facts())

        assert parse_strictly(json.dumps(document)) == document
        with pytest.raises(ValueError, match="twice"):
            parse_strictly('{"dpv:hasProcess": {"a": 1}, "dpv:hasProcess": {"a": 2}}')

    @pytest.mark.rule("REC-06")
    def test_what_can_be_repeated_is_an_array(self) -> None:
        record = the_record(receipt.document(the_facts()))

        repeated = ("dpv:hasEntity", "dpv:hasProcess", "dpv:hasRight", "dpv:hasConsentStatus")
        assert all(isinstance(record[name], list) for name in repeated)
        assert isinstance(record["dpv:hasProcess"][0]["dpv:hasRecipient"], list)
        assert isinstance(record["dpv:hasProcess"][0]["dpv:hasPersonalData"], list)


class TestIdentity:
    @pytest.mark.rule("REC-02")
    def test_equal_facts_give_the_same_receipt(self) -> None:
        assert receipt.document(the_facts()) == receipt.document(the_facts())

    @pytest.mark.rule("REC-02")
    def test_a_change_of_state_gives_another_receipt(self) -> None:
        before = receipt.document(the_facts())
        after = receipt.document(the_facts(REQUESTED, GIVEN, StateChange("withdrawn", NOON + 9 * MINUTE, "subject")))

        assert before["dct:identifier"] != after["dct:identifier"]
        assert the_record(before)["@id"] == the_record(after)["@id"]

    @pytest.mark.rule("REC-02")
    def test_its_id_stands_for_its_whole_content(self) -> None:
        facts = the_facts()
        moved = replace(facts, controller=replace(facts.controller, postal_address="Nygata 2, 0002 Oslo"))

        assert receipt.document(facts)["dct:identifier"] != receipt.document(moved)["dct:identifier"]

    def test_its_id_is_a_uuid_of_our_own_making(self) -> None:
        receipt_id = uuid.UUID(receipt.document(the_facts())["dct:identifier"])

        assert (receipt_id.version, receipt_id.variant) == (8, uuid.RFC_4122)

    def test_times_are_written_in_utc(self) -> None:
        oslo = datetime.fromisoformat("2026-03-02T13:00:00+01:00")

        document = receipt.document(the_facts(replace(REQUESTED, since=oslo)))

        assert oslo == datetime(2026, 3, 2, 12, tzinfo=UTC)
        assert document["dct:created"]["@value"] == "2026-03-02T12:00:00Z"
