"""What people, systems and senders do in tests: each call is one act, in a transaction of its own, at a given time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import capture, check, confirmation, objection, replacement, reporting, withdrawal
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.check import CheckRequest, Decision
from consent_service.consent.confirmation import ConfirmationView, NewLink
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import SignupRequest
from consent_service.consent.objection import RecordedObjection
from consent_service.consent.reporting import CaptureOutcome, ReportedAct, ReportedDecision
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.db.session import Database, controller_of
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import ExternalReference, SubjectReference
from tests import builders
from tests.builders import NOON

KARI: Final = "kari.nordmann@kunde.example"
OLA: Final = "ola.nordmann@kunde.example"
PHONE: Final = "+4740000001"

TILL: Final = Actor("api_key", "key_01KJQ6S000E000000000000000")

_T = TypeVar("_T")
Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A controller with the database it lives in."""

    database: Database
    controller_id: str

    @contextmanager
    def act(self) -> Iterator[Session]:
        """Open the transaction of one act."""
        with self.database.transaction(self.controller_id) as session:
            yield session

    def purpose(self, key: str = "newsletter", **said: Any) -> None:  # noqa: ANN401 - passed on to the builder
        """Publish a purpose."""
        with self.act() as session:
            builders.a_published_purpose(session, key=key, **said)

    def form(self, *offers: tuple[str, str], key: str = "kundeklubb", at: datetime = NOON) -> FormVersion:
        """Create a form that offers these boxes."""
        with self.act() as session:
            return builders.a_form(
                session, key=key, offers=offers, fields=(builders.EMAIL_FIELD, builders.PHONE_FIELD), at=at
            )

    def sign_up(
        self,
        form: FormVersion,
        *ticked: tuple[str, str],
        email: str | None = KARI,
        phone: str | None = None,
        personal_fields: Pairs = (),
        language: str = "nb",
        at: datetime = NOON,
    ) -> str | None:
        """Send a public form with these boxes ticked; return the id of the request where that is a new one."""
        with self.act() as session:
            before = _requests(session)
            shown = forms.shown(session, form=form, language=language, at=at)
            answer = SignupAnswer(
                email=None if email is None else fields.parse_email(email),
                phone=None if phone is None else fields.parse_phone(phone),
                ticked=tuple(box for box in shown.boxes if (box.purpose, box.channel) in ticked),
                personal_fields=tuple(personal_fields),
            )
            submission = an_act("checkbox_ticked", at=at)
            capture.record_signup(session, form=shown, answer=answer, submission=submission, actor=trail.SUBJECT, at=at)
            return next(iter(_requests(session) - before), None)

    def link(self, request_id: str | None, *, at: datetime = NOON) -> NewLink:
        """Make the link that stands in the mail of a request."""
        assert request_id is not None
        with self.act() as session:
            return confirmation.create_link(session, request_id=request_id, at=at)

    def accept_mail(self, request_id: str | None, *, at: datetime = NOON) -> None:
        """Let the mail server accept the mail of a request."""
        assert request_id is not None
        with self.act() as session:
            replacement.mail_accepted(session, request_id=request_id, at=at)

    def look(self, link: NewLink, *, at: datetime = NOON) -> ConfirmationView:
        """Open the page of a link."""
        with self.act() as session:
            return confirmation.look(session, secret=link.secret, at=at)

    def confirm(self, link: NewLink, *, code: str | None = None, at: datetime = NOON) -> ConfirmationView:
        """Press the button on the page of a link, or type a code there."""
        with self.act() as session:
            return confirmation.confirm(
                session, secret=link.secret, code=code, confirmation=an_act("button_pressed", at=at), at=at
            )

    def reject(self, link: NewLink, *, code: str | None = None, at: datetime = NOON) -> ConfirmationView:
        """Say on the page of a link that this was somebody else."""
        with self.act() as session:
            return confirmation.reject(session, secret=link.secret, code=code, at=at)

    def undo_reject(self, link: NewLink, *, at: datetime = NOON) -> ConfirmationView:
        """Take that back."""
        with self.act() as session:
            return confirmation.undo_reject(session, secret=link.secret, at=at)

    def give(
        self, form: FormVersion, *ticked: tuple[str, str], email: str = KARI, at: datetime = NOON
    ) -> ConfirmationView:
        """Send a form and confirm it at once."""
        return self.confirm(self.link(self.sign_up(form, *ticked, email=email, at=at), at=at), at=at)

    def withdraw(
        self,
        who: SubjectReference | str = KARI,
        purpose: str | None = None,
        channel: str | None = None,
        *,
        act: ActEvidence | None = None,
        at: datetime = NOON,
    ) -> WithdrawalOutcome:
        """Withdraw for a purpose and channel, or all."""
        with self.act() as session:
            return withdrawal.withdraw(
                session,
                reference=refer(who),
                scope=Scope(purpose, channel),
                reason="unsubscribe_page",
                act=act,
                actor=trail.SUBJECT,
                at=at,
            )

    def object_to(
        self,
        who: SubjectReference | str = KARI,
        purpose: str | None = None,
        channel: str | None = None,
        *,
        at: datetime = NOON,
    ) -> RecordedObjection:
        """Object to a purpose, a channel, or all direct marketing."""
        with self.act() as session:
            return objection.object_to(
                session,
                reference=refer(who),
                scope=Scope(purpose, channel),
                reason="said_so",
                actor=trail.SUBJECT,
                at=at,
            )

    def report(
        self,
        form: FormVersion,
        *decisions: tuple[str, str, bool],
        who: SubjectReference | str = KARI,
        act: ActEvidence | None = None,
        at: datetime = NOON,
        **said: Any,  # noqa: ANN401 - passed on to ReportedAct
    ) -> CaptureOutcome:
        """Let the till report answers of a person."""
        whole: dict[str, Any] = {"additional": (), "form_version": None, "language": "nb", **said}
        report = ReportedAct(
            reference=refer(who),
            form_id=form.form_id,
            decisions=tuple(ReportedDecision(*decision) for decision in decisions),
            evidence=act or an_act("button_pressed", at=at),
            **whole,
        )
        with self.act() as session:
            return reporting.record_reported(session, report=report, actor=TILL, at=at)

    def check(
        self,
        purpose: str = "newsletter",
        channel: str = "email",
        *,
        who: SubjectReference | str = KARI,
        at: datetime = NOON,
        **asked: Any,  # noqa: ANN401 - passed on to CheckRequest
    ) -> Decision:
        """Ask whether a person may be contacted."""
        request = CheckRequest(reference=refer(who), purpose=purpose, channel=channel, **asked)
        with self.act() as session:
            return check.decide(session, request=request, at=at)

    def requests(self) -> frozenset[str]:
        """Return the ids of all sign-up requests that there are."""
        with self.act() as session:
            return frozenset(_requests(session))


def an_act(act: str = "checkbox_ticked", *, at: datetime = NOON, **said: Any) -> ActEvidence:  # noqa: ANN401
    """Return how somebody acted on a page of the controller."""
    whole: dict[str, Any] = {
        "method": "web_form",
        "page_url": "https://nordlys.example/club",
        "ip": "192.0.2.7",
        "user_agent": "Mozilla/5.0 (test)",
        **said,
    }
    return ActEvidence(act=act, occurred_at=at, **whole)


def contact(text: str) -> ContactValue:
    """Read an address or a number."""
    return fields.parse_email(text) if "@" in text else fields.parse_phone(text)


def refer(who: SubjectReference | str) -> SubjectReference:
    """Refer to a person by an address, a number, or as given."""
    return SubjectReference(contact=contact(who)) if isinstance(who, str) else who


def external(value: str, *, system: str = "till", point: str | None = None) -> SubjectReference:
    """Refer to a person by what a system calls them."""
    return SubjectReference(
        external_id=ExternalReference(system, value), contact_point=None if point is None else contact(point)
    )


@contextmanager
def meanwhile(superuser_url: str, act: Callable[[], _T]) -> Iterator[Future[_T]]:
    """Start an act in another thread and go on once it waits for a lock; it has ended when this block has."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        started = pool.submit(act)
        _await_waiting(superuser_url, started)
        yield started


def together(*acts: Callable[[], _T]) -> list[_T]:
    """Run acts at once, each in a thread with a connection of its own, and return what each returned."""
    with ThreadPoolExecutor(max_workers=len(acts)) as pool:
        return [future.result() for future in [pool.submit(act) for act in acts]]


def _await_waiting(superuser_url: str, started: Future[_T]) -> None:
    """Return when some transaction of the database waits for another, or the act has ended without waiting."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        while not started.done():
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            if row is not None and row[0]:
                return


def _requests(session: Session) -> set[str]:
    return set(session.scalars(select(SignupRequest.id).where(SignupRequest.controller_id == controller_of(session))))
