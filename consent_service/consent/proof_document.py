"""Shows opened evidence: as JSON, and as a document to print that needs nothing else (GDPR Art. 7(1); CAP-09, CAP-10).

Both show the words as they were sealed on the day of the act, so they stay the same whatever becomes of form, notice
and purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from consent_service.consent.evidence import OpenedEvidence
from consent_service.errors import FormUnknownError
from consent_service.language import rendering
from consent_service.registry import controllers, forms
from consent_service.registry.forms import FormVersion

_MAIL_SIGNAL: Final = "mail_accepted_at"


@dataclass(frozen=True, slots=True)
class PrintedAct:
    """One act as it is printed; `event` is its name in the evidence, such as `submission`."""

    event: str
    at: datetime
    method: str
    act: str
    page_url: str | None
    rendered_by: str
    operator: str | None
    reference: str | None = field(repr=False)
    signals: tuple[tuple[str, str], ...]
    ip: str | None = field(repr=False)
    user_agent: str | None = field(repr=False)
    mail_accepted_at: datetime | None
    is_guardians: bool = False
    age_at_least: int | None = None


@dataclass(frozen=True, slots=True)
class PrintedEvidence:
    """One piece of evidence as it is printed; without acts its body was destroyed when its time was over."""

    evidence_id: str
    recorded_at: datetime
    shown: Mapping[str, Any] | None
    shown_sha256: str | None
    is_checked_by_default: bool
    form: str | None
    form_version: int | None
    language: str | None
    acts: tuple[PrintedAct, ...]


def as_json(opened: tuple[OpenedEvidence, ...]) -> dict[str, Any]:
    """Return the evidence of one declaration as JSON values, oldest first.

    `shown_sha256` is the SHA-256 of the canonical JSON (RFC 8785) of `shown`; `events` lists in order of time what
    happened, the mail that was accepted for delivery included.
    """
    return {"consent_id": opened[0].consent_id, "evidence": [_piece(each) for each in opened]}


def render_html(session: Session, opened: tuple[OpenedEvidence, ...], *, language: str) -> str:
    """Return the evidence of one declaration as one page to print, in an offered language.

    What was shown stands there in the language of the act.
    """
    controller = controllers.get(session)
    return rendering.render(
        "documents/evidence.html",
        language=language,
        timezone=controller.timezone,
        controller=controller,
        consent_id=opened[0].consent_id,
        pieces=printed(session, opened, language=language),
    )


def printed(session: Session, opened: tuple[OpenedEvidence, ...], *, language: str) -> tuple[PrintedEvidence, ...]:
    """Return the evidence of one declaration for a page that shows it beside other things."""
    return tuple(_printed(session, each, language) for each in opened)


def _piece(opened: OpenedEvidence) -> dict[str, Any]:
    statement = opened.statement
    acts = _acts(opened)
    return {
        "evidence_id": opened.evidence_id,
        "recorded_at": _utc(opened.recorded_at),
        "shown": statement.get("shown"),
        "shown_sha256": statement.get("shown_sha256"),
        "checked_by_default": statement.get("checked_by_default"),
        "form_id": _first(acts, "form_id"),
        "form_version": _first(acts, "form_version"),
        "language": _first(acts, "language"),
        "acts": {name: dict(act) for name, act in acts.items()},
        "salt": statement.get("salt"),
        "events": _events(acts, opened.recorded_at),
        "trace": None if opened.trace is None else dict(opened.trace),
    }


def _events(acts: Mapping[str, Mapping[str, Any]], recorded_at: datetime) -> list[dict[str, str]]:
    found = [(_read(act["occurred_at"]), name) for name, act in acts.items()]
    found += [
        (_read(act["signals"][_MAIL_SIGNAL]), "mail_accepted")
        for act in acts.values()
        if act["signals"].get(_MAIL_SIGNAL)
    ]
    # Sorting keeps what happened at one moment in the order in which it stands here.
    found.append((recorded_at, "recorded"))
    return [{"event": name, "at": _utc(at)} for at, name in sorted(found, key=lambda each: each[0])]


def _printed(session: Session, opened: OpenedEvidence, language: str) -> PrintedEvidence:
    statement = opened.statement
    acts = _acts(opened)
    form = _find_form(session, _first(acts, "form_id"), _first(acts, "form_version"))
    spoken = _first(acts, "language")
    return PrintedEvidence(
        evidence_id=opened.evidence_id,
        recorded_at=opened.recorded_at,
        shown=statement.get("shown"),
        shown_sha256=statement.get("shown_sha256"),
        is_checked_by_default=bool(statement.get("checked_by_default")),
        form=None if form is None else form.definition.titles.get(spoken or language, form.form_key),
        form_version=None if form is None else form.number,
        language=spoken,
        acts=tuple(_act(name, act, (opened.trace or {}).get(name, {})) for name, act in acts.items()),
    )


def _act(name: str, act: Mapping[str, Any], trace: Mapping[str, Any]) -> PrintedAct:
    signals: Mapping[str, Any] = act["signals"]
    mailed = signals.get(_MAIL_SIGNAL)
    return PrintedAct(
        event=name,
        at=_read(act["occurred_at"]),
        method=act["method"],
        act=act["act"],
        page_url=act["page_url"],
        rendered_by=act["rendered_by"],
        operator=act["operator"],
        reference=act["reference"],
        signals=tuple((key, str(value)) for key, value in sorted(signals.items()) if key != _MAIL_SIGNAL),
        ip=trace.get("ip"),
        user_agent=trace.get("user_agent"),
        mail_accepted_at=_read(mailed) if mailed else None,
        is_guardians=act.get("acting") == "guardian",
        age_at_least=act.get("age_at_least"),
    )


def _acts(opened: OpenedEvidence) -> dict[str, Mapping[str, Any]]:
    """Return the acts by name in order of time; none after their body was destroyed."""
    acts: Mapping[str, Mapping[str, Any]] = opened.statement.get("acts", {})
    return dict(sorted(acts.items(), key=lambda item: _read(item[1]["occurred_at"])))


def _find_form(session: Session, form_id: str | None, number: int | None) -> FormVersion | None:
    if form_id is None or number is None:
        return None
    try:
        return forms.get_version(session, form_id=form_id, number=number)
    except FormUnknownError:
        return None


def _first(acts: Mapping[str, Mapping[str, Any]], name: str) -> Any:  # noqa: ANN401 - a value of the sealed JSON
    return next((act[name] for act in acts.values() if act.get(name) is not None), None)


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
