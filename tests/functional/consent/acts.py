"""What people do in the tests of records and receipts: sign up, confirm, take back; and systems that report it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import capture, confirmation, preferences, reporting, withdrawal
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.confirmation import ConfirmationView
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import LedgerEntry, RequestedConsent, SignupRequest
from consent_service.consent.preference_links import Visitor
from consent_service.consent.reporting import CaptureOutcome, ReportedAct, ReportedDecision
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.db.session import controller_of
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion, ShownForm
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from tests.builders import NOON

EMAIL: Final = "kari.nordmann@example.com"
IP: Final = "192.0.2.44"
USER_AGENT: Final = "Lynx/2.9"
PAGE: Final = "https://nordlys.example/klubb"
MINUTE: Final = timedelta(minutes=1)
SHOP: Final = trail.Actor("api_key", "key_01KJQ6S000E000000000000000")


def shown_form(session: Session, form: FormVersion, *, language: str = "nb", at: datetime = NOON) -> ShownForm:
    return forms.shown(session, form=form, language=language, at=at)


def a_submission(at: datetime = NOON) -> ActEvidence:
    return ActEvidence(
        method="web_form", act="checkbox_ticked", occurred_at=at, page_url=PAGE, ip=IP, user_agent=USER_AGENT
    )


def a_press(at: datetime) -> ActEvidence:
    return ActEvidence(method="email_link", act="button_pressed", occurred_at=at, ip=IP, user_agent=USER_AGENT)


def sign_up(
    session: Session,
    shown: ShownForm,
    *,
    email: str = EMAIL,
    at: datetime = NOON,
    signals: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Send a form with every box ticked, and return the id of its first declaration."""
    answer = SignupAnswer(email=fields.parse_email(email), phone=None, ticked=shown.boxes)
    submission = a_submission(at).with_signals(**signals)
    capture.record_signup(session, form=shown, answer=answer, submission=submission, actor=trail.SUBJECT, at=at)
    request_id = newest_request(session)
    consent_id = session.scalar(
        select(RequestedConsent.consent_id)
        .where(RequestedConsent.controller_id == controller_of(session), RequestedConsent.request_id == request_id)
        .order_by(RequestedConsent.consent_id)
        .limit(1)
    )
    assert consent_id is not None
    return consent_id


def confirm(session: Session, *, at: datetime = NOON + MINUTE) -> ConfirmationView:
    """Press the button of the page that the newest request's mail leads to."""
    link = confirmation.create_link(session, request_id=newest_request(session), at=at - MINUTE / 2)
    return confirmation.confirm(session, secret=link.secret, code=None, confirmation=a_press(at), at=at)


def a_given_consent(session: Session, shown: ShownForm, *, email: str = EMAIL, at: datetime = NOON) -> str:
    """Sign up at a moment, confirm a minute later, and return the declaration."""
    consent_id = sign_up(session, shown, email=email, at=at)
    confirm(session, at=at + MINUTE)
    return consent_id


def take_back(session: Session, *, email: str = EMAIL, at: datetime) -> WithdrawalOutcome:
    """Withdraw everything for an address."""
    return withdrawal.withdraw(
        session,
        reference=SubjectReference(contact=fields.parse_email(email)),
        scope=Scope(None, None),
        reason="preferences",
        act=a_press(at),
        actor=trail.SUBJECT,
        at=at,
    )


def choose(session: Session, shown: ShownForm, *, email: str = EMAIL, at: datetime) -> str:
    """Say yes on the page of choices, opened from a link that was mailed, and return the new declaration."""
    contact = fields.parse_email(email)
    visitor = Visitor(contact=contact, masked=fields.mask(contact), subject_id=None, point=None, can_give=True)
    wanted = frozenset((box.purpose, box.channel) for box in shown.boxes)
    preferences.save(session, visitor=visitor, wanted=wanted, shown=wanted, language="nb", act=a_press(at), at=at)
    consent_id = session.scalar(select(LedgerEntry.consent_id).order_by(LedgerEntry.seq.desc()).limit(1))
    assert consent_id is not None
    return consent_id


def report(
    session: Session,
    form: FormVersion,
    *,
    granted: bool,
    version: int | None = 1,
    page_url: str | None = None,
    email: str = EMAIL,
    at: datetime,
) -> CaptureOutcome:
    """Report what somebody said at the till about the newsletter."""
    return reporting.record_reported(
        session,
        report=ReportedAct(
            reference=SubjectReference(contact=fields.parse_email(email)),
            additional=(),
            form_id=form.form_id,
            form_version=version,
            language="nb",
            decisions=(ReportedDecision("newsletter", "email", granted),),
            evidence=ActEvidence(method="point_of_sale", act="button_pressed", occurred_at=at, page_url=page_url),
        ),
        actor=SHOP,
        at=at,
    )


def newest_request(session: Session) -> str:
    """Return the sign-up request that was recorded last."""
    request_id = session.scalar(
        select(SignupRequest.id)
        .where(SignupRequest.controller_id == controller_of(session))
        .order_by(SignupRequest.created_at.desc())
        .limit(1)
    )
    assert request_id is not None
    return request_id
