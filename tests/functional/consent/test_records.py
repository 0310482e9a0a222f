"""What is on record of a declaration, and how a person's choices stand."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from consent_service.consent import records, signup_requests
from consent_service.db.session import Database
from consent_service.errors import ConsentUnknownError
from consent_service.registry.forms import FormVersion, ShownForm
from tests import builders
from tests.builders import NOON
from tests.functional.consent import acts

DAY = timedelta(days=1)
LATER = NOON + DAY


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    with database.transaction(controller) as session:
        yield session


@pytest.fixture
def form(session: Session) -> FormVersion:
    builders.a_published_purpose(session, channels=("email", "web"), valid_for_months=24)
    return builders.a_form(session)


@pytest.fixture
def shown(session: Session, form: FormVersion) -> ShownForm:
    return acts.shown_form(session, form)


@pytest.fixture
def till(session: Session) -> FormVersion:
    """Make a form of the till for a purpose that needs no double opt-in."""
    builders.a_published_purpose(session, double_opt_in=False)
    return builders.a_form(session, key="till")


class TestGet:
    def test_a_declaration_that_waits_is_requested(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.sign_up(session, shown)

        record = records.get(session, consent_id=consent_id, at=LATER)

        assert (record.status, record.status_term) == ("requested", "ConsentRequested")
        assert (record.purpose, record.channel, record.language) == ("newsletter", "email", "nb")
        assert (record.requested_at, record.expires_at) == (NOON, NOON + signup_requests.LIFETIME)
        assert (record.subject_id, record.given_at, record.entries) == (None, None, ())
        assert record.form_id == shown.form_id

    def test_a_declaration_that_waited_too_long_is_nothing(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.sign_up(session, shown)

        record = records.get(session, consent_id=consent_id, at=NOON + signup_requests.LIFETIME)

        assert record.status == "unknown"

    def test_a_declaration_that_was_taken_back_while_it_waited_is_nothing(
        self, session: Session, shown: ShownForm
    ) -> None:
        acts.a_given_consent(session, shown)
        waiting = acts.sign_up(session, shown, at=LATER)
        acts.take_back(session, at=LATER + acts.MINUTE)

        record = records.get(session, consent_id=waiting, at=LATER + DAY)

        assert record.status == "unknown"

    def test_a_confirmed_declaration_is_given(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        record = records.get(session, consent_id=consent_id, at=LATER)

        assert record.status == "given"
        assert (record.requested_at, record.given_at, record.confirmed_at) == (NOON, NOON, NOON + acts.MINUTE)
        assert record.expires_at == (NOON + acts.MINUTE).replace(year=2028)
        assert (record.notice_version, record.legal_basis, record.evidence_grade) == (1, "consent", "double_opt_in")
        assert [entry.kind for entry in record.entries] == ["given"]

    def test_its_end_is_derived_from_the_clock(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)

        record = records.get(session, consent_id=consent_id, at=(NOON + DAY).replace(year=2028))

        assert record.status == "expired"

    def test_a_material_change_of_the_notice_invalidates_it(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        builders.a_published_notice(session, content=builders.a_notice(edition=2), at=LATER)

        before = records.get(session, consent_id=consent_id, at=LATER - acts.MINUTE)
        after = records.get(session, consent_id=consent_id, at=LATER)

        assert (before.status, after.status) == ("given", "invalidated")

    def test_a_withdrawal_is_its_last_entry(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)

        record = records.get(session, consent_id=consent_id, at=LATER)

        assert (record.status, record.withdrawn_at) == ("withdrawn", LATER)
        assert [entry.kind for entry in record.entries] == ["given", "withdrawn"]
        assert record.given_at == NOON

    def test_what_came_later_does_not_change_what_was(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)

        record = records.get(session, consent_id=consent_id, at=LATER - acts.MINUTE)

        assert (record.status, record.withdrawn_at) == ("given", None)

    def test_a_declaration_that_was_renewed_keeps_its_own_entries(self, session: Session, shown: ShownForm) -> None:
        first = acts.a_given_consent(session, shown)
        second = acts.a_given_consent(session, shown, at=LATER)

        old = records.get(session, consent_id=first, at=LATER + DAY)
        new = records.get(session, consent_id=second, at=LATER + DAY)

        assert (old.status, [entry.kind for entry in old.entries]) == ("given", ["given"])
        assert (new.status, [entry.kind for entry in new.entries]) == ("renewed", ["renewed"])

    def test_a_withdrawal_ends_the_declarations_before_the_newest_too(self, session: Session, shown: ShownForm) -> None:
        first = acts.a_given_consent(session, shown)
        second = acts.a_given_consent(session, shown, at=LATER)
        acts.take_back(session, at=LATER + DAY)

        old = records.get(session, consent_id=first, at=LATER + DAY)

        assert (old.status, old.withdrawn_at) == ("withdrawn", LATER + DAY)
        assert [entry.consent_id for entry in old.entries] == [first, second]

    def test_a_new_yes_does_not_revive_what_was_withdrawn(self, session: Session, shown: ShownForm) -> None:
        first = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)
        acts.a_given_consent(session, shown, at=LATER + DAY)

        assert records.get(session, consent_id=first, at=LATER + 2 * DAY).status == "withdrawn"

    def test_a_reported_no_ends_a_yes_that_has_another_id(self, session: Session, till: FormVersion) -> None:
        yes = acts.report(session, till, granted=True, at=NOON).consents[0].consent_id
        no = acts.report(session, till, granted=False, at=LATER).consents[0].consent_id

        assert yes != no
        assert records.get(session, consent_id=yes, at=LATER).status == "withdrawn"
        assert records.get(session, consent_id=no, at=LATER).status == "withdrawn"

    def test_an_act_that_was_reported_without_confirmation_was_not_requested(
        self, session: Session, till: FormVersion
    ) -> None:
        consent_id = acts.report(session, till, granted=True, at=NOON).consents[0].consent_id

        record = records.get(session, consent_id=consent_id, at=LATER)

        assert (record.requested_at, record.given_at, record.confirmed_at) == (None, NOON, None)

    @pytest.mark.parametrize("consent_id", ["con_00000000000000000000000000", "con_short", "sub_x", ""])
    def test_nothing_is_known_of_an_unknown_id(self, session: Session, consent_id: str) -> None:
        with pytest.raises(ConsentUnknownError):
            records.get(session, consent_id=consent_id, at=LATER)

    def test_another_controllers_declaration_is_unknown(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        with database.transaction(other_controller) as session:
            builders.a_published_purpose(session)
            consent_id = acts.a_given_consent(session, acts.shown_form(session, builders.a_form(session)))

        with database.transaction(controller) as session, pytest.raises(ConsentUnknownError):
            records.get(session, consent_id=consent_id, at=LATER)


class TestCurrent:
    def test_it_says_how_each_series_stands(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""

        standing = records.current(session, subject_id=subject_id, at=LATER)

        assert [(each.purpose, each.channel, each.status) for each in standing] == [("newsletter", "email", "given")]
        assert standing[0].status_term == "ConsentGiven"
        assert standing[0].consent_id == consent_id
        assert (standing[0].contact_point_id or "").startswith("cpt_")

    def test_the_latest_act_of_a_series_counts(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""

        standing = records.current(session, subject_id=subject_id, at=LATER)

        assert [(each.channel, each.status) for each in standing] == [("email", "withdrawn"), ("web", "withdrawn")]

    def test_what_waits_at_a_proved_address_is_requested(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""
        survey = _a_survey(session)
        waiting = acts.sign_up(session, acts.shown_form(session, survey, at=LATER), at=LATER)

        standing = {each.purpose: each for each in records.current(session, subject_id=subject_id, at=LATER)}

        assert (standing["survey"].status, standing["survey"].consent_id) == ("requested", waiting)
        assert standing["survey"].contact_point_id == standing["newsletter"].contact_point_id

    def test_what_waits_at_another_address_is_not_theirs(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""
        survey = _a_survey(session)
        acts.sign_up(session, acts.shown_form(session, survey, at=LATER), email="ola@example.com", at=LATER)

        standing = records.current(session, subject_id=subject_id, at=LATER)

        assert [each.purpose for each in standing] == ["newsletter"]


class TestHistory:
    def test_it_lists_the_newest_first_page_by_page(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        for days in range(1, 4):
            acts.a_given_consent(session, shown, at=NOON + days * DAY)
        acts.take_back(session, at=NOON + 5 * DAY)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""

        first = records.history(session, subject_id=subject_id, limit=4)
        rest = records.history(session, subject_id=subject_id, before=first.next_cursor, limit=4)

        kinds = [entry.kind for entry in (*first.entries, *rest.entries)]
        assert kinds == ["withdrawn", "withdrawn", "renewed", "renewed", "renewed", "given"]
        assert (len(first.entries), rest.next_cursor) == (4, None)

    def test_entries_of_one_moment_are_neither_lost_nor_doubled(self, session: Session, shown: ShownForm) -> None:
        consent_id = acts.a_given_consent(session, shown)
        acts.take_back(session, at=LATER)
        subject_id = records.get(session, consent_id=consent_id, at=LATER).subject_id or ""

        first = records.history(session, subject_id=subject_id, limit=1)
        second = records.history(session, subject_id=subject_id, before=first.next_cursor, limit=1)

        assert first.entries[0].recorded_at == second.entries[0].recorded_at == LATER
        assert first.entries[0].id != second.entries[0].id

    def test_nobody_has_no_history(self, session: Session) -> None:
        page = records.history(session, subject_id="sub_00000000000000000000000000", limit=10)

        assert (page.entries, page.next_cursor) == ((), None)


def _a_survey(session: Session) -> FormVersion:
    builders.a_published_purpose(session, key="survey", at=LATER)
    return builders.a_form(session, key="survey", offers=(("survey", "email"),), at=LATER)
