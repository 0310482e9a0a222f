"""Builders of what tests begin with; each call says only what matters to the test.

Those that take a Database open a transaction of their own; the others write in the caller's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.consent import capture, check, confirmation
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.check import CheckRequest, Decision
from consent_service.consent.confirmation import ConfirmationView
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import SignupRequest
from consent_service.crypto.api_secrets import Environment
from consent_service.db.session import Database, controller_of
from consent_service.registry import controllers, forms, notices, purposes
from consent_service.registry.form_definition import FieldDefinition, FieldKind, FormDefinition, Offer
from consent_service.registry.forms import FormVersion
from consent_service.registry.notice_content import ChannelText, NoticeContent, NoticeText
from consent_service.registry.notices import NoticeVersion
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference

#: The moment at which tests happen, unless they say otherwise: a Monday in winter time, before any clock they run on.
NOON: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

LANGUAGES: Final = ("nb", "nn", "en")

#: People of the tests; nobody can have such an address or number.
KARI: Final = "kari.nordmann@kunde.example"
OLA: Final = "ola.nordmann@kunde.example"
KARIS_PHONE: Final = "+4740000001"

EMAIL_FIELD: Final = ("email", "email", True)
PHONE_FIELD: Final = ("phone", "phone", False)
NAME_FIELD: Final = ("name", "text", False)

_STATEMENTS: Final = {
    "nb": "Ja, jeg vil ha {purpose} på {channel} fra {controller}.",
    "nn": "Ja, eg vil ha {purpose} på {channel} frå {controller}.",
    "en": "Yes, I want {purpose} by {channel} from {controller}.",
}


def a_controller(database: Database, *, key: str = "nordlys", at: datetime = NOON) -> str:
    """Create a controller with its keys and return its id."""
    with database.transaction(controllers.new_controller_id(at)) as session:
        created = controllers.create(
            session,
            key=key,
            legal_name=f"{key.capitalize()} AS",
            display_name=key.capitalize(),
            organisation_number="999 999 999",
            postal_address="Storgata 1, 0001 Oslo",
            privacy_contact=f"personvern@{key}.example",
            actor=trail.SYSTEM,
            at=at,
        )
    return created.controller_id


def make_noise(database: Database) -> str:
    """Create the controller whose rows must never show up in a test that does not ask for them."""
    controller_id = a_controller(database, key="noise")
    with database.transaction(controller_id) as session:
        a_given_consent(session)
        an_api_key(session)
    return controller_id


def a_notice(
    *,
    purpose: str = "newsletter",
    channels: Iterable[str] = ("email",),
    languages: Iterable[str] = LANGUAGES,
    recipients: Iterable[str] = (),
    edition: int = 1,
) -> NoticeContent:
    """Return what a person is told about a purpose; `edition` makes one version's words differ from another's."""
    asked = tuple(channels)
    return NoticeContent(
        channels=asked,
        data_categories=("pd:EmailAddress",),
        recipients=tuple(recipients),
        languages={language: _text(purpose, asked, language, edition) for language in languages},
    )


def a_published_purpose(
    session: Session,
    *,
    key: str = "newsletter",
    channels: Iterable[str] = ("email",),
    double_opt_in: bool = True,
    languages: Iterable[str] = LANGUAGES,
    legal_basis: str = "consent",
    special_category: bool = False,
    valid_for_months: int | None = None,
    recipients: Iterable[str] = (),
    age_condition: bool = False,
    at: datetime = NOON,
) -> NoticeVersion:
    """Create a purpose with its first notice version, in force from `at`."""
    purposes.create(
        session,
        key=key,
        legal_basis=legal_basis,
        double_opt_in=double_opt_in,
        special_category=special_category,
        valid_for_months=valid_for_months,
        age_condition=age_condition,
        actor=trail.SYSTEM,
        at=at,
    )
    content = a_notice(purpose=key, channels=channels, languages=languages, recipients=recipients)
    return a_published_notice(session, purpose=key, content=content, at=at)


def a_published_notice(
    session: Session,
    *,
    purpose: str = "newsletter",
    content: NoticeContent,
    material: bool = True,
    reason: str = "",
    effective_at: datetime | None = None,
    at: datetime = NOON,
) -> NoticeVersion:
    """Draft and publish a further notice version of a purpose."""
    drafted = notices.draft(session, purpose_key=purpose, content=content, actor=trail.SYSTEM, at=at)
    return notices.publish(
        session,
        purpose_key=purpose,
        number=drafted.number,
        material=material,
        reason=reason,
        effective_at=effective_at,
        actor=trail.SYSTEM,
        at=at,
    )


def a_form(
    session: Session,
    *,
    key: str = "kundeklubb",
    offers: Iterable[tuple[str, str]] = (("newsletter", "email"),),
    fields: Iterable[tuple[str, str, bool]] = (EMAIL_FIELD,),
    languages: Iterable[str] = LANGUAGES,
    origins: Iterable[str] = (),
    return_urls: Iterable[str] = (),
    at: datetime = NOON,
) -> FormVersion:
    """Create a form that offers (purpose, channel) boxes and asks for (name, kind, required) fields."""
    spoken = tuple(languages)
    definition = FormDefinition(
        languages=spoken,
        titles=_in_all(spoken, "Kundeklubb"),
        intros=_in_all(spoken, "Velg hva du vil ha."),
        submit_labels=_in_all(spoken, "Send"),
        offers=tuple(Offer(purpose, channel) for purpose, channel in offers),
        fields=tuple(_field(name, kind, required=required, languages=spoken) for name, kind, required in fields),
        origins=tuple(origins),
        return_urls=tuple(return_urls),
    )
    return forms.create(session, key=key, definition=definition, actor=trail.SYSTEM, at=at)


def an_api_key(
    session: Session,
    *,
    scopes: Iterable[str] = api_keys.SCOPES,
    purposes: Iterable[str] | None = None,
    system: str = "crm",
    environment: Environment = "live",
    at: datetime = NOON,
) -> str:
    """Create an API key and return its text, as it stands in the Authorization header."""
    created = api_keys.create(
        session,
        name=f"key of {system}",
        system=system,
        scopes=scopes,
        purposes=purposes,
        environment=environment,
        actor=trail.SYSTEM,
        at=at,
    )
    return created.text


def a_signup(
    session: Session,
    form: FormVersion,
    *,
    email: str | None = KARI,
    phone: str | None = None,
    ticked: Iterable[tuple[str, str]] | None = None,
    personal_fields: Iterable[tuple[str, str]] = (),
    language: str = "nb",
    at: datetime = NOON,
) -> str | None:
    """Send a public form with these boxes ticked, or all of them; return the id of the request that waits."""
    shown = forms.shown(session, form=form, language=language, at=at)
    wanted = None if ticked is None else set(ticked)
    capture.record_signup(
        session,
        form=shown,
        answer=SignupAnswer(
            email=None if email is None else fields.parse_email(email),
            phone=None if phone is None else fields.parse_phone(phone),
            ticked=tuple(box for box in shown.boxes if wanted is None or (box.purpose, box.channel) in wanted),
            personal_fields=tuple(personal_fields),
        ),
        submission=an_act(at=at),
        actor=trail.SUBJECT,
        at=at,
    )
    return session.scalar(
        select(SignupRequest.id)
        .where(SignupRequest.controller_id == controller_of(session), SignupRequest.sealed.is_not(None))
        .order_by(SignupRequest.created_at.desc(), SignupRequest.id)
        .limit(1)
    )


def a_given_consent(
    session: Session,
    *,
    email: str = KARI,
    purpose: str = "newsletter",
    personal_fields: Iterable[tuple[str, str]] = (),
    at: datetime = NOON,
) -> ConfirmationView:
    """Let a person ask for a purpose by e-mail and confirm it; purpose and form are made where they are missing."""
    known = {found.key for found in purposes.list_all(session)}
    if purpose not in known:
        a_published_purpose(session, key=purpose, at=at)
    form_id = forms.find_id(session, key=f"{purpose}_alone")
    form = (
        a_form(session, key=f"{purpose}_alone", offers=((purpose, "email"),), at=at)
        if form_id is None
        else forms.current(session, form_id=form_id, at=at)
    )
    request_id = a_signup(session, form, email=email, personal_fields=personal_fields, at=at)
    assert request_id is not None
    link = confirmation.create_link(session, request_id=request_id, at=at)
    return confirmation.confirm(session, secret=link.secret, code=None, confirmation=an_act(at=at), at=at)


def an_act(*, at: datetime = NOON) -> ActEvidence:
    """Return how somebody ticked a box on a page of the service."""
    return ActEvidence(
        method="web_form",
        act="checkbox_ticked",
        occurred_at=at,
        page_url="https://shop.example/club",
        ip="192.0.2.7",
        user_agent="Mozilla/5.0 (test)",
    )


def a_check(
    session: Session,
    *,
    email: str = KARI,
    phone: str | None = None,
    purpose: str = "newsletter",
    channel: str = "email",
    as_of: datetime | None = None,
    at: datetime = NOON,
) -> Decision:
    """Ask whether the person with this address or number may be contacted."""
    contact = fields.parse_email(email) if phone is None else fields.parse_phone(phone)
    reference = SubjectReference(contact=contact)
    request = CheckRequest(reference=reference, purpose=purpose, channel=channel, as_of=as_of)
    return check.decide(session, request=request, at=at)


def _text(purpose: str, channels: tuple[str, ...], language: str, edition: int) -> NoticeText:
    return NoticeText(
        title=f"{purpose} ({language})",
        purpose_text=f"Why we ask about {purpose}, edition {edition} ({language}).",
        data_categories=(f"e-mail address ({language})",),
        product_types_text=f"sports gear ({language})",
        recipients_text=f"Who gets your data ({language}).",
        withdrawal_text=f"You can withdraw at any time ({language}).",
        privacy_notice_url=f"https://nordlys.example/{language}/privacy",
        channels={channel: _channel_text(purpose, channel, language) for channel in channels},
    )


def _channel_text(purpose: str, channel: str, language: str) -> ChannelText:
    return ChannelText(
        statement=_STATEMENTS[language].format(purpose=purpose, channel=channel, controller="Nordlys AS"),
        frequency_text=f"twice a month ({language})",
        short_text=f"{channel} ({language})",
    )


def _field(name: str, kind: str, *, required: bool, languages: tuple[str, ...]) -> FieldDefinition:
    return FieldDefinition(
        name=name,
        kind=cast("FieldKind", kind),
        required=required,
        labels=_in_all(languages, name.capitalize()),
        why=_in_all(languages, f"Why {name}"),
    )


def _in_all(languages: tuple[str, ...], words: str) -> dict[str, str]:
    return {language: f"{words} ({language})" for language in languages}
