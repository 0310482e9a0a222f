"""Takes a sign-up form that was sent, by a page or by the embed element, and says what is wrong with it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flask import request
from sqlalchemy.orm import Session

from consent_service import web
from consent_service.audit import trail
from consent_service.consent import age, capture
from consent_service.consent.answers import SignupAnswer
from consent_service.consent.evidence import ActEvidence
from consent_service.db.session import keyring_of
from consent_service.errors import LinkExpiredError, LinkInvalidError
from consent_service.pages import snapshots, throttles, typed
from consent_service.pages.snapshots import FormSnapshot
from consent_service.pages.typed import Fault, Submission
from consent_service.registry import boxes, forms
from consent_service.registry.boxes import ShownBox
from consent_service.registry.forms import ShownForm
from consent_service.web import evidence

# Nobody reads a form in less.
_HUMAN_SECONDS: Final = 2
_LONGEST_URL: Final = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a form says: `shown` as it stood there, the answer where something was ticked, or what is wrong."""

    shown: ShownForm | None
    answer: SignupAnswer | None = field(repr=False)
    faults: tuple[Fault, ...]
    seconds_open: float = 0.0


def take(controller_id: str, form_id: str, sent: Submission, *, page_url: str, at: datetime) -> Outcome:
    """Record a sign-up that waits for its confirmation, where something was ticked and nothing is wrong.

    Demands the signed snapshot of what was shown. Does the same for known and unknown addresses, and stores nothing
    where no box is ticked. Raises InvalidInputError for what no form of ours sends, and ProblemError with 429.
    """
    database = web.service().database
    with database.transaction(controller_id) as session:
        outcome = _read(session, form_id, sent, at=at)
    if outcome.shown is None or outcome.answer is None:
        return outcome
    # How long a page was open depends on more than the input, so it changes what the next try costs, not the answer.
    is_hasty = sent.has_trap_filled or outcome.seconds_open < _HUMAN_SECONDS
    throttles.admit(controller_id, request.remote_addr, name="signup", is_hasty=is_hasty, at=at)
    act = _evidence(outcome, outcome.shown, sent, page_url=page_url, at=at)
    with database.transaction(controller_id) as session:
        capture.record_signup(
            session, form=outcome.shown, answer=outcome.answer, submission=act, actor=trail.SUBJECT, at=at
        )
    return outcome


def page_url(named: str | None, *, origin: str | None, form_id: str) -> str:
    """Return the address of the page on which the form stood, as evidence; never with a query, which may name people.

    What a foreign page says of itself counts only where it lies on the origin that the browser vouches for.
    """
    if origin is None:
        return f"{web.service().settings.public_url}/f/{form_id}"
    if named is None or len(named) > _LONGEST_URL or not f"{named}/".startswith(f"{origin}/"):
        return origin
    return named.partition("?")[0].partition("#")[0]


def _read(session: Session, form_id: str, sent: Submission, *, at: datetime) -> Outcome:
    try:
        snapshot = snapshots.read_form(keyring_of(session), sent.snapshot, form_id=form_id, at=at)
    except LinkExpiredError:
        return _refusal("snapshot_expired")
    except LinkInvalidError:
        return _refusal("snapshot_invalid")
    shown = _shown_then(session, snapshot)
    if snapshots.digest(shown) != snapshot.digest:
        return _refusal("snapshot_invalid")
    typed.demand_known(shown, sent)
    ticked = typed.ticked_boxes(shown, sent)
    if not ticked:
        return Outcome(shown, None, ())
    if age.ask_in(shown, at=at) != shown or not _still_asked(session, ticked, language=shown.language, at=at):
        return _refusal("snapshot_expired")
    answer, faults = typed.read_answer(shown, sent, ticked)
    seconds_open = (at - snapshot.shown_at).total_seconds()
    return Outcome(shown, None if faults else answer, faults, seconds_open)


def _refusal(code: str) -> Outcome:
    return Outcome(None, None, ((None, code),))


def _shown_then(session: Session, snapshot: FormSnapshot) -> ShownForm:
    version = forms.get_version(session, form_id=snapshot.form_id, number=snapshot.version)
    return age.ask_in(
        forms.shown_online(session, form=version, language=snapshot.language, at=snapshot.shown_at),
        at=snapshot.shown_at,
    )


def _still_asked(session: Session, ticked: tuple[ShownBox, ...], *, language: str, at: datetime) -> bool:
    # A page that stood open while a notice changed shows texts that bind nobody any more.
    offers = [forms.Offer(box.purpose, box.channel) for box in ticked]
    now = boxes.in_force(session, offers=offers, language=language, at=at)
    return [box.notice_id for box in now] == [box.notice_id for box in ticked]


def _evidence(outcome: Outcome, shown: ShownForm, sent: Submission, *, page_url: str, at: datetime) -> ActEvidence:
    trace = evidence.from_request(request)
    return ActEvidence(
        method="web_form",
        act="checkbox_ticked",
        occurred_at=at,
        page_url=page_url,
        ip=trace.ip,
        user_agent=trace.user_agent,
        rendered_by="service",
        form_id=shown.form_id,
        form_version=shown.form_version,
        language=shown.language,
        age_at_least=shown.age_limit if sent.age else None,
        signals={"seconds_open": round(outcome.seconds_open, 1), "trap_filled": sent.has_trap_filled},
    )
