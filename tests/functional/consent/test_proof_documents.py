"""Papers about a declaration: the evidence of the very act, and the receipt, to read and to print."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.consent import evidence, log_queries, proof_document, receipt, replacement
from consent_service.consent.evidence import OpenedEvidence
from consent_service.crypto import canonical
from consent_service.db.session import Database
from consent_service.errors import ConsentUnknownError
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion, ShownForm
from tests import builders
from tests.builders import NOON
from tests.functional.consent import acts

BASE = "https://consent.example"
DAY = timedelta(days=1)
LATER = NOON + DAY
#: A mark that would be markup if a document forgot to escape it.
HOSTILE_PAGE = "https://nordlys.example/<script>alert(1)</script>"
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction"}


class Reader(HTMLParser):
    """Collects what a document would load, link to and say."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    with database.transaction(controller) as session:
        yield session


@pytest.fixture
def form(session: Session) -> FormVersion:
    builders.a_published_purpose(session, valid_for_months=24)
    return builders.a_form(session)


@pytest.fixture
def shown(session: Session, form: FormVersion) -> ShownForm:
    return acts.shown_form(session, form)


def reveal(session: Session, consent_id: str, *, at: datetime = LATER) -> tuple[OpenedEvidence, ...]:
    return evidence.reveal(session, consent_id=consent_id, reason="audit", actor=trail.SYSTEM, at=at)


def a_mailed_consent(session: Session, shown: ShownForm) -> str:
    """Sign up, let the mail server take the mail half a minute later, and confirm."""
    consent_id = acts.sign_up(session, shown)
    replacement.mail_accepted(session, request_id=acts.newest_request(session), at=NOON + acts.MINUTE / 2)
    acts.confirm(session)
    return consent_id


def logged(session: Session, query: str) -> Mapping[str, Any]:
    """Return what the newest entry of the log says that a query finds."""
    found = log_queries.page(session, asked=log_queries.read(session, query), limit=1)
    return found.entries[0].found.payload or {}


def statement_sha256(piece: Mapping[str, Any]) -> str:
    """Hash what a piece of evidence says, as docs/audit-bundles.md tells a stranger to."""
    said = {name: piece[name] for name in ("acts", "checked_by_default", "salt", "shown", "shown_sha256")}
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class TestAsJson:
    @pytest.mark.rule("CAP-09")
    def test_it_proves_the_very_act(self, session: Session, shown: ShownForm) -> None:
        consent_id = a_mailed_consent(session, shown)

        piece = proof_document.as_json(reveal(session, consent_id))["evidence"][0]

        assert piece["shown"]["statement"] == shown.boxes[0].statement
        assert piece["checked_by_default"] is False
        assert (piece["form_id"], piece["form_version"], piece["language"]) == (shown.form_id, 1, "nb")
        assert piece["acts"]["submission"]["page_url"] == acts.PAGE
        assert piece["acts"]["submission"]["method"] == "web_form"
        assert piece["acts"]["confirmation"]["act"] == "button_pressed"
        assert piece["trace"]["submission"] == {"ip": acts.IP, "user_agent": acts.USER_AGENT}
        assert piece["events"] == [
            {"event": "submission", "at": "2026-03-02T12:00:00Z"},
            {"event": "mail_accepted", "at": "2026-03-02T12:00:30Z"},
            {"event": "confirmation", "at": "2026-03-02T12:01:00Z"},
            {"event": "recorded", "at": "2026-03-02T12:01:00Z"},
        ]

    @pytest.mark.rule("CAP-09")
    def test_whoever_has_the_words_can_compute_their_hash(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        sent = json.loads(json.dumps(proof_document.as_json(reveal(session, consent_id))))

        piece = sent["evidence"][0]
        assert piece["shown_sha256"] == hashlib.sha256(canonical.canonical_json(piece["shown"])).hexdigest()
        piece["shown"]["statement"] += " "
        assert piece["shown_sha256"] != hashlib.sha256(canonical.canonical_json(piece["shown"])).hexdigest()

    @pytest.mark.rule("CAP-09", "LOG-12")
    def test_the_log_commits_to_the_words_and_the_act(self, session: Session, shown: ShownForm) -> None:
        signals = {"seconds_open": 12.0, "idle": 0.4}
        consent_id = acts.sign_up(session, shown, signals=signals)
        acts.confirm(session)
        acts.take_back(session, at=LATER)
        given, withdrawn = logged(session, "action:consent.given"), logged(session, "action:consent.withdrawn")

        pieces = json.loads(json.dumps(proof_document.as_json(reveal(session, consent_id))))["evidence"]

        assert [statement_sha256(each) for each in pieces] == [given["evidence_sha256"], withdrawn["evidence_sha256"]]
        pieces[0]["shown"]["statement"] += " "
        pieces[1]["acts"]["withdrawal"]["method"] = "phone"
        assert statement_sha256(pieces[0]) != given["evidence_sha256"]
        assert statement_sha256(pieces[1]) != withdrawn["evidence_sha256"]

    def test_no_two_statements_have_the_same_hash(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)
        pieces = proof_document.as_json(reveal(session, consent_id))["evidence"]

        salts = {each["salt"] for each in pieces}

        assert len(salts) == 2
        assert all(len(each) == 32 for each in salts)

    @pytest.mark.rule("CAP-09")
    def test_the_words_stay_after_notice_and_form_have_changed(
        self, session: Session, form: FormVersion, shown: ShownForm
    ) -> None:
        consent_id = acts.a_given_consent(session, shown)
        before = proof_document.as_json(reveal(session, consent_id))
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=LATER)
        forms.add_version(session, form_id=form.form_id, definition=form.definition, actor=trail.SYSTEM, at=LATER)
        now = acts.shown_form(session, forms.current(session, form_id=form.form_id, at=LATER), at=LATER)

        after = proof_document.as_json(reveal(session, consent_id, at=LATER + DAY))

        assert now.boxes[0].purpose_text != shown.boxes[0].purpose_text
        assert after == before
        assert after["evidence"][0]["shown"]["purpose_text"] == shown.boxes[0].purpose_text

    def test_a_reported_act_names_the_version_that_was_shown(self, session: Session) -> None:
        builders.a_published_purpose(session, double_opt_in=False)
        till = builders.a_form(session, key="till")
        outcome = acts.report(session, till, granted=True, version=None, at=LATER)

        piece = proof_document.as_json(reveal(session, outcome.consents[0].consent_id))["evidence"][0]

        assert (piece["form_id"], piece["form_version"]) == (till.form_id, 1)

    def test_a_withdrawal_adds_a_piece(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)

        pieces = proof_document.as_json(reveal(session, consent_id))["evidence"]

        assert [list(piece["acts"]) for piece in pieces] == [["submission", "confirmation"], ["withdrawal"]]
        assert (pieces[1]["shown"], pieces[1]["shown_sha256"]) == (None, None)

    def test_nobody_looks_without_being_written_down(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        reveal(session, consent_id)

        assert session.query(AuditEntry).filter_by(type="evidence.revealed").count() == 1
        with pytest.raises(ConsentUnknownError):
            reveal(session, "con_00000000000000000000000000")


class TestPrintedEvidence:
    @pytest.mark.rule("CAP-10")
    @pytest.mark.parametrize("language", ["nb", "nn", "en"])
    def test_it_is_one_page_that_needs_nothing_else(self, session: Session, shown: ShownForm, language: str) -> None:
        consent_id = a_mailed_consent(session, shown)
        opened = reveal(session, consent_id)

        page = proof_document.render_html(session, opened, language=language)

        read = Reader(page)
        assert (read.loads, read.links) == ([], [])
        assert not read.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        assert not any(loading in page for loading in ("@import", "url("))

    @pytest.mark.rule("CAP-10")
    def test_it_documents_the_whole_declaration(self, session: Session, shown: ShownForm) -> None:
        consent_id = a_mailed_consent(session, shown)
        opened = reveal(session, consent_id)
        piece = proof_document.as_json(opened)["evidence"][0]

        text = Reader(proof_document.render_html(session, opened, language="en")).text

        for told in (consent_id, shown.boxes[0].statement, shown.boxes[0].withdrawal_text, piece["shown_sha256"]):
            assert told in text
        for moment in ("12:00:00 UTC", "12:00:30 UTC", "12:01:00 UTC", "2 March 2026 at 13:00"):
            assert moment in text
        assert "Kundeklubb (nb), version 1" in text
        assert acts.PAGE in text
        assert acts.IP in text

    def test_it_speaks_the_readers_language_and_quotes_the_acts(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        page = proof_document.render_html(session, reveal(session, consent_id), language="nn")

        assert '<html lang="nn">' in page
        assert f'<blockquote lang="nb">{shown.boxes[0].statement}</blockquote>' in page
        assert "Kva som vart vist" in page

    def test_a_choice_on_the_page_of_choices_is_said_in_words(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.choose(session, shown, at=LATER)

        page = proof_document.render_html(session, reveal(session, consent_id), language="nb")

        assert "Valgt av personen under «Mine valg»" in page

    def test_what_a_caller_sent_is_never_markup(self, session: Session) -> None:
        builders.a_published_purpose(session, double_opt_in=False)
        till = builders.a_form(session, key="till")
        outcome = acts.report(session, till, granted=True, page_url=HOSTILE_PAGE, at=LATER)

        opened = reveal(session, outcome.consents[0].consent_id)
        read = Reader(proof_document.render_html(session, opened, language="nb"))

        assert HOSTILE_PAGE in read.text
        assert "script" not in read.tags

    def test_a_body_that_was_destroyed_is_said_to_be(self, session: Session, form: FormVersion) -> None:
        del form
        emptied = OpenedEvidence("evd_00000000000000000000000000", "con_00000000000000000000000000", NOON, {}, None)

        page = proof_document.render_html(session, (emptied,), language="en")

        assert "destroyed when its time was over" in page
        assert proof_document.as_json((emptied,))["evidence"][0]["acts"] == {}


class TestPrintedReceipt:
    @pytest.mark.rule("REC-02")
    @pytest.mark.parametrize("language", ["nb", "nn", "en"])
    def test_it_says_what_was_agreed_and_how_to_take_it_back(
        self, session: Session, shown: ShownForm, language: str
    ) -> None:
        consent_id = acts.a_given_consent(session, shown)

        page = receipt.render_html(session, consent_id=consent_id, public_url=BASE, language=language, at=LATER)

        read = Reader(page)
        document = receipt.build(session, consent_id=consent_id, public_url=BASE, at=LATER)
        assert document["dct:identifier"] in read.text
        assert shown.boxes[0].statement in read.text
        assert "Nordlys AS" in read.text
        assert read.links == [f"{BASE}/p?controller=nordlys"]
        assert read.loads == []
        assert not read.tags & {"script", "link", "img", "iframe", "form"}

    @pytest.mark.rule("REC-05")
    def test_it_names_no_address(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        page = receipt.render_html(session, consent_id=consent_id, public_url=BASE, language="nb", at=LATER)

        assert not any(known in page for known in (acts.EMAIL, "Kari", "sub_", acts.IP))

    def test_it_says_when_it_was_taken_back(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)

        page = receipt.render_html(session, consent_id=consent_id, public_url=BASE, language="en", at=LATER)

        assert "<strong>Withdrawn</strong>" in page
        assert "2026-03-03 12:00:00 UTC" in page
        assert "Valid until" not in page
