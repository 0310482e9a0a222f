"""How many mails an address gets that somebody asked for in a form, and which addresses want none.

Anybody can type anybody's address into a form, so the address is protected from the forms. Nothing is dropped: who is
over the cap is told when it opens, so that a stranger who uses it up delays a person and does not lock her out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import DateTime, Integer, LargeBinary, Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.admission.models import AdmittedMail, MailRefusal
from consent_service.admission.sweeping import delete_some
from consent_service.db.session import controller_of

MailKind = Literal["confirmation", "preference"]
RefusalKind = Literal["not_me", "hard_bounce"]

#: One mail and one resend for each controller and address; the caps across controllers stand in the database function.
MOST_PER_WINDOW: Final = 2
WINDOW: Final = timedelta(hours=24)
#: How long a refusal holds. A mailbox that bounced may be there again after a while.
REFUSED_FOR: Final[dict[RefusalKind, timedelta]] = {
    "not_me": timedelta(days=90),
    "hard_bounce": timedelta(days=30),
}
#: As far back as any cap looks.
KEPT_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class MailAdmission:
    """Whether a mail may go now, and when to ask again where it may not."""

    admitted: bool
    retry_at: datetime | None


def admit(
    session: Session, *, kind: MailKind, contact_hash: bytes, platform_hash: bytes, message_id: str, at: datetime
) -> MailAdmission:
    """Take a place for this message under the caps of its address (M3AAWG on list bombing).

    `contact_hash` is the address under a key of the controller, `platform_hash` the address and `kind` under a key of
    the platform. Concurrent calls for one address wait for each other. A message keeps its one place however often it
    is tried; the place moves with the last try, so that a mail that was held up is counted when it really goes.
    """
    _wait_for_others(session, kind, contact_hash)
    retry_at = _controller_retry_at(session, kind, contact_hash, message_id, at)
    if retry_at is None:
        retry_at = _platform_retry_at(session, platform_hash, message_id, at)
    if retry_at is not None:
        return MailAdmission(admitted=False, retry_at=retry_at)
    place = insert(AdmittedMail).values(
        controller_id=controller_of(session), id=message_id, kind=kind, address_hash=contact_hash, admitted_at=at
    )
    session.execute(
        place.on_conflict_do_update(
            index_elements=[AdmittedMail.controller_id, AdmittedMail.id],
            set_={"admitted_at": place.excluded.admitted_at},
        )
    )
    return MailAdmission(admitted=True, retry_at=None)


def refuse(session: Session, *, contact_hash: bytes, kind: RefusalKind, at: datetime) -> None:
    """Send no confirmation mail of this controller to the address for a while."""
    refusal = insert(MailRefusal).values(
        controller_id=controller_of(session),
        address_hash=contact_hash,
        kind=kind,
        recorded_at=at,
        until_at=at + REFUSED_FOR[kind],
    )
    session.execute(
        refusal.on_conflict_do_update(
            index_elements=[MailRefusal.controller_id, MailRefusal.address_hash, MailRefusal.kind],
            set_={"recorded_at": refusal.excluded.recorded_at, "until_at": refusal.excluded.until_at},
        )
    )


def lift_refusal(session: Session, *, contact_hash: bytes, kind: RefusalKind) -> None:
    """Take a refusal back, where there is one."""
    session.execute(
        delete(MailRefusal).where(
            MailRefusal.controller_id == controller_of(session),
            MailRefusal.address_hash == contact_hash,
            MailRefusal.kind == kind,
        )
    )


def is_refused(session: Session, *, contact_hash: bytes, at: datetime) -> bool:
    """Say whether the address wants, or takes, no confirmation mail of this controller at `at`."""
    refusal = session.scalar(
        select(MailRefusal.kind)
        .where(
            MailRefusal.controller_id == controller_of(session),
            MailRefusal.address_hash == contact_hash,
            MailRefusal.until_at > at,
        )
        .order_by(MailRefusal.kind)
        .limit(1)
    )
    return refusal is not None


def purge(session: Session, *, at: datetime, limit: int) -> int:
    """Forget up to `limit` mails that no cap looks at any more, and refusals that ended; return how many."""
    mails = delete_some(session, AdmittedMail, AdmittedMail.admitted_at <= at - KEPT_FOR, limit=limit)
    return mails + delete_some(session, MailRefusal, MailRefusal.until_at <= at, limit=limit)


def purge_platform(session: Session, *, at: datetime, limit: int) -> int:
    """Forget up to `limit` mails of the caps across controllers; needs a platform transaction of the worker."""
    purged = func.purge_platform_mails(bindparam("at", at - KEPT_FOR, DateTime(timezone=True)), limit, type_=Integer)
    return session.execute(select(purged)).scalar_one()


def _wait_for_others(session: Session, kind: MailKind, contact_hash: bytes) -> None:
    name = f"{controller_of(session)} {kind} {contact_hash.hex()}"
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def _controller_retry_at(
    session: Session, kind: MailKind, contact_hash: bytes, message_id: str, at: datetime
) -> datetime | None:
    """Return when the window opens: when the mail that filled it leaves it."""
    filled_at = session.scalar(
        select(AdmittedMail.admitted_at)
        .where(
            AdmittedMail.controller_id == controller_of(session),
            AdmittedMail.address_hash == contact_hash,
            AdmittedMail.kind == kind,
            AdmittedMail.id != message_id,
            AdmittedMail.admitted_at > at - WINDOW,
        )
        .order_by(AdmittedMail.admitted_at.desc())
        .offset(MOST_PER_WINDOW - 1)
        .limit(1)
    )
    return None if filled_at is None else filled_at + WINDOW


def _platform_retry_at(session: Session, platform_hash: bytes, message_id: str, at: datetime) -> datetime | None:
    function = func.admit_platform_mail(
        bindparam("mail", identifiers.to_uuid(message_id, "obx"), Uuid),
        bindparam("address", platform_hash, LargeBinary),
        bindparam("at", at, DateTime(timezone=True)),
        type_=DateTime(timezone=True),
    )
    return session.scalar(select(function))
