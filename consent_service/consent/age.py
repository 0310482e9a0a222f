"""Who may consent alone: the age limit where the controller is, and what was said about age (GDPR Art. 8).

Kept is what was said, *at least so many years*, and never a date of birth.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent_service.consent import facts, jurisdiction
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.jurisdiction import IN_FORCE, Law
from consent_service.consent.ledger import Series
from consent_service.consent.models import LedgerEntry
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, GuardianRequiredError
from consent_service.registry.boxes import ShownBox
from consent_service.registry.controllers import Controller
from consent_service.registry.forms import ShownForm

#: Who acted: the person, or a guardian for a child.
ACTING: Final = ("subject", "guardian")
HIGHEST: Final = 120


def limit(controller: Controller, *, at: datetime, law: Law = IN_FORCE) -> int:
    """Return the age in years from which a child consents alone, where the controller is, at a moment."""
    day = jurisdiction.local_day(at, controller.timezone)
    return jurisdiction.age_limit(controller.country, day, law=law)


def is_enough(act: ActEvidence, *, limit: int) -> bool:
    """Say whether an act carries a consent for which age matters: a guardian acted, or enough years were declared."""
    return act.acting == "guardian" or (act.age_at_least is not None and act.age_at_least >= limit)


def demand_enough(act: ActEvidence, *, limit: int, pointer: str) -> None:
    """Raise GuardianRequiredError where somebody too young, or who did not say their age, acted for themselves."""
    if not is_enough(act, limit=limit):
        detail = f"The person has to say that they are at least {limit}, or a guardian has to act for them."
        raise GuardianRequiredError((FieldProblem(pointer, "guardian_required", detail),))


def ask_in(form: ShownForm, *, at: datetime, law: Law = IN_FORCE) -> ShownForm:
    """Return a form with the age that it asks for, where it offers something for which age matters."""
    asks = matters_for(form, form.boxes)
    return replace(form, age_limit=limit(form.controller, at=at, law=law) if asks else None)


def declared(session: Session, series: Series) -> int | None:
    """Return the highest age that was declared in a series: nobody grows younger. A guardian's act declares none."""
    return session.scalar(
        select(func.max(LedgerEntry.age_at_least)).where(
            LedgerEntry.controller_id == controller_of(session),
            facts.in_series(series),
            LedgerEntry.by_guardian.is_(False),
        )
    )


def matters_for(form: ShownForm, boxes: Iterable[ShownBox]) -> bool:
    """Say whether age matters for any of these boxes of a form."""
    return any(box.purpose in form.age_conditioned for box in boxes)
