"""Whoever is asked about among thousands gets the answer that a check of theirs alone would get."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.consent import check, checking_many, gathering, merging, relations, standing
from consent_service.consent.checking_many import Answered, CopyIsOldError
from consent_service.consent.gathering import Question
from consent_service.consent.relations import Sale
from consent_service.consent.standing import Standing
from consent_service.db.direct import DirectConnections
from consent_service.db.session import Database
from consent_service.registry import controllers, purpose_settings
from consent_service.registry.forms import FormVersion
from consent_service.subjects import recipient_kinds, restriction
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.acts import KARI, PHONE, TILL, Stage, contact, external, refer
from tests.builders import NOON
from tests.functional.consent.recalls import recall

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
NEWS: Final = ("newsletter", "email")
CLUB: Final = ("club", "email")
YES: Final = ("club", "email", True)
NO: Final = ("club", "email", False)
QUESTIONS: Final = (NEWS, ("newsletter", "sms"), CLUB, ("club", "web"), ("nothing", "email"), ("club", "pigeon"))
#: Before and after the notice changes, shortly before the newsletter's month is over, and after it.
MOMENTS: Final = (NOON + 6 * HOUR, NOON + 9 * HOUR, NOON + 31 * DAY - HOUR, NOON + 40 * DAY)

Heard = tuple[bool, str, str, str | None, datetime | None]


def of(name: str) -> str:
    return f"{name}@kunde.example"


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let the newsletter need double opt-in and end after a month, and the club neither."""
    stage = Stage(database, controller)
    stage.purpose("newsletter", channels=("email", "sms"), valid_for_months=1)
    stage.purpose("club", double_opt_in=False, channels=("email", "web"))
    return stage


@pytest.fixture
def form(stage: Stage) -> FormVersion:
    return stage.form(NEWS, ("newsletter", "sms"), CLUB, ("club", "web"))


@pytest.fixture
def direct(stage: Stage) -> Iterator[DirectConnections]:
    """Connect as checks do."""
    direct = DirectConnections(stage.database.engine)
    yield direct
    direct.close_all()


@pytest.fixture
def people(stage: Stage, form: FormVersion) -> list[SubjectReference]:
    """Let there be people of every kind, and return how each is referred to."""
    give_and_take_back(stage, form)
    say_no(stage, form)
    share_addresses(stage, form)
    everybody = (
        *(
            "given",
            "renewed",
            "again",
            "withdrawn",
            "refused",
            "recalled",
            "suppressed",
            "objected",
            "no-sms",
            "lifted",
        ),
        *("restricted", "freed", "waiting", "waiting-again", "claimed", "shared", "other-point", "second-point"),
        *("survivor", "duplicate", "twin", "untouched", "customer", "unknown"),
    )
    by_address = [refer(of(name)) for name in everybody]
    return [
        *by_address,
        refer("post@firma.example"),
        refer(PHONE),
        external("4711", point=of("claimed")),
        external("4712", point=of("shared")),
        external("4711"),
        external("4711", point=of("unknown")),
        SubjectReference(id=identifiers.new_id("sub"), contact_point=contact(of("given"))),
    ]


def give_and_take_back(stage: Stage, form: FormVersion) -> None:
    for name in ("given", "renewed", "again", "withdrawn", "restricted", "freed", "objected", "no-sms", "lifted"):
        stage.give(form, NEWS, CLUB, email=of(name))
    stage.give(form, NEWS, email=of("renewed"), at=NOON + 20 * DAY)
    for name in ("withdrawn", "again"):
        stage.withdraw(of(name), at=NOON + HOUR)
    stage.give(form, NEWS, email=of("again"), at=NOON + 2 * HOUR)
    stage.report(form, YES, who=of("recalled"), at=NOON + 3 * HOUR)
    recall(stage, period=(NOON + 2.9 * HOUR, NOON + 3.1 * HOUR), at=NOON + 4 * HOUR)
    stage.sign_up(form, NEWS, email=of("waiting"))
    stage.sign_up(form, NEWS, email=of("waiting-again"))
    stage.sign_up(form, CLUB, email=of("waiting-again"), at=NOON + HOUR)


def say_no(stage: Stage, form: FormVersion) -> None:
    stage.report(form, NO, who=of("refused"))
    stage.withdraw(of("suppressed"), at=NOON + HOUR)
    stage.object_to(of("objected"), at=NOON + HOUR)
    stage.object_to(of("no-sms"), channel="sms", at=NOON + HOUR)
    stage.object_to(of("lifted"), at=NOON + HOUR)
    stage.give(form, NEWS, email=of("lifted"), at=NOON + 2 * HOUR)
    subjects = [known(stage, name) for name in ("restricted", "freed")]
    with stage.act() as session:
        for subject_id in subjects:
            restriction.restrict(session, subject_id=subject_id, reason="Disputed.", actor=trail.SYSTEM, at=NOON + HOUR)
        restriction.lift(session, subject_id=subjects[1], reason="Settled.", actor=trail.SYSTEM, at=NOON + 2 * HOUR)


def share_addresses(stage: Stage, form: FormVersion) -> None:
    stage.report(form, YES, who=external("4711", point=of("claimed")))
    stage.report(form, YES, who=external("4712", point=of("shared")))
    stage.report(form, NO, who=external("4713", point=of("shared")), at=NOON + HOUR)
    stage.report(form, YES, who=external("4714", point=of("other-point")))
    stage.report(form, NO, who=external("4714", point=of("second-point")), additional=(contact(PHONE),))
    for name in ("survivor", "duplicate", "twin", "untouched"):
        stage.give(form, NEWS, CLUB, email=of(name))
    stage.withdraw(of("duplicate"), at=NOON + HOUR)
    merge(stage, "survivor", "duplicate")
    merge(stage, "twin", "given")


def known(stage: Stage, name: str) -> str:
    subject_id = stage.check(who=of(name)).subject_id
    assert subject_id is not None
    return subject_id


def merge(stage: Stage, survivor: str, duplicate: str) -> None:
    pair = known(stage, survivor), known(stage, duplicate)
    with stage.act() as session:
        merging.merge(
            session,
            survivor_id=pair[0],
            duplicate_id=pair[1],
            source="test",
            reason="One card.",
            actor=trail.SYSTEM,
            at=NOON + 2 * HOUR,
        )


def publish(stage: Stage, at: datetime, *, effective_at: datetime | None = None) -> None:
    with stage.act() as session:
        content = builders.a_notice(purpose="club", channels=("email", "web"), edition=2)
        builders.a_published_notice(session, purpose="club", content=content, at=at, effective_at=effective_at)


def admit_more(stage: Stage) -> None:
    """Turn on what may stand beside consent, with facts of it."""
    with stage.act() as session:
        changes: dict[str, Any] = {"existing_customer": True, "product_categories": ("skis",)}
        purpose_settings.change(session, key="club", changes=changes, actor=trail.SYSTEM, at=NOON)
        settings = controllers.get(session)
        controllers.change_settings(
            session,
            changed=replace(settings, allows_company_addresses=True),
            actor=trail.SYSTEM,
            at=NOON,
        )
        for name in ("customer", "given", "shared"):
            relations.record(session, reference=refer(of(name)), sale=a_sale(), actor=TILL, at=NOON)
        recipient_kinds.classify(
            session,
            reference=refer("post@firma.example"),
            recipient_kind="company",
            reason="Their web site.",
            actor=trail.SYSTEM,
            at=NOON,
        )


def a_sale() -> Sale:
    return Sale(
        relation="membership",
        sold_at=NOON - DAY,
        product_category="skis",
        received_at_sale=True,
        opt_out_offered=True,
        active_until=NOON + 30 * DAY,
    )


def heard_alone(copy: Standing, question: Question, reference: SubjectReference, direct: DirectConnections) -> Heard:
    """Return what a check about this person alone answers."""
    asked = gathering.ask(copy, question)
    person = gathering.person_of(asked, reference)
    sent = gathering.binary_parameters(asked, person)
    row = gathering.read_row(direct.row(gathering.STATEMENT_DIRECT, gathering.TYPES, sent))
    assert row is not None
    decision = check.answer(asked, None if person is None else row, at=question.at)
    return decision.allowed, decision.status, decision.reason, decision.subject_id, decision.valid_until


def heard(answers: Sequence[Answered]) -> list[Heard]:
    return [
        (
            each.verdict.allowed,
            each.verdict.status,
            each.verdict.reason,
            subject(each.subject),
            each.verdict.valid_until,
        )
        for each in answers
    ]


def subject(found: UUID | None) -> str | None:
    return None if found is None else identifiers.from_uuid(found, "sub")


def plain(references: Sequence[SubjectReference]) -> list[SubjectReference | ContactValue]:
    """Refer to people as a batch does: by the bare address where there is nothing else."""
    return [each.contact if each.contact is not None and each.contact.kind == "email" else each for each in references]


def copy_of(stage: Stage) -> Standing:
    with stage.act() as session:
        return standing.load(session)


def demand_alike(
    copy: Standing, people: Sequence[SubjectReference], question: Question, direct: DirectConnections
) -> set[str]:
    """Return the reasons that were heard, which every road must name alike."""
    expected = [heard_alone(copy, question, person, direct) for person in people]
    asked = gathering.ask(copy, question)
    assert heard(checking_many.answer(asked, plain(people), direct.run)) == expected, question
    assert heard(checking_many.answer(asked, people, direct.run)) == expected, question
    return {each[2] for each in expected}


class TestManyAtOnce:
    @pytest.mark.rule("ACC-01")
    def test_everybody_is_answered_as_if_alone(
        self, stage: Stage, people: list[SubjectReference], direct: DirectConnections
    ) -> None:
        publish(stage, NOON + 7 * HOUR, effective_at=NOON + 10 * HOUR)
        copy = copy_of(stage)

        reasons = set[str]()
        for (purpose, channel), at in itertools.product(QUESTIONS, MOMENTS):
            reasons |= demand_alike(copy, people, Question(purpose, channel, at), direct)

        assert reasons >= {
            *("consent_given", "no_consent", "consent_withdrawn", "consent_refused", "consent_revoked"),
            *("consent_expired", "notice_superseded", "suppressed", "objected", "restricted"),
            *("confirmation_pending", "contact_point_required", "purpose_unknown", "channel_not_offered"),
            "contact_point_not_confirmed",
        }

    def test_also_where_more_than_consent_is_admitted(
        self, stage: Stage, people: list[SubjectReference], direct: DirectConnections
    ) -> None:
        admit_more(stage)
        copy = copy_of(stage)

        reasons = set[str]()
        for (purpose, channel), at in itertools.product((NEWS, CLUB), MOMENTS):
            reasons |= demand_alike(copy, people, Question(purpose, channel, at), direct)

        assert reasons >= {"existing_customer", "not_natural_person", "consent_given", "objected"}

    @pytest.mark.parametrize("known_at", [None, NOON + 90 * MINUTE])
    def test_also_about_the_past(
        self, stage: Stage, people: list[SubjectReference], direct: DirectConnections, known_at: datetime | None
    ) -> None:
        copy = copy_of(stage)

        for at in (NOON + 30 * MINUTE, NOON + 90 * MINUTE, NOON + 5 * HOUR):
            question = Question(*CLUB, at, until=at, known_at=known_at)
            assert "consent_given" in demand_alike(copy, people, question, direct)

    def test_also_where_age_matters(
        self, stage: Stage, people: list[SubjectReference], direct: DirectConnections
    ) -> None:
        with stage.act() as session:
            purpose_settings.change(
                session, key="club", changes={"age_condition": True}, actor=trail.SYSTEM, at=NOON + HOUR
            )
        copy = copy_of(stage)

        reasons = demand_alike(copy, people, Question(*CLUB, NOON + 6 * HOUR), direct)

        assert "age_condition_not_met" in reasons
        assert "consent_given" not in reasons

    def test_whoever_is_named_twice_is_answered_twice(
        self, stage: Stage, form: FormVersion, direct: DirectConnections
    ) -> None:
        stage.give(form, NEWS, email=KARI)

        twice = [refer(KARI), refer(of("unknown")), refer(KARI)]

        demand_alike(copy_of(stage), twice, Question(*NEWS, NOON + HOUR), direct)

    def test_a_reference_that_could_not_be_read_is_a_no_in_its_place(
        self, stage: Stage, form: FormVersion, direct: DirectConnections
    ) -> None:
        stage.give(form, NEWS, email=KARI)
        asked = gathering.ask(copy_of(stage), Question(*NEWS, NOON + HOUR))

        answers = checking_many.answer(asked, [None, contact(KARI), None], direct.run)

        assert [each.verdict.reason for each in answers] == ["invalid_reference", "consent_given", "invalid_reference"]

    @pytest.mark.rule("CAP-08")
    @pytest.mark.parametrize("is_plain", [True, False])
    def test_an_old_copy_of_the_registry_answers_nobody(
        self, stage: Stage, form: FormVersion, direct: DirectConnections, *, is_plain: bool
    ) -> None:
        stage.give(form, CLUB, email=KARI)
        old = gathering.ask(copy_of(stage), Question(*CLUB, NOON + HOUR))

        publish(stage, NOON + HOUR)

        with pytest.raises(CopyIsOldError):
            checking_many.answer(old, [contact(KARI) if is_plain else refer(KARI)], direct.run)

    @pytest.mark.rule("WD-12")
    @pytest.mark.parametrize("planned", ["enable_hashjoin", "enable_mergejoin", "enable_nestloop"])
    def test_a_no_of_whoever_shares_the_address_binds_in_whatever_order_people_are_found(
        self, stage: Stage, form: FormVersion, direct: DirectConnections, planned: str
    ) -> None:
        stage.report(form, YES, who=external("4712", point=of("shared")))
        stage.report(form, YES, who=external("4714", point=of("between")))
        stage.report(form, YES, who=external("4713", point=of("shared")), at=NOON + MINUTE)
        stage.report(form, NO, who=external("4712", point=of("shared")), at=NOON + HOUR)
        for name in {"enable_hashjoin", "enable_mergejoin", "enable_nestloop"} - {planned}:
            direct.run(b"SELECT set_config(%b, 'off', false)", (name,))

        both = [refer(of("shared")), refer(of("between"))]

        reasons = demand_alike(copy_of(stage), both, Question(*CLUB, NOON + 2 * HOUR), direct)

        assert reasons == {"consent_withdrawn", "consent_given"}
