"""A source that proves defective is recalled: what it brought is no consent any more, however much it is."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.cli import worker as process
from consent_service.consent import revocation
from consent_service.consent.revocation import Extent
from consent_service.consent.sources import Source
from consent_service.errors import (
    ApiKeyUnknownError,
    FormUnknownError,
    InvalidInputError,
    RevocationUnknownError,
)
from consent_service.registry.forms import FormVersion
from tests import builders
from tests.acts import KARI, OLA, Stage, an_act
from tests.builders import NOON
from tests.functional.consent.conftest import CLUB, NEWS
from tests.functional.consent.recalls import HOUR, MINUTE, SECOND, YES, entries, recall, report, status, visit


class TestRecall:
    def test_every_check_after_it_says_no(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)

        recall(stage, api_key_id=leaked)

        decision = stage.check("club", at=NOON + HOUR)
        assert (decision.allowed, decision.reason, decision.status) == (False, "consent_revoked", "revoked")
        assert status(stage) == "revoked"
        assert entries(stage) == 0

    def test_it_ends_what_the_person_confirmed_too(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked, decision=("newsletter", "email", True))
        (request_id,) = stage.requests()
        stage.confirm(stage.link(request_id))

        recall(stage, api_key_id=leaked)

        assert stage.check(at=NOON + HOUR).reason == "consent_revoked"

    @pytest.mark.parametrize(
        "marks",
        [
            ("form_id",),
            ("form_id", "form_version"),
            ("api_key_id",),
            ("import_label",),
            ("form_id", "api_key_id", "import_label"),
        ],
    )
    def test_a_source_is_named_by_any_of_its_marks(
        self, stage: Stage, club: FormVersion, leaked: str, marks: tuple[str, ...]
    ) -> None:
        report(stage, club, leaked, import_label="crm-2026-03")
        known: dict[str, Any] = {
            "form_id": club.form_id,
            "form_version": 1,
            "api_key_id": leaked,
            "import_label": "crm-2026-03",
        }

        recall(stage, **{mark: known[mark] for mark in marks})

        assert stage.check("club", at=NOON + HOUR).reason == "consent_revoked"

    @pytest.mark.parametrize(
        ("marks", "period"),
        [
            (("form_id",), (None, None)),
            (("import_label",), (None, None)),
            (("api_key_id", "import_label"), (None, None)),
            (("api_key_id",), (NOON + SECOND, None)),
            (("api_key_id",), (None, NOON - SECOND)),
            ((), (NOON + SECOND, NOON + MINUTE)),
        ],
    )
    def test_nothing_else_ends(
        self,
        stage: Stage,
        club: FormVersion,
        form: FormVersion,
        leaked: str,
        marks: tuple[str, ...],
        period: tuple[datetime | None, datetime | None],
    ) -> None:
        """Only what fits all that is named, in the period, does: here the key fits, and the rest is another's."""
        report(stage, club, leaked, import_label="crm-2026-03")
        others: dict[str, Any] = {"form_id": form.form_id, "api_key_id": leaked, "import_label": "crm-2026-02"}

        recall(stage, period=period, **{mark: others[mark] for mark in marks})
        process.Revoking()(stage.database, NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).allowed
        assert entries(stage) == 0

    def test_a_period_alone_ends_all_that_was_recorded_in_it(
        self, stage: Stage, club: FormVersion, leaked: str
    ) -> None:
        report(stage, club, leaked, at=NOON)
        report(stage, club, leaked, who=OLA, at=NOON + 2 * SECOND)

        recall(stage, period=(NOON, NOON + SECOND))

        assert stage.check("club", at=NOON + HOUR).reason == "consent_revoked"
        assert stage.check("club", who=OLA, at=NOON + HOUR).allowed

    def test_what_held_before_is_still_told(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked, at=NOON + HOUR)

        for _ in range(2):
            assert stage.check("club", as_of=NOON + MINUTE, at=NOON + 3 * HOUR).allowed
            assert stage.check("club", as_of=NOON + 2 * HOUR, at=NOON + 3 * HOUR).reason == "consent_revoked"
            process.Revoking()(stage.database, NOON + 3 * HOUR)
        assert entries(stage) == 1

    def test_a_new_act_from_a_good_source_counts(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked)

        stage.report(club, YES, at=NOON + 2 * MINUTE)
        process.Revoking()(stage.database, NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).allowed
        assert (entries(stage), entries(stage, "renewed"), entries(stage, "given")) == (0, 0, 2)

    def test_it_does_so_too_where_it_is_reported_after_the_ledger_was_given_its_entries(
        self, stage: Stage, club: FormVersion, leaked: str
    ) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked)
        process.Revoking()(stage.database, NOON + HOUR)

        stage.report(club, YES, act=an_act("button_pressed", at=NOON + 2 * MINUTE), at=NOON + 2 * HOUR)

        assert stage.check("club", at=NOON + 3 * HOUR).allowed

    def test_a_no_of_the_person_stays_theirs(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)
        stage.withdraw(purpose="club", at=NOON + SECOND)

        recall(stage, api_key_id=leaked)
        process.Revoking()(stage.database, NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).reason == "consent_withdrawn"

    def test_a_withdrawal_after_it_is_heard(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)
        recall(stage, api_key_id=leaked)

        outcome = stage.withdraw(purpose="club", channel="email", at=NOON + 2 * MINUTE)

        assert [(each.purpose, each.channel) for each in outcome.withdrawn] == [CLUB]
        assert stage.check("club", at=NOON + HOUR).reason == "consent_withdrawn"

    def test_a_visit_to_the_preference_centre_has_no_source_and_stays(
        self, stage: Stage, club: FormVersion, leaked: str
    ) -> None:
        report(stage, club, leaked, decision=("newsletter", "email", True))
        (request_id,) = stage.requests()
        stage.confirm(stage.link(request_id))
        stage.withdraw(purpose="newsletter", at=NOON + SECOND)
        visit(stage, at=NOON + 2 * SECOND)

        recall(stage, form_id=club.form_id)

        assert stage.check(at=NOON + HOUR).allowed

    def test_what_waits_for_confirmation_cannot_be_confirmed_any_more(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        bad, good = stage.link(stage.sign_up(form, NEWS)), stage.link(stage.sign_up(club, NEWS, email=OLA))
        recall(stage, form_id=form.form_id)

        assert stage.look(bad, at=NOON + HOUR).state == "expired"
        assert stage.confirm(bad, at=NOON + HOUR).state == "expired"
        assert stage.confirm(good, at=NOON + HOUR).state == "confirmed"
        assert not stage.check(at=NOON + 2 * HOUR).allowed

    def test_the_same_form_may_ask_again_afterwards(self, stage: Stage, form: FormVersion) -> None:
        stage.sign_up(form, NEWS)
        recall(stage, form_id=form.form_id)

        again = stage.link(stage.sign_up(form, NEWS, at=NOON + HOUR), at=NOON + HOUR)

        assert stage.confirm(again, at=NOON + HOUR).state == "confirmed"
        assert stage.check(at=NOON + HOUR).allowed

    def test_it_is_written_down(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        report(stage, club, leaked)

        recorded = recall(stage, api_key_id=leaked)

        with stage.act() as session:
            found = session.scalars(
                select(AuditEntry.type).where(
                    AuditEntry.controller_id == stage.controller_id, AuditEntry.type.startswith("revocation.")
                )
            ).all()
            shown = revocation.get(session, revocation_id=recorded.id)
        assert found == ["revocation.recorded"]
        assert (shown.counted, shown.ended, shown.status) == (1, 0, "applying")
        assert shown.extent == Extent(Source(api_key_id=leaked), None, NOON + MINUTE)


class TestCount:
    def test_it_counts_what_stands_and_writes_nothing(self, stage: Stage, club: FormVersion, leaked: str) -> None:
        for who in (KARI, OLA, "per@kunde.example"):
            report(stage, club, leaked, who=who)
        report(stage, club, leaked, who=OLA, decision=("club", "web", True))
        stage.withdraw("per@kunde.example", at=NOON + SECOND)

        with stage.act() as session:
            counted = revocation.preview(session, extent=Extent(Source(api_key_id=leaked)), at=NOON + MINUTE)
            found = revocation.list_all(session)

        assert [(each.purpose, each.channel, each.count) for each in counted] == [
            ("club", "email", 2),
            ("club", "web", 1),
        ]
        assert found == ()
        assert stage.check("club", at=NOON + HOUR).allowed

    def test_what_ended_by_itself_is_not_counted(self, stage: Stage, leaked: str) -> None:
        stage.purpose("short", double_opt_in=False, valid_for_months=1)
        stage.purpose("old", double_opt_in=False)
        stage.purpose("twice", double_opt_in=False)
        form = stage.form(("short", "email"), ("old", "email"), ("twice", "email"), key="mixed")
        for key in ("short", "old", "twice"):
            report(stage, form, leaked, decision=(key, "email", True))
        later = NOON + timedelta(days=60)
        with stage.act() as session:
            builders.a_published_notice(
                session, purpose="old", content=builders.a_notice(purpose="old", edition=2), at=NOON + HOUR
            )

        def counted() -> list[str]:
            with stage.act() as session:
                found = revocation.preview(session, extent=Extent(Source(form_id=form.form_id)), at=later)
            return [each.purpose for each in found]

        assert counted() == ["twice"]
        recall(stage, form_id=form.form_id, at=later)
        assert counted() == []


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("source", "period", "pointer", "code"),
        [
            ({}, (None, None), "", "source_missing"),
            ({}, (None, NOON), "", "source_missing"),
            ({"form_version": 1}, (None, None), "/form_version", "form_missing"),
            ({"import_label": "CRM"}, (None, None), "/import", "import_label_invalid"),
            ({"import_label": "crm"}, (None, NOON + HOUR), "/recorded_until", "in_the_future"),
            ({"import_label": "crm"}, (NOON, NOON - HOUR), "/recorded_from", "not_before_the_end"),
            ({}, (NOON + HOUR, None), "/recorded_from", "not_before_the_end"),
        ],
    )
    def test_it_is_named(
        self, stage: Stage, source: dict[str, Any], period: tuple[Any, Any], pointer: str, code: str
    ) -> None:
        with pytest.raises(InvalidInputError) as raised:
            recall(stage, period=period, **source)

        assert (pointer, code) in [(each.pointer, each.code) for each in raised.value.problems]

    def test_a_source_that_does_not_exist(self, stage: Stage, form: FormVersion) -> None:
        with pytest.raises(FormUnknownError):
            recall(stage, form_id=form.form_id, form_version=2)
        with pytest.raises(FormUnknownError):
            recall(stage, form_id=identifiers.new_id("frm"))
        with pytest.raises(ApiKeyUnknownError):
            recall(stage, api_key_id=identifiers.new_id("key", at=NOON))
        with stage.act() as session, pytest.raises(RevocationUnknownError):
            revocation.get(session, revocation_id=identifiers.new_id("rvk", at=NOON))

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb"])
    def test_no_reason(self, stage: Stage, form: FormVersion, reason: str) -> None:
        extent = Extent(Source(form_id=form.form_id))

        with stage.act() as session, pytest.raises(InvalidInputError):
            revocation.record(session, extent=extent, reason=reason, actor=trail.SYSTEM, at=NOON)
