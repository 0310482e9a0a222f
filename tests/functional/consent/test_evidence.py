"""The very act can be proved: what was shown, how it was answered and when; and no more than that is kept."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.consent import evidence, reporting, withdrawal
from consent_service.consent.evidence import ActEvidence, OpenedEvidence
from consent_service.consent.models import EvidencePart, LedgerEntry
from consent_service.consent.reporting import ReportedAct, ReportedDecision
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import Database
from consent_service.errors import InvalidInputError
from consent_service.registry import controllers, forms
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.acts import TILL
from tests.builders import KARI, NOON

LATER = NOON + timedelta(days=1)
DPO = trail.Actor("operator", "opr_dpo")


def _reveal(session: Session, consent_id: str) -> OpenedEvidence:
    (opened,) = evidence.reveal(session, consent_id=consent_id, reason="a complaint", actor=DPO, at=LATER)
    return opened


def _report(session: Session, act: ActEvidence, *, granted: bool = True) -> reporting.CaptureOutcome:
    builders.a_published_purpose(session, double_opt_in=False)
    form = builders.a_form(session)
    report = ReportedAct(
        reference=SubjectReference(contact=fields.parse_email(KARI)),
        additional=(),
        form_id=form.form_id,
        form_version=None,
        language="nb",
        decisions=(ReportedDecision("newsletter", "email", granted=granted),),
        evidence=act,
    )
    return reporting.record_reported(session, report=report, actor=TILL, at=LATER)


class TestStatement:
    @pytest.mark.rule("CAP-09", "NO-15")
    def test_it_holds_the_words_that_were_shown_even_after_form_and_notice_changed(self, session: Session) -> None:
        given = builders.a_given_consent(session)
        told = given.boxes[0]
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=LATER)
        form_id = forms.find_id(session, key="newsletter_alone")
        assert form_id is not None
        definition = forms.current(session, form_id=form_id, at=NOON).definition
        changed = replace(definition, titles=dict.fromkeys(definition.languages, "Something else"))
        forms.add_version(session, form_id=form_id, definition=changed, actor=trail.SYSTEM, at=LATER)

        opened = _reveal(session, given.consent_ids[0])

        shown = opened.statement["shown"]
        assert (shown["statement"], shown["purpose_text"]) == (told.statement, told.purpose_text)
        assert (shown["notice_id"], shown["notice_number"]) == (told.notice_id, 1)
        assert opened.statement["checked_by_default"] is False

    @pytest.mark.rule("CAP-09", "CAP-07")
    def test_it_tells_form_page_language_and_both_acts_with_their_times(self, session: Session) -> None:
        given = builders.a_given_consent(session)

        acts = _reveal(session, given.consent_ids[0]).statement["acts"]

        submission, confirmed = acts["submission"], acts["confirmation"]
        assert submission["form_id"] == given.form_id
        assert (submission["form_version"], submission["language"]) == (1, "nb")
        assert submission["page_url"] == "https://shop.example/club"
        assert [act["occurred_at"] for act in (submission, confirmed)] == [NOON.isoformat()] * 2

    def test_looking_at_it_is_written_down(self, session: Session) -> None:
        given = builders.a_given_consent(session)

        _reveal(session, given.consent_ids[0])

        assert "evidence.revealed" in session.scalars(select(AuditEntry.type)).all()


class TestTrace:
    @pytest.mark.rule("CAP-11")
    def test_address_and_browser_are_kept_apart_for_twelve_months(self, session: Session) -> None:
        given = builders.a_given_consent(session)

        opened = _reveal(session, given.consent_ids[0])
        ends = dict(session.execute(select(EvidencePart.part, EvidencePart.delete_after)).all())

        assert opened.trace is not None
        assert opened.trace["submission"] == {"ip": "192.0.2.7", "user_agent": "Mozilla/5.0 (test)"}
        assert "192.0.2.7" not in str(opened.statement)
        assert ends == {"statement": None, "trace": NOON.replace(year=NOON.year + 1)}

    @pytest.mark.rule("CAP-11")
    def test_a_controller_can_do_without(self, session: Session) -> None:
        changed = replace(controllers.get(session), keeps_traces=False)
        controllers.change_settings(session, changed=changed, actor=trail.SYSTEM, at=NOON)
        given = builders.a_given_consent(session)

        opened = _reveal(session, given.consent_ids[0])

        assert opened.trace is None

    @pytest.mark.rule("CAP-11")
    def test_the_consent_stays_provable_when_the_trace_is_gone(
        self, database: Database, retention_database: Database, controller: str
    ) -> None:
        with database.transaction(controller) as session:
            given = builders.a_given_consent(session)
        with retention_database.transaction(controller) as session:
            for part in session.scalars(select(EvidencePart).where(EvidencePart.part == "trace")):
                session.delete(part)
        with database.transaction(controller) as session:
            opened = _reveal(session, given.consent_ids[0])
            answer = builders.a_check(session, at=LATER)

        assert opened.trace is None
        assert opened.statement["shown"]["statement"]
        assert answer.allowed


class TestOffline:
    @pytest.mark.rule("CAP-23")
    @pytest.mark.parametrize("method", ["phone", "paper", "in_person"])
    def test_it_needs_who_took_it_down_and_where_the_original_is(self, session: Session, method: str) -> None:
        act = ActEvidence(method=method, act="statement_spoken", occurred_at=NOON)

        with pytest.raises(InvalidInputError) as refused:
            _report(session, act)

        assert {problem.pointer for problem in refused.value.problems} == {
            "/evidence/operator",
            "/evidence/reference",
        }

    @pytest.mark.rule("CAP-23")
    def test_it_keeps_them_with_the_script_that_was_read_out(self, session: Session) -> None:
        act = ActEvidence(
            method="phone", act="statement_spoken", occurred_at=NOON, operator="agent 12", reference="call 4711"
        )

        outcome = _report(session, act)

        opened = _reveal(session, outcome.consents[0].consent_id)
        kept = opened.statement["acts"]["report"]
        assert (kept["operator"], kept["reference"]) == ("agent 12", "call 4711")
        assert (kept["form_id"] or "").startswith("frm_")
        assert opened.statement["shown"]["notice_number"] == 1

    def test_an_empty_box_is_not_a_no(self, session: Session) -> None:
        act = ActEvidence(method="app", act="checkbox_ticked", occurred_at=NOON)

        with pytest.raises(InvalidInputError):
            _report(session, act, granted=False)


class TestTimes:
    @pytest.mark.rule("ACC-12")
    def test_what_a_system_says_is_kept_apart_from_when_we_heard_it(self, session: Session) -> None:
        act = ActEvidence(method="app", act="button_pressed", occurred_at=NOON)

        _report(session, act)

        row = session.execute(select(LedgerEntry.occurred_at, LedgerEntry.recorded_at)).one()
        assert (row.occurred_at, row.recorded_at) == (NOON, LATER)

    @pytest.mark.rule("ACC-12")
    def test_the_future_is_refused(self, session: Session) -> None:
        act = ActEvidence(method="app", act="button_pressed", occurred_at=LATER + timedelta(minutes=3))

        with pytest.raises(InvalidInputError) as refused:
            _report(session, act)

        assert [problem.code for problem in refused.value.problems] == ["in_the_future"]

    @pytest.mark.rule("ACC-12")
    def test_acts_of_one_person_never_tie_and_never_run_backwards(self, session: Session) -> None:
        """A node whose clock is behind cannot put its act before one that was recorded already."""
        reference = SubjectReference(contact=fields.parse_email(KARI))
        builders.a_given_consent(session)
        for minutes in (0, -3, -5):
            withdrawal.withdraw(
                session,
                reference=reference,
                scope=Scope("newsletter", "email"),
                reason="test",
                act=None,
                actor=trail.SUBJECT,
                at=NOON + timedelta(minutes=minutes),
            )

        moments = session.scalars(select(LedgerEntry.effective_at).order_by(LedgerEntry.seq)).all()

        assert len(moments) == 4
        assert list(moments) == sorted(set(moments))
