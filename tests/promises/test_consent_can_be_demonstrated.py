"""Promise: consent can be demonstrated.

For each declaration the company can show what the person saw, to the letter, which form and notice version it was, when
and how she answered and confirmed; also after the texts have changed, and with every look written down. What is kept
for that is no more than it needs (GDPR Art. 5(1)(c), 5(2), 7(1); BGH I ZR 164/09).
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from consent_service.audit import trail
from consent_service.consent import rules
from consent_service.registry import notices
from tests import builders
from tests.builders import KARI
from tests.promises.world import Company, Person, World

STATEMENT = "Ja, jeg vil ha newsletter på email fra Nordlys AS."


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody who subscribes to the newsletter."""
    return world.a_subscriber(company, KARI)


@pytest.fixture
def consent_id(kari: Person) -> str:
    """Return the id of her declaration, as a check names it."""
    return str(kari.world.check(kari.company, KARI)["consent_id"])


def everything_changes(world: World, company: Company) -> None:
    """Publish new words for the purpose, as a material change."""
    with world.database.transaction(company.controller_id) as session:
        at = builders.NOON.replace(hour=23)
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=at)
        assert len(notices.publications(session, purpose_key="newsletter")) == 2
    world.clock.move_to(builders.NOON.replace(day=3))


class TestEvidence:
    @pytest.mark.rule("CAP-09", "NO-15")
    def test_repeats_what_was_shown_to_the_letter_after_everything_changed(self, kari: Person, consent_id: str) -> None:
        everything_changes(kari.world, kari.company)

        answer = kari.world.call(kari.company, f"/v1/consents/{consent_id}/evidence")

        assert answer.status_code == 200
        told = json.dumps(answer.json, ensure_ascii=False)
        assert STATEMENT in told
        assert "edition 1 (nb)" in told
        assert "edition 2" not in told

    @pytest.mark.rule("CAP-09", "CAP-07")
    def test_tells_form_version_language_empty_boxes_and_both_acts(self, kari: Person, consent_id: str) -> None:
        evidence = kari.world.call(kari.company, f"/v1/consents/{consent_id}/evidence").json

        told = dict(flat(evidence))
        assert kari.company.form_id in told.values()
        assert "nb" in told.values()
        assert [value for name, value in told.items() if name.endswith("checked_by_default")] == [False]
        assert {name.split("/")[-2] for name in told if name.endswith("occurred_at")} == {"submission", "confirmation"}

    @pytest.mark.rule("CAP-09")
    def test_carries_a_fingerprint_of_the_words_that_anybody_can_compute(self, kari: Person, consent_id: str) -> None:
        answer = kari.world.call(kari.company, f"/v1/consents/{consent_id}/evidence").json
        assert answer is not None
        (evidence,) = answer["evidence"]

        canonical = json.dumps(evidence["shown"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))

        assert evidence["shown"]["statement"] == STATEMENT
        assert hashlib.sha256(canonical.encode()).hexdigest() == evidence["shown_sha256"]

    @pytest.mark.rule("CAP-10", "NO-15")
    def test_prints_as_one_page_that_needs_nothing_else(self, kari: Person, consent_id: str) -> None:
        answer = kari.world.call(kari.company, f"/v1/consents/{consent_id}/evidence", Accept="text/html")

        page = answer.text
        assert answer.mimetype == "text/html"
        assert STATEMENT in page
        assert not any(word in page for word in ("<script", "<img", "<iframe", "@import", "url(http", 'src="http'))
        assert "stylesheet" not in page or 'href="http' not in page

    def test_is_shown_to_nobody_without_being_written_down(
        self, kari: Person, consent_id: str, superuser_url: str
    ) -> None:
        kari.world.call(kari.company, f"/v1/consents/{consent_id}/evidence")

        with psycopg.connect(superuser_url) as connection:
            looks = connection.execute("SELECT count(*) FROM audit.entry WHERE type = 'evidence.revealed'").fetchone()
        assert looks == (1,)


class TestReceipt:
    @pytest.mark.rule("REC-06")
    def test_repeats_no_property_where_it_means_a_list(self, kari: Person, consent_id: str) -> None:
        answer = kari.world.call(kari.company, f"/v1/consents/{consent_id}/receipt")

        def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = [name for name, _ in pairs]
            assert len(names) == len(set(names))
            return dict(pairs)

        receipt = json.loads(answer.text, object_pairs_hook=refuse_repeats)
        assert isinstance(receipt["dpv:hasRecordOfActivity"], list)

    @pytest.mark.rule("REC-05")
    def test_names_the_person_by_a_pseudonym(self, kari: Person, consent_id: str) -> None:
        receipt = kari.world.call(kari.company, f"/v1/consents/{consent_id}/receipt").text

        assert KARI not in receipt
        assert "dpv:hasDataSubject" in receipt

    @pytest.mark.rule("REC-03")
    def test_says_the_state_in_the_words_of_the_vocabulary(self, kari: Person, consent_id: str) -> None:
        path = f"/v1/consents/{consent_id}/receipt"
        given = kari.world.call(kari.company, path).text
        kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})
        kari.world.time_passes()
        withdrawn = kari.world.call(kari.company, path).text

        assert "dpv:ConsentGiven" in given
        assert "dpv:ConsentWithdrawn" in withdrawn
        assert {word for word in words_of(given + withdrawn) if word.startswith("dpv:Consent")} & {
            f"dpv:{term}" for term in rules.DPV_STATUS.values()
        } >= {"dpv:ConsentGiven", "dpv:ConsentWithdrawn"}


class TestRecord:
    @pytest.mark.rule("ACC-08")
    def test_of_every_act_names_who_what_when_and_why(self, kari: Person, consent_id: str) -> None:
        answer = kari.world.call(kari.company, f"/v1/consents/{consent_id}")

        assert answer.json is not None
        (entry,) = answer.json["entries"]
        assert (entry["actor"], entry["kind"], entry["reason"]) == ("subject", "given", "confirmed")
        assert entry["recorded_at"] == entry["confirmed_at"]
        assert entry["evidence_grade"] == "double_opt_in"

    @pytest.mark.rule("ACC-08")
    def test_exists_in_the_audit_log_for_each_change_of_her_journey(self, kari: Person, superuser_url: str) -> None:
        kari.world.call(kari.company, "/v1/withdrawals", {"subject": {"email": KARI}})

        with psycopg.connect(superuser_url) as connection:
            rows = connection.execute("SELECT type FROM audit.entry").fetchall()
        types = {name for (name,) in rows}
        assert {
            "signup.requested",
            "signup.confirmed",
            "subject.created",
            "consent.given",
            "consent.withdrawn",
        } <= types
        assert types <= trail.TYPES

    @pytest.mark.rule("ACC-12")
    def test_has_times_of_the_server_in_utc(self, kari: Person, consent_id: str) -> None:
        record = kari.world.call(kari.company, f"/v1/consents/{consent_id}").json

        times = [value for name, value in flat(record) if name.endswith("_at") and value is not None]
        assert times
        assert all(str(value).endswith("Z") for value in times)


class TestPaper:
    @pytest.mark.rule("CAP-23")
    def test_needs_who_took_it_down_and_where_it_lies(self, world: World, company: Company) -> None:
        act = {"method": "paper", "act": "statement_signed", "occurred_at": "2026-03-02T12:00:00Z"}
        report = {
            "subject": {"email": KARI},
            "form": company.form_id,
            "language": "nb",
            "decisions": [{"purpose": "survey", "channel": "email", "granted": True}],
        }

        bare = world.call(company, "/v1/consents", {**report, "evidence": act})
        full = world.call(
            company, "/v1/consents", {**report, "evidence": {**act, "operator": "till 4", "reference": "binder 12"}}
        )

        assert bare.status_code == 422
        assert full.status_code == 201
        assert world.check(company, KARI, purpose="survey")["allowed"]


def flat(document: Any, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """Yield every value of a JSON document with its path."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from flat(value, f"{name}/{key}")
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from flat(value, f"{name}/{place}")
    else:
        yield name, document


def words_of(text: str) -> set[str]:
    """Return every quoted word of a JSON text."""
    return set(text.split('"'))
