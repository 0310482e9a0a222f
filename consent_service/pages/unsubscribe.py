"""One click out: the link in every mail of a sender withdraws at once, for a mail client and for a person (RFC 8058).

The POST of RFC 8058 needs no cookie, no page before it and no second act, and is never answered with a redirect.
Opening the link shows a page and changes nothing, for scanners open it too.
"""

from datetime import datetime
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.consent import public_links, unsubscribing
from consent_service.consent.public_links import SenderLink
from consent_service.errors import LinkInvalidError
from consent_service.pages import acts, framing
from consent_service.pages.framing import Frame
from consent_service.registry import controllers, forms, purposes
from consent_service.registry.forms import FormVersion
from consent_service.web import access
from consent_service.web.access import caller
from consent_service.web.problems import ProblemError

blueprint = Blueprint("unsubscribe", __name__)

_FIELD: Final = "List-Unsubscribe"
_ONE_CLICK: Final = "One-Click"


@blueprint.get("/u/<token>")
@caller(access.LINK)
def look(token: str) -> Response:
    """Show what the link would withdraw, and a button; changes nothing (RFC 8058 §3.2)."""
    link = _find_link(token)
    if link is None:
        return _not_ours()
    at = clock.now()
    with web.service().database.transaction(link.controller_id) as session:
        frame = _frame(session, token)
        view = unsubscribing.look(session, link=link, language=frame.language, at=at)
    return framing.show(
        "unsubscribe.html",
        frame,
        address=view.masked,
        subject=view.purpose_title,
        channel=view.channel,
        post_url=f"/u/{token}",
    )


@blueprint.post("/u/<token>")
@caller(access.LINK)
def unsubscribe(token: str) -> Response:
    """Withdraw at once, in both encodings of RFC 8058 §3.1; a body without its pair is no unsubscription (400)."""
    link = _find_link(token)
    if link is None:
        return _not_ours()
    if request.form.get(_FIELD) != _ONE_CLICK:
        raise ProblemError("bad_request")
    at = clock.now()
    # The page adds its language to the pair; a mail client sends the pair alone.
    is_page = "lang" in request.form
    with web.service().database.transaction(link.controller_id) as session:
        frame = _frame(session, token)
        view = unsubscribing.look(session, link=link, language=frame.language, at=at)
        act = acts.of_request(
            act="button_pressed" if is_page else "one_click", at=at, language=frame.language, signals={}
        )
        unsubscribing.unsubscribe(session, link=link, act=act, at=at)
        form = _form_to_return_by(session, link, language=frame.language, at=at)
    return framing.show(
        "unsubscribed.html",
        frame,
        address=view.masked,
        withdrawn_at=at,
        form_url=None if form is None else f"/f/{form.form_id}?lang={frame.language}",
    )


def _find_link(token: str) -> SenderLink | None:
    try:
        return public_links.read_unsubscribe(web.service().database.keyring, token)
    except LinkInvalidError:
        return None


def _frame(session: Session, token: str) -> Frame:
    return framing.in_all_languages(controllers.get(session), lambda code: f"/u/{token}?lang={code}")


def _form_to_return_by(session: Session, link: SenderLink, *, language: str, at: datetime) -> FormVersion | None:
    """Find the form that asks for least of those in which what was withdrawn can be given anew."""
    keys = {purpose.key for purpose in purposes.list_all(session) if link.purpose_id in (None, purpose.id)}
    fitting = [
        form
        for form in forms.list_all(session, at=at)
        if language in form.definition.languages and _offers(form, keys, link.channel)
    ]
    return min(fitting, key=lambda form: len(form.definition.offers), default=None)


def _offers(form: FormVersion, purpose_keys: set[str], channel: str | None) -> bool:
    return any(offer.purpose in purpose_keys and channel in (None, offer.channel) for offer in form.definition.offers)


def _not_ours() -> Response:
    return framing.show("link_failed.html", framing.remembered(), status=404, failure="invalid", form_url=None)
