"""Answers for forms: their versions, and exactly what a person sees of one."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import (
    AlreadyExistsError,
    FormDefinitionError,
    FormUnknownError,
    InvalidInputError,
    LanguageUnknownError,
)
from consent_service.registry import boxes, controllers, form_definition, locks, models, notices, purposes, terms
from consent_service.registry.boxes import ShownBox
from consent_service.registry.controllers import Controller
from consent_service.registry.documents import Reading
from consent_service.registry.form_definition import FieldDefinition, FieldKind, FormDefinition, Offer
from consent_service.registry.notice_content import KEY
from consent_service.registry.terms import OfferedPurpose

__all__ = [
    "FieldDefinition",
    "FieldKind",
    "FormDefinition",
    "FormVersion",
    "Offer",
    "ShownBox",
    "ShownField",
    "ShownForm",
    "add_version",
    "create",
    "current",
    "find_id",
    "get_version",
    "list_all",
    "shown",
    "shown_online",
]


@dataclass(frozen=True, slots=True)
class FormVersion:
    """One edition of a form."""

    form_id: str
    form_key: str
    number: int
    definition: FormDefinition
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class ShownField:
    """One field as a person sees it."""

    name: str
    kind: FieldKind
    required: bool
    label: str
    why: str


@dataclass(frozen=True, slots=True)
class ShownForm:
    """A form as a person sees it, in one language throughout.

    `age_conditioned` are the purposes among its boxes for which age matters; `age_limit` is the age in years that the
    form asks for, where whoever knows the law of the day had it ask.
    """

    form_id: str
    form_key: str
    form_version: int
    language: str
    controller: Controller
    title: str
    intro: str
    submit_label: str
    fields: tuple[ShownField, ...]
    boxes: tuple[ShownBox, ...]
    select_all: bool = False
    age_conditioned: frozenset[str] = frozenset()
    age_limit: int | None = None


def create(session: Session, *, key: str, definition: FormDefinition, actor: trail.Actor, at: datetime) -> FormVersion:
    """Create a form with its first version, in force at once.

    Raises InvalidInputError, FormDefinitionError, and AlreadyExistsError where the key is taken. Writes audit entries.
    """
    reading = Reading()
    reading.matching(key, "/key", pattern=KEY, detail="A key such as nyhetsbrev is expected here.")
    if reading.problems:
        raise InvalidInputError(tuple(reading.problems))
    form_id = identifiers.new_form_id(controllers.tag_of(session))
    added = session.scalar(
        insert(models.Form)
        .values(controller_id=controller_of(session), id=form_id, key=key, created_at=at)
        .on_conflict_do_nothing()
        .returning(models.Form.id)
    )
    if added is None:
        raise AlreadyExistsError(f"form {key}")
    trail.record(session, type="form.created", at=at, actor=actor, stream=f"form:{form_id}", payload={"key": key})
    return add_version(session, form_id=form_id, definition=definition, actor=actor, at=at)


def add_version(
    session: Session, *, form_id: str, definition: FormDefinition, actor: trail.Actor, at: datetime
) -> FormVersion:
    """Add the next version of a form, in force at once; what earlier versions showed stays as it was.

    Raises FormUnknownError, and FormDefinitionError with everything that is wrong. Writes an audit entry.
    """
    key = _get_key(session, form_id)
    definition = form_definition.parse(form_definition.serialise(definition))
    problems = terms.form_problems(definition, purposes=_offered(session, definition, at))
    if problems:
        raise FormDefinitionError(problems)
    locks.hold(session, name=form_id)
    number = _last_number(session, form_id) + 1
    session.execute(
        insert(models.FormVersion).values(
            controller_id=controller_of(session),
            form_id=form_id,
            number=number,
            definition=form_definition.serialise(definition),
            effective_at=at,
            created_at=at,
        )
    )
    trail.record(
        session,
        type="form.version_created",
        at=at,
        actor=actor,
        stream=f"form:{form_id}",
        payload={"form_version": number, "definition_sha256": form_definition.sha256(definition).hex()},
    )
    return FormVersion(form_id, key, number, definition, at)


def current(session: Session, *, form_id: str, at: datetime) -> FormVersion:
    """Get the version of a form that is in force at a time; raises FormUnknownError where there was none."""
    row = session.execute(
        _versions(session)
        .where(models.FormVersion.form_id == form_id, models.FormVersion.effective_at <= at)
        .order_by(models.FormVersion.effective_at.desc(), models.FormVersion.number.desc())
        .limit(1)
    ).one_or_none()
    return _demanded(row)


def get_version(session: Session, *, form_id: str, number: int) -> FormVersion:
    """Get one version of a form, in force or not; raises FormUnknownError."""
    row = session.execute(
        _versions(session).where(models.FormVersion.form_id == form_id, models.FormVersion.number == number)
    ).one_or_none()
    return _demanded(row)


def list_all(session: Session, *, at: datetime) -> tuple[FormVersion, ...]:
    """List the forms of this controller by key, each in the version that is in force."""
    rows = session.execute(
        _versions(session)
        .where(models.FormVersion.effective_at <= at)
        .ext(distinct_on(models.Form.key))
        .order_by(models.Form.key, models.FormVersion.effective_at.desc(), models.FormVersion.number.desc())
    )
    return tuple(_value(row) for row in rows)


def find_id(session: Session, *, key: str) -> str | None:
    """Find a form's id by its key."""
    return session.scalar(
        select(models.Form.id).where(models.Form.controller_id == controller_of(session), models.Form.key == key)
    )


def shown(session: Session, *, form: FormVersion, language: str, at: datetime) -> ShownForm:
    """Say exactly what a person sees of a form in one language at a time.

    A box whose notice lacks the language, or whose purpose is retired or unpublished, is not shown; texts of two
    languages are never mixed (CAP-07). Raises LanguageUnknownError for a language that the form does not have.
    """
    definition = form.definition
    if language not in definition.languages:
        raise LanguageUnknownError(f"form {form.form_id}")
    return ShownForm(
        form_id=form.form_id,
        form_key=form.form_key,
        form_version=form.number,
        language=language,
        controller=controllers.get(session),
        title=definition.titles[language],
        intro=definition.intros[language],
        submit_label=definition.submit_labels[language],
        fields=tuple(
            ShownField(field.name, field.kind, field.required, field.labels[language], field.why[language])
            for field in definition.fields
        ),
        boxes=boxes.in_force(session, offers=definition.offers, language=language, at=at),
        select_all=definition.select_all,
        age_conditioned=frozenset(purpose.key for purpose in purposes.list_all(session) if purpose.age_condition),
    )


def shown_online(session: Session, *, form: FormVersion, language: str, at: datetime) -> ShownForm:
    """Say what a person sees of a form on a public page: as `shown`, without what can only be asked by people."""
    whole = shown(session, form=form, language=language, at=at)
    return replace(whole, boxes=tuple(box for box in whole.boxes if box.channel not in terms.ASKED_OFFLINE))


def _offered(session: Session, definition: FormDefinition, at: datetime) -> dict[str, OfferedPurpose]:
    """Say of each offered purpose what its notice covers: the version in force, or the last draft before one is."""
    wanted = {offer.purpose for offer in definition.offers}
    in_force = notices.current_of_all(session, purpose_keys=wanted, at=at)
    offered = {}
    for purpose in purposes.list_all(session):
        if purpose.key in wanted:
            notice = in_force.get(purpose.key) or notices.find_last(session, purpose_key=purpose.key)
            offered[purpose.key] = OfferedPurpose(
                is_retired=purpose.is_retired(at), channels=None if notice is None else notice.content.channels
            )
    return offered


def _get_key(session: Session, form_id: str) -> str:
    key = session.scalar(
        select(models.Form.key).where(models.Form.controller_id == controller_of(session), models.Form.id == form_id)
    )
    if key is None:
        raise FormUnknownError
    return key


def _last_number(session: Session, form_id: str) -> int:
    number = session.scalar(
        select(func.max(models.FormVersion.number)).where(
            models.FormVersion.controller_id == controller_of(session), models.FormVersion.form_id == form_id
        )
    )
    return number or 0


def _versions(session: Session) -> Select[models.FormVersion, str]:
    version, form = models.FormVersion, models.Form
    return (
        select(version, form.key)
        .join(form, and_(form.controller_id == version.controller_id, form.id == version.form_id))
        .where(version.controller_id == controller_of(session))
    )


def _value(row: Row[models.FormVersion, str]) -> FormVersion:
    version, key = row
    return FormVersion(
        form_id=version.form_id,
        form_key=key,
        number=version.number,
        definition=form_definition.parse(version.definition),
        effective_at=version.effective_at,
    )


def _demanded(row: Row[models.FormVersion, str] | None) -> FormVersion:
    if row is None:
        raise FormUnknownError
    return _value(row)
