"""What the mails and SMS of this room say, and whether they may still be sent: handed to the worker by the composer.

A mail holds nothing that was typed into a form (DOI-10), no image and no host but our own (DOI-12).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from consent_service.admission import mail_caps
from consent_service.admission.mail_caps import MailAdmission, MailKind
from consent_service.consent import (
    confirmation,
    preference_links,
    public_links,
    replacement,
    signup_requests,
    sms_codes,
)
from consent_service.consent.answers import WaitingRequest
from consent_service.delivery import mail
from consent_service.delivery.mail import OutgoingMail
from consent_service.delivery.messages import Cancelled, Deferred, MessageHandler
from consent_service.delivery.sms import OutgoingSms
from consent_service.language import catalogues, rendering
from consent_service.language.rendering import RenderedMail
from consent_service.registry import controllers
from consent_service.registry.controllers import Controller
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys


def handlers(*, public_url: str) -> dict[str, MessageHandler]:
    """Return who prepares which kind of message; `public_url` begins every link and has no slash at its end."""
    return {
        signup_requests.CONFIRM_MESSAGE: ConfirmSignup(public_url),
        signup_requests.SMS_MESSAGE: ConfirmPhone(),
        preference_links.MESSAGE: PreferenceLink(public_url),
    }


@dataclass(frozen=True, slots=True)
class ConfirmSignup:
    """The mail that asks a person to confirm what was asked for under their address; the reference is the request's id.

    Neither an objection nor a suppression stops it, for it follows a form act and only its confirmation lifts them.
    What stops it is *not me* and a mailbox that does not exist.
    """

    public_url: str

    def prepare(
        self, session: Session, *, reference: str, message_id: str, at: datetime
    ) -> OutgoingMail | Cancelled | Deferred:
        """Make the link and say the text; every preparation makes a link of its own, and all of them work."""
        request = signup_requests.find_waiting(session, request_id=reference, at=at)
        if request is None or request.answer.email is None or not _statements(request):
            return Cancelled("nothing_to_confirm")
        email = request.answer.email
        if mail_caps.is_refused(session, contact_hash=_contact_hash(session, email), at=at):
            return Cancelled("address_refuses")
        admission = _admit(session, "confirmation", email, message_id=message_id, at=at)
        if admission.retry_at is not None:
            # A person who has a mail already is not sent another one a day later; one who has none still gets theirs.
            return Cancelled("mailed_already") if request.mail_accepted_at else Deferred(admission.retry_at)
        link = confirmation.create_link(session, request_id=reference, at=at)
        confirm_url = public_links.confirmation_url(session, secret=link.secret, public_url=self.public_url)
        controller = controllers.get(session)
        rendered = _render(
            signup_requests.CONFIRM_MESSAGE,
            controller,
            request.origin.language,
            form_title=request.origin.form_title,
            asked_at=request.requested_at,
            expires_at=link.expires_at,
            statements=_statements(request),
            code=link.code,
            confirm_url=confirm_url,
            reject_url=f"{confirm_url}/reject",
            privacy_url=self._privacy_url(request) or confirm_url,
        )
        return _mail(rendered, email, controller, message_id=message_id, public_url=self.public_url)

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        """Let the request take the place of older ones that it covers."""
        replacement.mail_accepted(session, request_id=reference, at=at)

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        """Remember an address that takes no mail."""
        request = signup_requests.find_waiting(session, request_id=reference, at=at) if permanent else None
        if request is not None and request.answer.email is not None:
            contact_hash = _contact_hash(session, request.answer.email)
            mail_caps.refuse(session, contact_hash=contact_hash, kind="hard_bounce", at=at)

    def _privacy_url(self, request: WaitingRequest) -> str | None:
        """Return the form itself, which tells everything of GDPR Art. 13 at its boxes; None where no form was used."""
        if request.origin.form_id is None:
            return None
        return f"{self.public_url}/f/{request.origin.form_id}?lang={request.origin.language}"


@dataclass(frozen=True, slots=True)
class ConfirmPhone:
    """The SMS with the code for what hangs on a phone number; the reference is the request's id.

    It has the caps of a confirmation mail, counted for the number, and the same things stop it.
    """

    def prepare(self, session: Session, *, reference: str, message_id: str, at: datetime) -> OutgoingSms | Cancelled:
        """Make the code and say the text; the code of an earlier preparation ends."""
        request = signup_requests.find_waiting(session, request_id=reference, at=at)
        if request is None or request.answer.phone is None:
            return Cancelled("nothing_to_confirm")
        if not any(each.confirmation == "sms" for each in request.boxes):
            return Cancelled("nothing_to_confirm")
        phone = request.answer.phone
        if mail_caps.is_refused(session, contact_hash=_contact_hash(session, phone), at=at):
            return Cancelled("address_refuses")
        admission = _admit(session, "confirmation", phone, message_id=message_id, at=at)
        if admission.retry_at is not None:
            # A code is for somebody who waits for it now; once the cap has opened they can ask for a new one.
            return Cancelled("capped")
        code = sms_codes.create_code(session, request_id=reference, phone=phone, at=at)
        controller = controllers.get(session)
        text = rendering.render(
            f"sms/{signup_requests.SMS_MESSAGE}.txt",
            language=catalogues.negotiate(request.origin.language, catalogues.offered()),
            timezone=controller.timezone,
            controller=controller,
            code=code,
            minutes=sms_codes.LIFETIME // timedelta(minutes=1),
        )
        return OutgoingSms(to=phone.normal, text=text.strip(), message_id=message_id)

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        """Remember that a code is with the person."""
        sms_codes.sms_accepted(session, request_id=reference, at=at)

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        """Leave the request as it is: the person can ask for a new code until it expires."""


@dataclass(frozen=True, slots=True)
class PreferenceLink:
    """The mail with a link to the preference centre; the reference is the id of the request for it.

    It has caps of its own, so that a flood of forms does not keep anybody from withdrawing, and no refusal stops it.
    """

    public_url: str

    def prepare(
        self, session: Session, *, reference: str, message_id: str, at: datetime
    ) -> OutgoingMail | Cancelled | Deferred:
        """Make the link and say the text; the link of an earlier preparation ends."""
        asked = preference_links.find_asked(session, request_id=reference, at=at)
        if asked is None:
            return Cancelled("request_expired")
        admission = _admit(session, "preference", asked.contact, message_id=message_id, at=at)
        if admission.retry_at is not None:
            return Deferred(admission.retry_at)
        secret = preference_links.create_link(session, request_id=reference, at=at)
        controller = controllers.get(session)
        rendered = _render(
            preference_links.MESSAGE,
            controller,
            asked.language,
            asked_at=asked.asked_at,
            expires_at=at + preference_links.LINK_LIFETIME,
            preferences_url=public_links.preferences_url(session, secret=secret, public_url=self.public_url),
        )
        return _mail(rendered, asked.contact, controller, message_id=message_id, public_url=self.public_url)

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        """Take note that the mailbox is there, whatever an earlier bounce said."""
        asked = preference_links.find_asked(session, request_id=reference, at=at)
        if asked is not None:
            contact_hash = _contact_hash(session, asked.contact)
            mail_caps.lift_refusal(session, contact_hash=contact_hash, kind="hard_bounce")

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        """Remember an address that takes no mail."""
        asked = preference_links.find_asked(session, request_id=reference, at=at) if permanent else None
        if asked is not None:
            contact_hash = _contact_hash(session, asked.contact)
            mail_caps.refuse(session, contact_hash=contact_hash, kind="hard_bounce", at=at)


def _statements(request: WaitingRequest) -> list[str]:
    """Return in full what the link of this mail confirms; what hangs on a phone number has a code of its own."""
    return [each.box.statement for each in request.boxes if each.confirmation == "email"]


def _contact_hash(session: Session, contact: ContactValue) -> bytes:
    return keys.index(session, kind=contact.kind, value=contact.normal)


def _admit(session: Session, kind: MailKind, contact: ContactValue, *, message_id: str, at: datetime) -> MailAdmission:
    return mail_caps.admit(
        session,
        kind=kind,
        contact_hash=_contact_hash(session, contact),
        platform_hash=keys.platform_hash(session, purpose=f"{kind} mail", value=contact.normal.encode()),
        message_id=message_id,
        at=at,
    )


def _render(message: str, controller: Controller, language: str, **context: object) -> RenderedMail:
    spoken = catalogues.negotiate(language, catalogues.offered())
    return rendering.render_mail(
        message, language=spoken, timezone=controller.timezone, controller=controller, **context
    )


def _mail(
    rendered: RenderedMail, email: ContactValue, controller: Controller, *, message_id: str, public_url: str
) -> OutgoingMail:
    # Written as the person wrote it before the @, for there a server may tell capitals apart (RFC 5321 §2.4).
    local_part, domain = email.value.rpartition("@")[0], email.normal.rpartition("@")[2]
    return OutgoingMail(
        to=f"{local_part}@{domain}",
        sender_name=controller.display_name,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=mail.message_id_for(message_id, public_url=public_url),
    )
