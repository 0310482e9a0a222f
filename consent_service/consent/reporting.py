"""A controller's own system reports an act of the subject: a till, a shop's page, a phone script, paper.

The report is taken as said, with its evidence; where the purpose demands double opt-in it only asks for confirmation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.consent import age, answers, evidence, facts, gathering, ledger, rules, signup_requests, sources
from consent_service.consent.answers import Origin, SignupAnswer
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.gathering import Question
from consent_service.consent.ledger import Act, Kind, Series
from consent_service.consent.sources import Source
from consent_service.errors import (
    ConflictError,
    FieldProblem,
    InvalidInputError,
    ObjectedError,
    RestrictedError,
    SuppressedError,
)
from consent_service.registry import forms, purposes
from consent_service.registry.forms import ShownBox, ShownForm
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, locks, personal_fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundSubject, SubjectReference

METHODS: Final = ("web_form", "app", "point_of_sale", "phone", "paper", "in_person")
ACTS: Final = ("checkbox_ticked", "button_pressed", "statement_signed", "statement_spoken")
CLOCK_TOLERANCE: Final = timedelta(minutes=2)

#: Offline capture needs to say who took it down and where the original is (GDPR Art. 5(2); law.md CAP-23).
_OFFLINE: Final = frozenset({"phone", "paper", "in_person"})
_STOPPED: Final[Mapping[str, type[ConflictError]]] = {
    "restricted": RestrictedError,
    "suppressed": SuppressedError,
    "objected": ObjectedError,
}


@dataclass(frozen=True, slots=True)
class ReportedDecision:
    """One answer to one question. A no needs an act that says no; an empty box says nothing."""

    purpose: str
    channel: str
    granted: bool


@dataclass(frozen=True, slots=True)
class ReportedAct:
    """What a system reports; `import_label` is what it calls the import that brought it, where one did."""

    reference: SubjectReference = field(repr=False)
    additional: tuple[ContactValue, ...] = field(repr=False)
    form_id: str
    form_version: int | None
    language: str
    decisions: tuple[ReportedDecision, ...]
    evidence: ActEvidence = field(repr=False)
    personal_fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    import_label: str | None = None


@dataclass(frozen=True, slots=True)
class CapturedConsent:
    """What became of one answer: `requested`, `given` or `refused`, and how it is confirmed where it still must be."""

    consent_id: str
    purpose: str
    channel: str
    status: str
    confirmation: str | None


@dataclass(frozen=True, slots=True)
class CaptureOutcome:
    """What became of a report."""

    subject_id: str | None
    consents: tuple[CapturedConsent, ...]


@dataclass(frozen=True, slots=True)
class _Answered:
    """One answer with the box that was shown, its purpose, and the contact point that it is about."""

    decision: ReportedDecision
    box: ShownBox
    purpose: Purpose
    contact: ContactValue | None

    @property
    def needs_confirmation(self) -> bool:
        return self.decision.granted and self.purpose.double_opt_in


def record_reported(session: Session, *, report: ReportedAct, actor: Actor, at: datetime) -> CaptureOutcome:
    """Record what a system reports; all of it or nothing.

    Raises InvalidInputError with everything that is wrong, GuardianRequiredError where age matters and is not enough,
    FormUnknownError, and RestrictedError, SuppressedError or ObjectedError where only the person's own confirmed act
    may bring a yes back (WD-04, WD-09).
    """
    act = replace(report.evidence, occurred_at=_demand_past(report.evidence.occurred_at, at))
    shown = _shown(session, report, act.occurred_at)
    # The evidence names the version that was shown, also where the report left that to us.
    report = replace(report, form_version=shown.form_version)
    contacts = tuple(
        each for each in (report.reference.contact, report.reference.contact_point, *report.additional) if each
    )
    locks.lock_addresses(session, contacts)
    found = identity.find_subject(session, report.reference)
    answered = _match(session, report, shown, contacts, found, at)
    waiting = [each for each in answered if each.needs_confirmation]
    settled = [each for each in answered if not each.needs_confirmation]
    subject_id = _subject(session, report, found, is_needed=bool(settled), actor=actor, at=at)
    captured: dict[tuple[str, str], CapturedConsent] = {}
    if settled and subject_id is not None:
        captured |= _settle(session, report, act, settled, subject_id, actor, at)
    if waiting:
        captured |= _request(session, report, act, shown, waiting, subject_id, actor, at)
    return CaptureOutcome(subject_id, tuple(captured[each.purpose, each.channel] for each in report.decisions))


def _demand_past(occurred_at: datetime, at: datetime) -> datetime:
    if occurred_at > at + CLOCK_TOLERANCE:
        raise InvalidInputError(
            (FieldProblem("/evidence/occurred_at", "in_the_future", "The act has not happened yet."),)
        )
    return min(occurred_at, at)


def _shown(session: Session, report: ReportedAct, occurred_at: datetime) -> ShownForm:
    """Say what the person saw: the form's version in force when they acted, or the one that the report names."""
    if report.form_version is None:
        version = forms.current(session, form_id=report.form_id, at=occurred_at)
    else:
        version = forms.get_version(session, form_id=report.form_id, number=report.form_version)
        if version.effective_at > occurred_at:
            detail = "The form did not say this yet when the act happened."
            raise InvalidInputError((FieldProblem("/form_version", "not_in_force", detail),))
    if report.language not in version.definition.languages:
        raise InvalidInputError((FieldProblem("/language", "language_unknown", "The form has no such language."),))
    return forms.shown(session, form=version, language=report.language, at=occurred_at)


def _match(
    session: Session,
    report: ReportedAct,
    shown: ShownForm,
    contacts: tuple[ContactValue, ...],
    found: FoundSubject | None,
    at: datetime,
) -> tuple[_Answered, ...]:
    """Pair each answer with its box and contact point; raises InvalidInputError with everything that does not fit."""
    boxes = {(box.purpose, box.channel): box for box in shown.boxes}
    problems = list(_act_problems(report))
    answered = []
    for place, decision in enumerate(report.decisions):
        pointer = f"/decisions/{place}"
        box = boxes.pop((decision.purpose, decision.channel), None)
        if box is None:
            detail = "The form does not offer this purpose on this channel, or it is answered twice."
            problems.append(FieldProblem(pointer, "not_offered", detail))
            continue
        contact = _contact_for(session, decision.channel, contacts, found)
        if contact is None and fields.point_kind(decision.channel) is not None:
            detail = "Name the contact point that this channel reaches."
            problems.append(FieldProblem(pointer, "contact_point_required", detail))
            continue
        purpose = purposes.get(session, key=decision.purpose)
        if decision.granted and purpose.double_opt_in and decision.channel == "post":
            detail = "No message can confirm a postal address; this purpose demands a confirmation."
            problems.append(FieldProblem(pointer, "not_confirmable", detail))
            continue
        answered.append(_Answered(decision, box, purpose, contact))
    if problems:
        raise InvalidInputError(tuple(problems))
    if any(each.decision.granted and each.purpose.age_condition for each in answered):
        years = age.limit(shown.controller, at=report.evidence.occurred_at)
        age.demand_enough(report.evidence, limit=years, pointer="/evidence/age_at_least")
    for each in answered:
        if not each.needs_confirmation and each.decision.granted:
            _demand_free(session, report, each, at)
    return tuple(answered)


def _act_problems(report: ReportedAct) -> Iterator[FieldProblem]:
    act = report.evidence
    if act.method not in METHODS:
        yield FieldProblem("/evidence/method", "not_a_choice", f"Expected one of: {', '.join(METHODS)}.")
    if act.act not in ACTS:
        yield FieldProblem("/evidence/act", "not_a_choice", f"Expected one of: {', '.join(ACTS)}.")
    if act.method in _OFFLINE:
        for name in ("operator", "reference"):
            if not getattr(act, name):
                detail = "An act away from the screen needs who took it down and where the original is."
                yield FieldProblem(f"/evidence/{name}", "missing", detail)
    if report.import_label is not None and sources.IMPORT_LABEL.fullmatch(report.import_label) is None:
        yield FieldProblem("/import", "import_label_invalid", "A word such as crm-2026-03 is expected here.")
    if not report.decisions:
        yield FieldProblem("/decisions", "missing", "There is no answer here.")
    for place, decision in enumerate(report.decisions):
        if not decision.granted and act.act == "checkbox_ticked":
            yield FieldProblem(f"/decisions/{place}/granted", "empty_box", "An empty box is not a no.")


def _contact_for(
    session: Session, channel: str, contacts: tuple[ContactValue, ...], found: FoundSubject | None
) -> ContactValue | None:
    kind = fields.point_kind(channel)
    named = next((contact for contact in contacts if contact.kind == kind), None)
    if named is not None or found is None or kind is None:
        return named
    own = (point for point in identity.list_points(session, subject_id=found.subject_id) if point.kind == kind)
    known = next((point for point in own if point.verified_at is not None), None)
    return None if known is None else identity.open_point(session, known)


def _demand_free(session: Session, report: ReportedAct, each: _Answered, at: datetime) -> None:
    """Raise where the person said no in a way that only their own confirmed act can lift."""
    reference = replace(report.reference, contact_point=each.contact) if each.contact else report.reference
    if report.reference.contact is not None and each.contact is not None:
        reference = SubjectReference(contact=each.contact)
    question = Question(purpose=each.purpose.key, channel=each.decision.channel, at=at)
    stop = rules.stop_of(gathering.gather(session, question, reference))
    if stop is not None:
        raise _STOPPED[stop]


def _subject(
    session: Session,
    report: ReportedAct,
    found: FoundSubject | None,
    *,
    is_needed: bool,
    actor: Actor,
    at: datetime,
) -> str | None:
    """Return who the report is about; create a person where something is recorded at once or a system names one."""
    if found is not None:
        return found.subject_id
    if report.reference.id is not None:
        raise InvalidInputError((FieldProblem("/subject/id", "subject_unknown", "Nobody has this id."),))
    external = report.reference.external_id
    if not is_needed and external is None:
        return None
    subject_id = identity.create(session, at=at, actor=actor)
    if external is not None:
        identity.attach_external_id(session, subject_id=subject_id, external=external, at=at)
    return subject_id


def _settle(
    session: Session,
    report: ReportedAct,
    act: ActEvidence,
    settled: list[_Answered],
    subject_id: str,
    actor: Actor,
    at: datetime,
) -> dict[tuple[str, str], CapturedConsent]:
    subject_id = locks.lock_subject(session, subject_id)
    personal_fields.record(session, subject_id=subject_id, values=report.personal_fields, at=at)
    return {
        (each.decision.purpose, each.decision.channel): _append(session, report, act, each, subject_id, actor, at)
        for each in settled
    }


def _append(
    session: Session,
    report: ReportedAct,
    act: ActEvidence,
    each: _Answered,
    subject_id: str,
    actor: Actor,
    at: datetime,
) -> CapturedConsent:
    point = None
    if each.contact is not None:
        point = identity.attach_point(session, subject_id=subject_id, contact=each.contact, verified_at=None, at=at)
    owner, point_id = (point.subject_id, point.id) if point else (subject_id, None)
    series = Series(owner, point_id, each.purpose.id, each.decision.channel)
    if not each.decision.granted:
        signup_requests.cancel_for(
            session,
            contacts=[each.contact] if each.contact is not None else [],
            subject_id=subject_id,
            purpose_id=each.purpose.id,
            channel=each.decision.channel,
            at=at,
        )
    granted = each.decision.granted
    # A yes joins the series where it happened, which may be before a newer one.
    moment = act.occurred_at if granted else None
    given = facts.is_given(session, series=series, at=moment or at, until=moment)
    consent_id = ledger.new_consent_id(at)
    noted = replace(act, form_id=report.form_id, form_version=report.form_version, language=report.language)
    kept = evidence.record(
        session, subject_id=owner, consent_id=consent_id, box=each.box, acts={"report": noted}, at=at
    )
    kind: Kind = ("renewed" if given else "given") if granted else ("withdrawn" if given else "refused")
    ledger.append(
        session,
        series=series,
        act=Act(
            kind=kind,
            consent_id=consent_id,
            legal_basis=each.purpose.legal_basis,
            evidence_grade=_grade(act),
            occurred_at=act.occurred_at,
            reason="reported",
            notice_id=each.box.notice_id,
            language=report.language,
            evidence_id=kept.evidence_id,
            evidence_sha256=kept.sha256,
            valid_for_months=each.purpose.valid_for_months if granted else None,
            counts_from_report=granted,
            source=Source(report.form_id, report.form_version, sources.key_of(actor), report.import_label),
            age_at_least=act.age_at_least,
            by_guardian=act.acting == "guardian",
        ),
        actor=actor,
        at=at,
    )
    status = "given" if granted else "refused"
    return CapturedConsent(consent_id, each.decision.purpose, each.decision.channel, status, None)


def _grade(act: ActEvidence) -> str:
    if act.act == "statement_signed":
        return "signed_paper"
    return "single_opt_in" if act.method in {"web_form", "app"} else "witnessed"


def _request(
    session: Session,
    report: ReportedAct,
    act: ActEvidence,
    shown: ShownForm,
    waiting: list[_Answered],
    subject_id: str | None,
    actor: Actor,
    at: datetime,
) -> dict[tuple[str, str], CapturedConsent]:
    contacts = {each.contact.kind: each.contact for each in waiting if each.contact is not None}
    named = (report.reference.contact, report.reference.contact_point, *report.additional)
    for contact in named:
        if contact is not None:
            contacts.setdefault(contact.kind, contact)
    answer = SignupAnswer(
        email=contacts.get("email"),
        phone=contacts.get("phone"),
        ticked=tuple(each.box for each in waiting),
        personal_fields=report.personal_fields,
    )
    _demand_confirmable(answer)
    _, boxes = signup_requests.record(
        session,
        origin=Origin(
            shown.form_id,
            shown.form_version,
            shown.title,
            shown.language,
            subject_id,
            sources.key_of(actor),
            report.import_label,
        ),
        answer=answer,
        submission=act,
        actor=actor,
        at=at,
    )
    return {
        (each.box.purpose, each.box.channel): CapturedConsent(
            each.consent_id, each.box.purpose, each.box.channel, "requested", each.confirmation
        )
        for each in boxes
    }


def _demand_confirmable(answer: SignupAnswer) -> None:
    """Raise where a box can be confirmed through no contact point at all, such as `web` without any address."""
    given = {"email": answer.email, "sms": answer.phone}
    for box in answer.ticked:
        needed = answers.confirmation_of(box.channel, has_email=answer.email is not None)
        if given[needed] is None:
            detail = "Name a contact point through which the person can confirm."
            raise InvalidInputError((FieldProblem("/additional_contact_points", "contact_point_required", detail),))
