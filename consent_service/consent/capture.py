"""A person answers a form: through a public form nothing is consent before the address is confirmed (DOI-01)."""

from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.consent import age, answers, signup_requests
from consent_service.consent.answers import Origin, SignupAnswer
from consent_service.consent.evidence import ActEvidence
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.registry.forms import ShownForm

_FIELD_OF: Final = {"email": "/email", "sms": "/phone"}


def record_signup(
    session: Session, *, form: ShownForm, answer: SignupAnswer, submission: ActEvidence, actor: Actor, at: datetime
) -> None:
    """Keep the answer to a public form until it is confirmed; a form with nothing ticked leaves nothing behind.

    Raises InvalidInputError where a ticked box needs a contact point that was not given, and GuardianRequiredError
    where it needs an age that was not declared. Does the same work, and returns nothing, for every address: known,
    unknown or suppressed.
    """
    problems = answer_problems(answer)
    if problems:
        raise InvalidInputError(problems)
    if not answer.ticked:
        return
    if age.matters_for(form, answer.ticked):
        age.demand_enough(submission, limit=age.limit(form.controller, at=at), pointer="/age_at_least")
    signup_requests.record(
        session,
        origin=Origin(form.form_id, form.form_version, form.title, form.language),
        answer=answer,
        submission=submission,
        actor=actor,
        at=at,
    )


def answer_problems(answer: SignupAnswer) -> tuple[FieldProblem, ...]:
    """List the contact points that the ticked boxes need and that were not given."""
    given = {"email": answer.email, "sms": answer.phone}
    needed = {answers.confirmation_of(box.channel, has_email=answer.email is not None) for box in answer.ticked}
    return tuple(
        FieldProblem(_FIELD_OF[each], "contact_point_required", "What you ticked needs this.")
        for each in sorted(needed)
        if given[each] is None
    )
