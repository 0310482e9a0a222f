"""The hosted sign-up form: works without JavaScript, and never ticks a box for anybody (GDPR Art. 4(11))."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.consent import age, answers
from consent_service.consent.answers import SignupAnswer
from consent_service.db.session import keyring_of
from consent_service.errors import InvalidInputError
from consent_service.language import catalogues
from consent_service.pages import framing, same_visit, snapshots, submission, typed, whose
from consent_service.pages.framing import Frame
from consent_service.pages.typed import Fault, Submission
from consent_service.registry import controllers, forms
from consent_service.registry.controllers import Controller
from consent_service.registry.forms import FormVersion, ShownForm
from consent_service.subjects import fields
from consent_service.web import access
from consent_service.web.access import caller

blueprint = Blueprint("signup", __name__)

_AUTOCOMPLETE: Final[Mapping[str, str]] = MappingProxyType({"email": "email", "phone": "tel", "field_name": "name"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field as the template draws it."""

    name: str
    kind: str
    label: str
    why: str
    is_required: bool
    autocomplete: str | None
    value: str = ""


@blueprint.get("/f/<form_key>")
@caller(access.PUBLIC)
def show_form(form_key: str) -> Response:
    """Show a form as it reads now, every box empty."""
    controller_id, form_id = whose.form(form_key)
    at = snapshots.moment(clock.now())
    with web.service().database.transaction(controller_id) as session:
        version = forms.current(session, form_id=form_id, at=at)
        named = request.args.get("lang")
        if named is not None and named not in languages_of(version):
            return _no_such_language(version)
        return _draw(session, version, at=at)


@blueprint.post("/f/<form_key>")
@caller(access.PUBLIC)
def receive_form(form_key: str) -> Response:
    """Take a form and say what happens now; the page depends on form, language and input alone."""
    controller_id, form_id = whose.form(form_key)
    at = clock.now()
    with web.service().database.transaction(controller_id) as session:
        version = forms.current(session, form_id=form_id, at=at)
        frame = _frame(controllers.get(session), version, framing.wished_language(languages_of(version)))
    sent: Submission | None = None
    try:
        sent = typed.from_form(request)
        page_url = submission.page_url(None, origin=_foreign_origin(), form_id=form_id)
        outcome = submission.take(controller_id, form_id, sent, page_url=page_url, at=at)
    except InvalidInputError:
        outcome = submission.Outcome(None, None, ((None, "other"),))
    if outcome.shown is not None and not outcome.faults:
        then = replace(frame, language=outcome.shown.language)
        return _say_what_happens(then, outcome.shown, outcome.answer, at=at)
    with web.service().database.transaction(controller_id) as session:
        return _draw(session, version, at=snapshots.moment(at), sent=sent, faults=outcome.faults)


def languages_of(version: FormVersion) -> tuple[str, ...]:
    """Return the languages in which both the form and the page around it can be read, the form's first one first."""
    return tuple(code for code in version.definition.languages if code in catalogues.offered())


def fields_of(form: ShownForm, texts: Mapping[str, str] = MappingProxyType({})) -> tuple[Field, ...]:
    """Return a form's fields with what was typed into them before; what was ticked is never among it."""
    names = [typed.field_name(shown) for shown in form.fields]
    return tuple(
        Field(name, shown.kind, shown.label, shown.why, shown.required, _AUTOCOMPLETE.get(name), texts.get(name, ""))
        for name, shown in zip(names, form.fields, strict=True)
    )


def _frame(controller: Controller | None, version: FormVersion, language: str) -> Frame:
    return framing.remember(
        Frame(
            controller=controller,
            language=language,
            languages=tuple((code, f"/f/{version.form_id}?lang={code}") for code in languages_of(version)),
            ancestors=version.definition.origins,
        )
    )


def _draw(
    session: Session,
    version: FormVersion,
    *,
    at: datetime,
    sent: Submission | None = None,
    faults: tuple[Fault, ...] = (),
) -> Response:
    language = framing.wished_language(languages_of(version))
    form = age.ask_in(forms.shown_online(session, form=version, language=language, at=at), at=at)
    return framing.show(
        "signup.html",
        _frame(form.controller, version, language),
        status=422 if faults else 200,
        form=form,
        form_url=f"/f/{form.form_id}?lang={language}",
        fields=fields_of(form, {} if sent is None else sent.texts),
        snapshot=snapshots.of_form(keyring_of(session), form, at=at),
        faults=faults,
    )


def _say_what_happens(frame: Frame, form: ShownForm, answer: SignupAnswer | None, *, at: datetime) -> Response:
    email = phone = None
    visit = ""
    if answer is not None:
        has_email = answer.email is not None
        needed = {answers.confirmation_of(box.channel, has_email=has_email) for box in answer.ticked}
        email = answer.email if "email" in needed else None
        phone = answer.phone if "sms" in needed else None
    if phone is not None:
        with web.service().database.transaction(form.controller.controller_id) as session:
            visit = same_visit.mark(session, form_id=form.form_id, phone=phone, at=at)
    return framing.show(
        "signup_sent.html",
        replace(frame, languages=()),
        is_empty=answer is None,
        email_masked=None if email is None else fields.mask(email),
        phone=phone,
        phone_masked=None if phone is None else fields.mask(phone),
        code_url=f"/f/{form.form_id}/code",
        visit=visit,
        form_url=f"/f/{form.form_id}?lang={form.language}",
    )


def _no_such_language(version: FormVersion) -> Response:
    language = catalogues.negotiate(request.headers.get("Accept-Language"), languages_of(version))
    return framing.show("language_unknown.html", _frame(None, version, language), status=404)


def _foreign_origin() -> str | None:
    """Return the origin of a foreign page that posted this form, as the browser names it; None for our own page."""
    origin = request.headers.get("Origin")
    return None if origin in (None, "null", web.service().settings.public_url) else origin
