"""The page behind the link of the mail: opening it changes nothing, its button confirms (DOI-03, DOI-04).

A press counts where it carries the nonce of a page that was open for two seconds. Anything else is asked for the code
that stands in the mail, for some mail systems open links and press what they find.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.consent import confirmation, public_links
from consent_service.consent.confirmation import ConfirmationView
from consent_service.consent.evidence import ActEvidence
from consent_service.crypto import links as signed
from consent_service.db.session import keyring_of
from consent_service.errors import LinkExpiredError, LinkInvalidError
from consent_service.language import catalogues
from consent_service.pages import acts, framing, receipts
from consent_service.pages.framing import Frame
from consent_service.pages.typed import Fault
from consent_service.registry import controllers
from consent_service.web import access
from consent_service.web.access import caller

blueprint = Blueprint("confirmation", __name__)

_NONCE: Final = "confirm-page"
_NONCE_SECONDS: Final = 24 * 60 * 60
_HUMAN_SECONDS: Final = 2
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class _Link:
    """A link of ours, opened; the token stays in the address and nowhere else."""

    token: str = field(repr=False)
    controller_id: str
    secret: bytes = field(repr=False)


@blueprint.get("/c/<token>")
@caller(access.LINK)
def look(token: str) -> Response:
    """Show what waits for confirmation; changes nothing, whoever fetches it and however often."""
    return _visit(token, _show)


@blueprint.post("/c/<token>")
@caller(access.LINK)
def confirm(token: str) -> Response:
    """Confirm by the page's nonce or by the code of the mail; without either, ask for the code."""
    return _visit(token, _confirm)


@blueprint.get("/c/<token>/reject")
@caller(access.LINK)
def look_at_rejection(token: str) -> Response:
    """Show the button for *this was not me*; changes nothing."""
    return _visit(token, _show_rejection)


@blueprint.post("/c/<token>/reject")
@caller(access.LINK)
def reject(token: str) -> Response:
    """Hear *this was not me*, by the same rule as a confirmation."""
    return _visit(token, _reject)


@blueprint.post("/c/<token>/reject/undo")
@caller(access.LINK)
def undo_rejection(token: str) -> Response:
    """Lift the block that *this was not me* put up."""
    return _visit(token, _undo)


def _visit(token: str, visit: Callable[[Session, _Link, datetime], Response]) -> Response:
    database = web.service().database
    try:
        link = _read(token)
    except LinkInvalidError:
        return _failed(framing.remembered(), "invalid", form_id=None)
    # A wrong code is counted, so this commits whatever page it ends with.
    with database.transaction(link.controller_id) as session:
        return visit(session, link, clock.now())


def _read(token: str) -> _Link:
    opened = public_links.read_confirmation(web.service().database.keyring, token)
    return _Link(token=token, controller_id=opened.controller_id, secret=opened.secret)


def _show(session: Session, link: _Link, at: datetime) -> Response:
    view = confirmation.look(session, secret=link.secret, at=at)
    frame = _frame(session, view)
    if view.state != "waiting":
        return _finished(session, link, view, frame, at=at)
    return framing.show(
        "confirm.html",
        frame,
        address=view.masked,
        boxes=view.boxes,
        form_title=view.form_title,
        asked_at=view.requested_at,
        expires_at=view.link_expires_at,
        confirm_url=f"/c/{link.token}",
        reject_url=f"/c/{link.token}/reject",
        nonce=_nonce(session, link, at),
    )


def _confirm(session: Session, link: _Link, at: datetime) -> Response:
    code = _typed_code()
    if code is None and not _was_pressed_by_a_person(session, link, at):
        return _ask_for_code(session, link, is_rejection=False, at=at)
    act = _evidence(at, is_code=code is not None)
    view = confirmation.confirm(session, secret=link.secret, code=code, confirmation=act, at=at)
    if view.code_wrong and view.state == "waiting":
        return _code_page(_frame(session, view), link, is_rejection=False, faults=(("code", "code_wrong"),))
    return _finished(session, link, view, _frame(session, view), at=at)


def _show_rejection(session: Session, link: _Link, at: datetime) -> Response:
    view = confirmation.look(session, secret=link.secret, at=at)
    frame = _frame(session, view)
    if view.state != "waiting":
        return _finished(session, link, view, frame, at=at)
    return framing.show(
        "reject.html",
        frame,
        address=view.masked,
        form_title=view.form_title,
        asked_at=view.requested_at,
        reject_url=f"/c/{link.token}/reject",
        nonce=_nonce(session, link, at),
    )


def _reject(session: Session, link: _Link, at: datetime) -> Response:
    code = _typed_code()
    if code is None and not _was_pressed_by_a_person(session, link, at):
        return _ask_for_code(session, link, is_rejection=True, at=at)
    view = confirmation.reject(session, secret=link.secret, code=code, at=at)
    if view.code_wrong and view.state == "waiting":
        return _code_page(_frame(session, view), link, is_rejection=True, faults=(("code", "code_wrong"),))
    return _finished(session, link, view, _frame(session, view), at=at)


def _undo(session: Session, link: _Link, at: datetime) -> Response:
    # No code is asked for: the request and its code are gone, and all that this allows is one more mail.
    view = confirmation.undo_reject(session, secret=link.secret, at=at)
    frame = _frame(session, view)
    if view.state != "rejected":
        return _finished(session, link, view, frame, at=at)
    return framing.show(
        "rejected.html", frame, undo_url=None, nonce="", is_undone=True, form_url=_form_url(view.form_id, frame)
    )


def _finished(session: Session, link: _Link, view: ConfirmationView, frame: Frame, *, at: datetime) -> Response:
    """Show the page of a request that does not wait any more, or that never was."""
    if view.state == "confirmed":
        return framing.show(
            "confirmed.html",
            frame,
            address=view.masked,
            boxes=view.boxes,
            confirmed_at=at,
            is_repeated=not view.consent_ids,
            receipts=tuple(
                (box.title, receipts.path_of(session, consent_id=consent_id, at=at))
                for box, consent_id in zip(view.boxes, view.consent_ids, strict=False)
            ),
        )
    if view.state == "rejected":
        nonce = _nonce(session, link, at)
        undo_url = f"/c/{link.token}/reject/undo"
        return framing.show("rejected.html", frame, undo_url=undo_url, nonce=nonce, is_undone=False, form_url=None)
    failures = {"expired": "used_up" if view.code_wrong else "expired", "replaced": "replaced"}
    return _failed(frame, failures.get(view.state, "invalid"), form_id=view.form_id)


def _failed(frame: Frame, failure: str, *, form_id: str | None) -> Response:
    status = 404 if failure == "invalid" else _GONE
    return framing.show("link_failed.html", frame, status=status, failure=failure, form_url=_form_url(form_id, frame))


def _ask_for_code(session: Session, link: _Link, *, is_rejection: bool, at: datetime) -> Response:
    view = confirmation.look(session, secret=link.secret, at=at)
    frame = _frame(session, view)
    if view.state != "waiting":
        return _finished(session, link, view, frame, at=at)
    return _code_page(frame, link, is_rejection=is_rejection, faults=())


def _code_page(frame: Frame, link: _Link, *, is_rejection: bool, faults: tuple[Fault, ...]) -> Response:
    post_url = f"/c/{link.token}/reject" if is_rejection else f"/c/{link.token}"
    return framing.show(
        "confirm_code.html",
        frame,
        status=422 if faults else 200,
        post_url=post_url,
        is_rejection=is_rejection,
        faults=faults,
    )


def _nonce(session: Session, link: _Link, at: datetime) -> str:
    return signed.sign_timed(keyring_of(session), purpose=_NONCE, payload=signed.secret_hash(link.secret), at=at)


def _was_pressed_by_a_person(session: Session, link: _Link, at: datetime) -> bool:
    try:
        nonce = signed.read_timed(
            keyring_of(session),
            purpose=_NONCE,
            token=request.form.get("nonce", ""),
            at=at,
            max_age_seconds=_NONCE_SECONDS,
        )
    except (LinkInvalidError, LinkExpiredError):
        return False
    is_of_this_link = nonce.payload == signed.secret_hash(link.secret)
    return is_of_this_link and (at - nonce.signed_at).total_seconds() >= _HUMAN_SECONDS


def _typed_code() -> str | None:
    typed = "".join(request.form.get("code", "").split())
    return typed or None


def _evidence(at: datetime, *, is_code: bool) -> ActEvidence:
    return acts.of_request(act="button_pressed", at=at, signals={"code_typed": is_code})


def _frame(session: Session, view: ConfirmationView) -> Frame:
    # The page speaks the language in which the form was read, so that its statements stand as they were shown.
    language = view.language if view.language in catalogues.offered() else framing.wished_language()
    return framing.remember(Frame(controller=controllers.get(session), language=language))


def _form_url(form_id: str | None, frame: Frame) -> str | None:
    return None if form_id is None else f"/f/{form_id}?lang={frame.language}"
