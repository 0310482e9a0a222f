"""The preference centre: ask for a link by mail, then see and change every choice behind it; no account, no cookie.

A link from a sender's own mail opens a smaller page: it can only stop things and shows no more than a masked address,
for such a mail may have been passed on (WD-13).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.consent import preference_links, preferences, public_links
from consent_service.consent.choices import Key, Pair
from consent_service.consent.preference_links import Visitor
from consent_service.consent.preferences import PreferencesView, SavedChoices
from consent_service.consent.public_links import SecretLink, SenderLink
from consent_service.db.session import keyring_of
from consent_service.errors import ContactPointInvalidError, LinkExpiredError, LinkInvalidError
from consent_service.pages import acts, framing, receipts, snapshots, throttles, whose
from consent_service.pages.framing import Frame
from consent_service.pages.typed import LONGEST_TEXT, Fault
from consent_service.registry import controllers
from consent_service.registry.boxes import ShownBox
from consent_service.subjects import fields
from consent_service.web import access
from consent_service.web.access import caller

blueprint = Blueprint("preferences", __name__)

_WITHDRAW_ALL: Final = "withdraw_all"
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request behind a link: whose link, by which token, in which frame, when."""

    link: SecretLink | SenderLink
    visitor: Visitor
    frame: Frame
    path: str
    at: datetime


@blueprint.get("/p")
@caller(access.PUBLIC)
def show_question() -> Response:
    """Show the page on which a link is asked for."""
    controller_id = whose.named(request.args.get("controller"))
    with web.service().database.transaction(controller_id) as session:
        return _question(_question_frame(session))


@blueprint.post("/p")
@caller(access.PUBLIC)
def ask() -> Response:
    """Queue a mail with a link; the page is the same for every address, known or not."""
    controller_id = whose.named(request.args.get("controller"))
    database, at = web.service().database, clock.now()
    typed = request.form.get("email", "")
    with database.transaction(controller_id) as session:
        frame = _question_frame(session)
    try:
        contact = fields.parse_email(typed)
    except ContactPointInvalidError:
        code = "email_invalid" if typed.strip() else "email_required"
        return _question(frame, value=typed[:LONGEST_TEXT], faults=(("email", code),))
    share = web.service().settings.preference_links_per_ip_per_hour
    throttles.admit(controller_id, request.remote_addr, name="preference-link", limit=share, at=at)
    with database.transaction(controller_id) as session:
        preference_links.ask(session, contact=contact, language=frame.language, at=at)
    return framing.show("preferences_asked.html", frame, address=fields.mask(contact), ask_url=frame.choices_url)


@blueprint.get("/p/<token>")
@caller(access.LINK)
def look(token: str) -> Response:
    """Show the choices behind a link; changes nothing."""
    return _visit(token, is_post=False)


@blueprint.post("/p/<token>")
@caller(access.LINK)
def change(token: str) -> Response:
    """Save what is ticked, or withdraw everything; effective in every check that starts after the answer."""
    return _visit(token, is_post=True)


def _visit(token: str, *, is_post: bool) -> Response:
    database, at = web.service().database, clock.now()
    try:
        link = public_links.read_preferences(database.keyring, token)
    except LinkInvalidError:
        return _failed(framing.remembered(), "invalid")
    with database.transaction(link.controller_id) as session:
        path = f"/p/{token}"
        frame = _frame(session, path)
        try:
            visitor = preference_links.visitor_of(session, link=link, at=at)
        except LinkExpiredError:
            return _failed(frame, "link_expired")
        except LinkInvalidError:
            return _failed(frame, "invalid")
        visit = _Visit(link, visitor, frame, path, at)
        if not visitor.can_give:
            return _stop(session, visit) if is_post else _show_stopping(session, visit)
        return _save(session, visit) if is_post else _show(session, visit)


def _show(
    session: Session, visit: _Visit, *, saved: SavedChoices | None = None, faults: tuple[Fault, ...] = ()
) -> Response:
    view = _view(session, visit)
    titles = {choice.pair: choice.title for choice in view.choices}
    outcomes = () if saved is None else _outcomes(saved, titles)
    return framing.show(
        "preferences.html",
        visit.frame,
        status=422 if faults else 200,
        address=view.masked,
        post_url=visit.path,
        snapshot=_snapshot(session, visit, view),
        choices=tuple(choice for choice in view.choices if choice.box is not None or choice.status != "unknown"),
        saved_at=None if saved is None else saved.saved_at,
        saved=outcomes,
        history=view.history,
        receipts=_receipts(session, visit, view),
        faults=faults,
    )


def _receipts(session: Session, visit: _Visit, view: PreferencesView) -> dict[str, str]:
    given = {row.consent_id for row in view.history if row.kind in {"given", "renewed"}}
    return {consent_id: receipts.path_of(session, consent_id=consent_id, at=visit.at) for consent_id in given}


def _save(session: Session, visit: _Visit) -> Response:
    act = acts.of_request(act="button_pressed", at=visit.at, language=visit.frame.language, signals={})
    if request.form.get("action") == _WITHDRAW_ALL:
        return _show(
            session, visit, saved=preferences.withdraw_all(session, visitor=visit.visitor, act=act, at=visit.at)
        )
    view = _view(session, visit)
    shown = _keys("shown", view)
    wanted = _keys("consent", view)
    given = {choice.key for choice in view.choices if choice.is_given}
    # Whatever is taken back counts in any case. A yes needs the proof that its words stood on the page.
    is_proved = _is_snapshot_of(session, visit, view)
    saved = preferences.save(
        session,
        visitor=visit.visitor,
        wanted=wanted if is_proved else wanted & given,
        shown=shown,
        language=visit.frame.language,
        act=act,
        at=visit.at,
    )
    if not is_proved and wanted & shown - given:
        return _show(session, visit, saved=saved, faults=((None, "snapshot_expired"),))
    return _show(session, visit, saved=saved)


def _show_stopping(session: Session, visit: _Visit, *, saved: SavedChoices | None = None) -> Response:
    view = _view(session, visit)
    controller = visit.frame.controller
    return framing.show(
        "preferences_withdraw_only.html",
        visit.frame,
        address=view.masked,
        post_url=visit.path,
        choices=view.choices,
        saved_at=None if saved is None else saved.saved_at,
        ask_url=None if controller is None else framing.choices_path(controller, visit.frame.language),
    )


def _stop(session: Session, visit: _Visit) -> Response:
    act = acts.of_request(act="button_pressed", at=visit.at, language=visit.frame.language, signals={})
    if request.form.get("action") == _WITHDRAW_ALL:
        saved = preferences.withdraw_all(session, visitor=visit.visitor, act=act, at=visit.at)
        return _show_stopping(session, visit, saved=saved)
    view = _view(session, visit)
    stopped = _keys("stop", view)
    saved = preferences.save(
        session,
        visitor=visit.visitor,
        wanted=frozenset(),
        shown=stopped,
        language=visit.frame.language,
        act=act,
        at=visit.at,
    )
    return _show_stopping(session, visit, saved=saved)


def _view(session: Session, visit: _Visit) -> PreferencesView:
    return preferences.view(session, visitor=visit.visitor, language=visit.frame.language, at=visit.at)


def _keys(name: str, view: PreferencesView) -> frozenset[Key]:
    known = {choice.name: choice.key for choice in view.choices}
    return frozenset(known[value] for value in request.form.getlist(name) if value in known)


def _outcomes(saved: SavedChoices, titles: dict[Pair, str]) -> tuple[tuple[str, str, str], ...]:
    given = [(purpose, channel, "given") for purpose, channel in saved.given]
    withdrawn = [(each.purpose, each.channel, "withdrawn") for each in saved.withdrawn]
    # What ended at several addresses at once is one thing to the person.
    return tuple(
        (titles.get((purpose, channel), purpose), channel, outcome)
        for purpose, channel, outcome in dict.fromkeys(given + withdrawn)
    )


def _snapshot(session: Session, visit: _Visit, view: PreferencesView) -> str:
    boxes = _boxes(view)
    return snapshots.of_boxes(
        keyring_of(session), boxes, bound_to=_bound_to(visit, view), language=visit.frame.language, at=visit.at
    )


def _boxes(view: PreferencesView) -> tuple[ShownBox, ...]:
    """Return what is told on the page, each once, also where a box stands there for several addresses."""
    return tuple({choice.pair: choice.box for choice in view.choices if choice.box is not None}.values())


def _is_snapshot_of(session: Session, visit: _Visit, view: PreferencesView) -> bool:
    boxes = _boxes(view)
    try:
        return snapshots.shows_boxes(
            keyring_of(session),
            request.form.get("snapshot", ""),
            boxes,
            bound_to=_bound_to(visit, view),
            language=visit.frame.language,
            at=visit.at,
        )
    except (LinkInvalidError, LinkExpiredError):
        return False


def _question(frame: Frame, *, value: str = "", faults: tuple[Fault, ...] = ()) -> Response:
    return framing.show(
        "preferences_ask.html",
        frame,
        status=422 if faults else 200,
        post_url=frame.choices_url,
        value=value,
        faults=faults,
    )


def _question_frame(session: Session) -> Frame:
    controller = controllers.get(session)
    return framing.in_all_languages(controller, lambda code: framing.choices_path(controller, code))


def _frame(session: Session, path: str) -> Frame:
    return framing.in_all_languages(controllers.get(session), lambda code: f"{path}?lang={code}")


def _bound_to(visit: _Visit, view: PreferencesView) -> bytes:
    """Return what ties a snapshot to this link and to the boxes that stood ticked.

    A page that was opened before something was withdrawn elsewhere shows its box ticked by us, and that is no act.
    """
    given = sorted(choice.name for choice in view.choices if choice.is_given)
    return hashlib.sha256("\n".join((visit.path, *given)).encode()).digest()


def _failed(frame: Frame, failure: str) -> Response:
    status = 404 if failure == "invalid" else _GONE
    return framing.show("link_failed.html", frame, status=status, failure=failure, form_url=None)
