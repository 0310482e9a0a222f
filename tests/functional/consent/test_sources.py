"""Every yes says where it came from, so that a source that proves defective can be recalled."""

import pytest

from consent_service import identifiers
from consent_service.audit.trail import Actor
from consent_service.consent import entries, records, reporting
from consent_service.consent.reporting import ReportedAct, ReportedDecision
from consent_service.consent.sources import Source
from consent_service.errors import InvalidInputError
from consent_service.registry.forms import FormVersion
from tests.acts import KARI, OLA, TILL, Stage, an_act, refer
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

CRM = Actor("api_key", identifiers.new_id("key", at=NOON))


@pytest.fixture
def club(stage: Stage) -> FormVersion:
    """Let systems report a purpose without double opt-in, and the newsletter with it."""
    stage.purpose("club", double_opt_in=False)
    return stage.form(("club", "email"), NEWS, key="till")


def latest(stage: Stage, who: str = KARI, purpose: str = "newsletter") -> entries.RecordedEntry:
    """Return the entry that counts."""
    subject_id = stage.check(purpose, who=who).subject_id
    assert subject_id is not None
    with stage.act() as session:
        found = entries.latest_of_subject(session, subject_id=subject_id, at=NOON)
    return next(each for each in found if each.purpose == purpose)


class TestAYes:
    def test_of_a_public_form_names_the_form_and_its_version(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS)

        assert latest(stage).source == Source(form_id=form.form_id, form_version=1)

    def test_that_a_system_reports_names_its_key_and_import_too(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, ("club", "email", True), import_label="till-2026-03")

        found = latest(stage, purpose="club")
        assert found.source == Source(club.form_id, 1, TILL.id, "till-2026-03")

    def test_names_the_key_also_where_the_person_confirmed_it_later(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, ("newsletter", "email", True), import_label="till-2026-03")
        (request_id,) = stage.requests()

        stage.confirm(stage.link(request_id))

        assert latest(stage).source == Source(club.form_id, 1, TILL.id, "till-2026-03")

    def test_is_shown_with_its_form(self, stage: Stage, form: FormVersion) -> None:
        view = stage.give(form, NEWS)

        with stage.act() as session:
            record = records.get(session, consent_id=view.consent_ids[0], at=NOON)

        assert record.form_id == form.form_id


class TestTheSameAnswerOfAnotherSource:
    def test_is_another_request(self, stage: Stage, club: FormVersion) -> None:
        """Otherwise what a leaked key asked for would be all that the person's own form left behind."""
        stage.report(club, ("newsletter", "email", True))
        with stage.act() as session:
            reporting.record_reported(session, report=a_report(club), actor=CRM, at=NOON)
        stage.sign_up(club, NEWS)
        stage.sign_up(club, NEWS, email=OLA)

        assert len(stage.requests()) == 4


class TestAnImportLabel:
    @pytest.mark.parametrize("label", ["", "CRM", "-crm", "crm 2026", "crm/1", "x" * 65, "crm\n", "kari@x.example"])
    def test_is_one_short_word(self, stage: Stage, club: FormVersion, label: str) -> None:
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, ("club", "email", True), import_label=label)

        assert [(each.pointer, each.code) for each in raised.value.problems] == [("/import", "import_label_invalid")]


def a_report(form: FormVersion) -> ReportedAct:
    """Return what another system says of the same person."""
    return ReportedAct(
        reference=refer(KARI),
        additional=(),
        form_id=form.form_id,
        form_version=None,
        language="nb",
        decisions=(ReportedDecision("newsletter", "email", granted=True),),
        evidence=an_act("button_pressed"),
    )
