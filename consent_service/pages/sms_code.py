"""The page for the code of an SMS: number and code together confirm what hangs on the number (DOI-02).

It serves the hosted form, the embed element and sign-ups that a system reported. What it answers to a wrong number, a
wrong code or a dead one is the same.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.consent import sms_codes
from consent_service.errors import ContactPointInvalidError
from consent_service.language import catalogues
from consent_service.pages import acts, framing, receipts, same_visit, signup, throttles, whose
from consent_service.pages.framing import Frame
from consent_service.pages.typed import Fault
from consent_service.registry import controllers, forms
from consent_service.registry.controllers import Controller
from consent_service.registry.forms import FormVersion
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue
from consent_service.web import access
from consent_service.web.access import caller

blueprint = Blueprint("sms_code", __name__)


@dataclass(frozen=True, slots=True)
class _Typed:
    """What was typed, and the mark of the visit that it came with."""

    phone: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    visit: str = field(default="", repr=False)
    wants_new_code: bool = False


@blueprint.get("/f/<form_key>/code")
@caller(access.PUBLIC)
def show(form_key: str) -> Response:
    """Ask for a number and its code."""
    controller_id, form_id = whose.form(form_key)
    with web.service().database.transaction(controller_id) as session:
        version = forms.current(session, form_id=form_id, at=clock.now())
        return _draw(_frame(session, version), version, _Typed())


@blueprint.post("/f/<form_key>/code")
@caller(access.PUBLIC)
def receive(form_key: str) -> Response:
    """Confirm by number and code, or have a new code sent to the number."""
    controller_id, form_id = whose.form(form_key)
    at = clock.now()
    sent = _typed()
    database = web.service().database
    with database.transaction(controller_id) as session:
        version = forms.current(session, form_id=form_id, at=at)
        frame = _frame(session, version)
        phone, faults = _read(controllers.get(session), sent)
    if phone is None or faults:
        return _draw(frame, version, sent, faults=faults)
    # Five wrong codes are the end of a code, so who may type how many is limited before anything is compared.
    throttles.admit(controller_id, request.remote_addr, name="sms-code", at=at)
    # A wrong code is counted, so this commits whatever page it ends with.
    with database.transaction(controller_id) as session:
        if sent.wants_new_code:
            sms_codes.ask_again(session, phone=phone, at=at)
            return _draw(frame, version, sent, is_new_code_asked=True)
        return _confirm(session, version, frame, phone, sent, at)


def _confirm(
    session: Session, version: FormVersion, frame: Frame, phone: ContactValue, sent: _Typed, at: datetime
) -> Response:
    is_same_visit = same_visit.is_marked(session, sent.visit, form_id=version.form_id, phone=phone, at=at)
    signals = {"code_typed": True, "session_bound": is_same_visit}
    act = acts.of_request(act="button_pressed", at=at, language=frame.language, signals=signals)
    outcome = sms_codes.confirm(session, phone=phone, code=sent.code, confirmation=act, at=at)
    if outcome.state == "wrong":
        return _draw(frame, version, sent, faults=(("code", "sms_code_wrong"),))
    # The statements stand as they were shown, so the page speaks their language.
    language = outcome.language if outcome.language in catalogues.offered() else frame.language
    return framing.show(
        "confirmed.html",
        framing.remember(replace(frame, language=language, languages=())),
        address=outcome.masked,
        boxes=outcome.boxes,
        confirmed_at=at,
        is_repeated=outcome.state == "repeated",
        receipts=tuple(
            (box.title, receipts.path_of(session, consent_id=consent_id, at=at))
            for box, consent_id in zip(outcome.boxes, outcome.consent_ids, strict=True)
        ),
    )


def _typed() -> _Typed:
    return _Typed(
        phone=request.form.get("phone", "").strip(),
        code="".join(request.form.get("code", "").split()),
        visit=request.form.get("visit", ""),
        wants_new_code="again" in request.form,
    )


def _read(controller: Controller, sent: _Typed) -> tuple[ContactValue | None, tuple[Fault, ...]]:
    faults: list[Fault] = []
    phone = None
    if not sent.phone:
        faults.append(("phone", "phone_required"))
    else:
        try:
            phone = fields.parse_phone(sent.phone, region=controller.country)
        except ContactPointInvalidError:
            faults.append(("phone", "phone_invalid"))
    if not sent.code and not sent.wants_new_code:
        faults.append(("code", "code_required"))
    return phone, tuple(faults)


def _frame(session: Session, version: FormVersion) -> Frame:
    languages = signup.languages_of(version)
    return framing.remember(
        Frame(
            controller=controllers.get(session),
            language=framing.wished_language(languages),
            languages=tuple((code, f"/f/{version.form_id}/code?lang={code}") for code in languages),
            ancestors=version.definition.origins,
        )
    )


def _draw(
    frame: Frame,
    version: FormVersion,
    sent: _Typed,
    *,
    faults: tuple[Fault, ...] = (),
    is_new_code_asked: bool = False,
) -> Response:
    return framing.show(
        "sms_code.html",
        frame,
        status=422 if faults else 200,
        post_url=f"/f/{version.form_id}/code",
        form_url=f"/f/{version.form_id}?lang={frame.language}",
        phone=sent.phone,
        visit=sent.visit,
        is_new_code_asked=is_new_code_asked,
        faults=faults,
    )
