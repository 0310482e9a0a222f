"""Mails the newest checkpoint of a controller's log to its DPO each day, where the service cannot change it any more.

Who keeps these mails can later show that the log of today grew out of that of then (C2SP tlog-checkpoint). A mail holds
no personal data, no link and no secret, and counts against no cap: nobody's consent is asked for.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from consent_service.accounts import operators
from consent_service.audit import logs
from consent_service.audit.logs import Log, SignedHead
from consent_service.delivery import mail, outbox
from consent_service.delivery.mail import Attachment, OutgoingMail
from consent_service.delivery.messages import Cancelled
from consent_service.errors import ContactPointInvalidError
from consent_service.language import catalogues, rendering
from consent_service.registry import controllers
from consent_service.registry.controllers import Controller
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue

#: The kind of the message, and the folder of its templates.
MESSAGE: Final = "log_checkpoint"
#: From when on, in the controller's zone, the mail of a day leaves; an alarm waits for no morning.
MORNING: Final = time(6, 0)

_WATCHER: Final = "dpo"
# A reference is `<whom>/<day>` with `/refused` after it for an alarm; whom is an operator's id or this.
_CONTACT: Final = "privacy_contact"
_REFUSED: Final = "refused"


def queue_due(session: Session, *, at: datetime, limit: int) -> int:
    """Queue the mails of today, once for each person who watches, and return how many were queued now.

    Nothing is made up for: a day on which nobody worked has no mail, and the next one's checkpoint covers it. An alarm
    about a log that is not signed any more is a mail of its own, once a day as long as it lasts. `limit` is here
    because every sweep has one; a controller has a handful of these mails.
    """
    del limit
    log = logs.find(session)
    if log is None or (log.refused is None and logs.find_checkpoint(session, log) is None):
        return 0
    controller = controllers.get(session)
    here = _local(controller, at)
    if log.refused is None and here.time() < MORNING:
        return 0
    day = here.date().isoformat()
    references = (f"{whom}/{day}" if log.refused is None else f"{whom}/{day}/{_REFUSED}" for whom in _watchers(session))
    return sum(outbox.enqueue_once(session, kind=MESSAGE, reference=each, at=at) for each in references)


@dataclass(frozen=True, slots=True)
class CheckpointMail:
    """The mail with the newest checkpoint, as text and as a file, or with the alarm that the log is not signed."""

    public_url: str

    def prepare(self, session: Session, *, reference: str, message_id: str, at: datetime) -> OutgoingMail | Cancelled:
        """Say what the log is at now; a mail whose day is over is not sent, for the next one says more."""
        whom, day, *_ = reference.split("/")
        controller = controllers.get(session)
        log = logs.find(session)
        if log is None or day != _local(controller, at).date().isoformat():
            return Cancelled("day_is_over")
        head = logs.find_checkpoint(session, log)
        if head is None and log.refused is None:
            return Cancelled("no_checkpoint")
        address = _address_of(session, whom)
        if address is None:
            return Cancelled("nobody_to_tell")
        return self._write(controller, log, head, address, day=day, message_id=message_id)

    def accepted(self, session: Session, *, reference: str, at: datetime) -> None:
        """Leave it at that: the outbox remembers that the mail left."""

    def failed(self, session: Session, *, reference: str, at: datetime, permanent: bool) -> None:
        """Leave it at that: the outbox keeps what became of the mail, and tomorrow there is another one."""

    def _write(
        self, controller: Controller, log: Log, head: SignedHead | None, to: ContactValue, *, day: str, message_id: str
    ) -> OutgoingMail:
        file_name = f"checkpoint-{day}.txt"
        rendered = rendering.render_mail(
            MESSAGE,
            language=catalogues.negotiate("nb" if controller.country == "NO" else "en", catalogues.offered()),
            timezone=controller.timezone,
            controller=controller,
            log=log,
            head=head,
            root=None if head is None else base64.b64encode(head.root).decode("ascii"),
            file_name=file_name,
        )
        return OutgoingMail(
            to=f"{to.value.rpartition('@')[0]}@{to.normal.rpartition('@')[2]}",
            sender_name=controller.display_name,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=mail.message_id_for(message_id, public_url=self.public_url),
            attachments=() if head is None else (Attachment(file_name, head.text.encode()),),
        )


def _local(controller: Controller, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(controller.timezone))


def _watchers(session: Session) -> Iterator[str]:
    """Name who is told: every DPO who is at work, else the controller's contact for privacy if that is an address."""
    watching = [each.id for each in operators.list_all(session) if each.role == _WATCHER and each.disabled_at is None]
    yield from watching
    if not watching and _privacy_contact(session) is not None:
        yield _CONTACT


def _address_of(session: Session, whom: str) -> ContactValue | None:
    if whom not in _watchers(session):
        return None
    if whom == _CONTACT:
        return _privacy_contact(session)
    address = operators.open_address(session, operator_id=whom)
    return None if address is None else fields.parse_email(address)


def _privacy_contact(session: Session) -> ContactValue | None:
    try:
        return fields.parse_email(controllers.get(session).privacy_contact)
    except ContactPointInvalidError:
        return None
