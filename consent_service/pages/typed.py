"""Reads what a person typed and ticked: strictly, and without repeating it in an error."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Request
from werkzeug.datastructures import MultiDict

from consent_service.consent import age
from consent_service.consent.answers import SignupAnswer
from consent_service.errors import ContactPointInvalidError, FieldProblem, InvalidInputError
from consent_service.registry.boxes import ShownBox
from consent_service.registry.forms import ShownField, ShownForm
from consent_service.subjects import fields as contact_fields
from consent_service.subjects.fields import ContactValue
from consent_service.web.problems import ProblemError

TRAP: Final = "website"
AGE: Final = "age_at_least"
LONGEST_TEXT: Final = 320

_OWN: Final = ("consent", "lang", "snapshot", "page", AGE, TRAP)
_PERSONAL: Final = "field_"
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

#: A field by the name under which it is posted, and the stable code of what is wrong with it.
Fault = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Submission:
    """A form as it was sent: nothing of it has been believed yet."""

    texts: Mapping[str, str] = field(repr=False)
    ticked: tuple[str, ...]
    language: str
    snapshot: str
    has_trap_filled: bool
    page_url: str | None = None
    age: str = ""


def from_form(request: Request) -> Submission:
    """Read a form post.

    Raises InvalidInputError for a field that stands twice, and ProblemError (415) for another media type: read as an
    empty form, it would look as if nothing had been ticked.
    """
    if request.mimetype not in _FORM_TYPES:
        raise ProblemError("media_type_unsupported")
    posted: MultiDict[str, str] = request.form
    single = [name for name in posted if name != "consent"]
    _demand(all(len(posted.getlist(name)) == 1 for name in single), "", "duplicate_field")
    return _submission({name: posted[name] for name in single}, posted.getlist("consent"))


def from_json(document: Mapping[str, Any]) -> Submission:
    """Read what the embed element sends; raises InvalidInputError where it is not texts and a list of texts."""
    ticked = document.get("consent", [])
    _demand(isinstance(ticked, list) and all(isinstance(each, str) for each in ticked), "/consent", "not_a_list")
    for name, value in document.items():
        _demand(name == "consent" or isinstance(value, str), f"/{name}", "not_text")
    return _submission({name: value for name, value in document.items() if name != "consent"}, ticked)


def field_name(shown: ShownField) -> str:
    """Return the name under which a form's field is posted."""
    return shown.name if shown.kind in {"email", "phone"} else f"{_PERSONAL}{shown.name}"


def ticked_boxes(form: ShownForm, submission: Submission) -> tuple[ShownBox, ...]:
    """Return the boxes that were ticked; raises InvalidInputError for one that the form did not show."""
    shown = {f"{box.purpose}:{box.channel}": box for box in form.boxes}
    _demand(all(value in shown for value in submission.ticked), "/consent", "not_offered")
    return tuple(box for value, box in shown.items() if value in submission.ticked)


def read_answer(
    form: ShownForm, submission: Submission, ticked: tuple[ShownBox, ...]
) -> tuple[SignupAnswer, tuple[Fault, ...]]:
    """Read the fields of a form; whatever is wrong comes back as faults, by field and in their order."""
    contacts: dict[str, ContactValue] = {}
    personal: list[tuple[str, str]] = []
    faults: list[Fault] = []
    for shown in form.fields:
        name = field_name(shown)
        text = submission.texts.get(name, "").strip()
        fault = _fault_of(shown, text)
        if fault is None and text and shown.kind in {"email", "phone"}:
            contact = _contact(shown, text, region=form.controller.country)
            fault = f"{shown.kind}_invalid" if contact is None else None
            contacts |= {} if contact is None else {shown.kind: contact}
        elif fault is None and text:
            personal.append((shown.name, unicodedata.normalize("NFC", text)))
        if fault is not None:
            faults.append((name, fault))
    faulty = {name for name, _ in faults}
    faults += [fault for fault in _missing_contacts(ticked, contacts) if fault[0] not in faulty]
    if age.matters_for(form, ticked) and not submission.age:
        faults.append((AGE, "guardian_required"))
    answer = SignupAnswer(
        email=contacts.get("email"), phone=contacts.get("phone"), ticked=ticked, personal_fields=tuple(personal)
    )
    return answer, tuple(faults)


def demand_known(form: ShownForm, submission: Submission) -> None:
    """Raise InvalidInputError for a field that the form does not have: a misspelt one must not be lost in silence."""
    known = {field_name(shown) for shown in form.fields}
    _demand(set(submission.texts) <= known, "", "unknown_field")
    _demand(submission.age in {"", str(form.age_limit)}, f"/{AGE}", "not_offered")


def _submission(texts: dict[str, str], ticked: Iterable[str]) -> Submission:
    _demand(not any(_cannot_be_kept(text) for text in texts.values()), "", "text_invalid")
    own = {name: texts.pop(name, "") for name in _OWN}
    return Submission(
        texts=texts,
        ticked=tuple(ticked),
        language=own["lang"],
        snapshot=own["snapshot"],
        has_trap_filled=bool(own[TRAP]),
        page_url=own["page"] or None,
        age=own[AGE],
    )


def _fault_of(shown: ShownField, text: str) -> str | None:
    if not text:
        known = {"email": "email_required", "phone": "phone_required"}
        return known.get(shown.kind, "field_required") if shown.required else None
    if len(text) > LONGEST_TEXT:
        return "field_too_long"
    # A line break or an escape in a name serves nobody but whoever wants to forge a log or a header.
    return "field_invalid" if any(unicodedata.category(letter) == "Cc" for letter in text) else None


def _contact(shown: ShownField, text: str, *, region: str) -> ContactValue | None:
    read: Mapping[str, Callable[[], ContactValue]] = {
        "email": lambda: contact_fields.parse_email(text),
        "phone": lambda: contact_fields.parse_phone(text, region=region),
    }
    try:
        return read[shown.kind]()
    except ContactPointInvalidError:
        return None


def _missing_contacts(ticked: tuple[ShownBox, ...], contacts: Mapping[str, ContactValue]) -> list[Fault]:
    needed = {contact_fields.point_kind(box.channel) for box in ticked}
    # What hangs on no address of its own hangs on whatever says who this is.
    if needed & {None, "post"} and not contacts:
        needed.add("email")
    return [(kind, "contact_needed") for kind in ("email", "phone") if kind in needed and kind not in contacts]


def _cannot_be_kept(text: str) -> bool:
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _demand(holds: bool, pointer: str, code: str) -> None:  # noqa: FBT001 - reads as a sentence where it is used
    if not holds:
        raise InvalidInputError((FieldProblem(pointer, code, "This cannot be used in this form."),))
