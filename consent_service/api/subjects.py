"""Says who somebody is, and shows clear values to whoever gives a reason for looking."""

from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Flag, Identifier, Text, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import merging
from consent_service.consent.merging import MergedSubjects
from consent_service.errors import SubjectUnknownError
from consent_service.subjects import identity, members, restriction, revealing
from consent_service.subjects.identity import MaskedContactPoint, SubjectReference
from consent_service.subjects.revealing import RevealedSubject

blueprint = ApiBlueprint("subjects", __name__, description="Who somebody is.")


@dataclass(frozen=True, slots=True)
class FoundSubject:
    """A person, by the opaque id alone."""

    subject_id: str


@dataclass(frozen=True, slots=True)
class ShownSubject:
    """A person as the API shows them: contact points are masked."""

    subject_id: str
    is_restricted: bool
    contact_points: tuple[MaskedContactPoint, ...]
    duplicates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownRestriction:
    """Whether processing is restricted now."""

    subject_id: str
    is_restricted: bool


class FoundSubjectSchema(ma.Schema):
    """The id of a person."""

    subject_id = ma.fields.String(required=True)


class MaskedContactPointSchema(ma.Schema):
    """A contact point, masked."""

    id = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    masked = ma.fields.String(required=True)
    verified_at = Timestamp(required=True, allow_none=True)


class ShownSubjectSchema(FoundSubjectSchema):
    """A person with masked contact points."""

    restricted = ma.fields.Boolean(required=True, attribute="is_restricted")
    contact_points = ma.fields.List(ma.fields.Nested(MaskedContactPointSchema), required=True)
    duplicates = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "The records that were merged into this one."}
    )


class MergeSchema(ma.Schema):
    """Which record is a duplicate of this one, and why somebody says so."""

    duplicate = Identifier("sub", required=True)
    reason = Text(longest=500, required=True)


class MergedSubjectsSchema(FoundSubjectSchema):
    """Two records that are one person: `subject_id` goes on, and both ids mean it."""

    duplicate = ma.fields.String(required=True)
    merged_at = Timestamp(required=True)


class RestrictionSchema(ma.Schema):
    """Whether to restrict processing or to lift the restriction, and why."""

    restricted = Flag(required=True)
    reason = Text(longest=500, required=True)


class ShownRestrictionSchema(FoundSubjectSchema):
    """Whether processing is restricted now."""

    restricted = ma.fields.Boolean(required=True, attribute="is_restricted")


class ReasonSchema(ma.Schema):
    """Why somebody looks."""

    reason = Text(longest=500, required=True)


class ClearContactPointSchema(ma.Schema):
    """A contact point in clear."""

    kind = ma.fields.String(required=True)
    value = ma.fields.String(required=True)


class ClearExternalIdSchema(ma.Schema):
    """What another system calls the person."""

    system = ma.fields.String(required=True)
    value = ma.fields.String(required=True)


class RevealedSubjectSchema(FoundSubjectSchema):
    """The clear values of a person; a repeated call gets the id alone."""

    contact_points = ma.fields.List(ma.fields.Nested(ClearContactPointSchema))
    external_ids = ma.fields.List(ma.fields.Nested(ClearExternalIdSchema))
    personal_fields = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String())


@blueprint.route("/v1/subjects/lookup", methods=["POST"])
@authorised("subjects:read")
@blueprint.response(200, FoundSubjectSchema)
@blueprint.arguments(SubjectReferenceSchema)
def look_up(act: Act, sent: SentReference) -> FoundSubject:
    """Find the id of a person by a contact point or an external id."""
    found = identity.find_subject(act.session, sent.resolve(system=act.api_key.system))
    if found is None:
        raise SubjectUnknownError
    return FoundSubject(found.subject_id)


@blueprint.route("/v1/subjects/<id(sub):subject_id>", methods=["GET"])
@authorised("subjects:read")
@blueprint.response(200, ShownSubjectSchema)
def show(act: Act, *, subject_id: str) -> ShownSubject:
    """Show a person with masked contact points; the id of a duplicate shows the record that goes on."""
    points = identity.list_contact_points(act.session, subject_id=subject_id)
    restricted = restriction.is_restricted(act.session, subject_id=subject_id)
    goes_by, *duplicates = members.ids_of(act.session, subject_id)
    return ShownSubject(
        subject_id=goes_by, is_restricted=restricted, contact_points=points, duplicates=tuple(duplicates)
    )


@blueprint.route("/v1/subjects/<id(sub):subject_id>/reveal", methods=["POST"])
@authorised("subjects:write", changes=True)
@blueprint.response(200, RevealedSubjectSchema)
@blueprint.arguments(ReasonSchema)
def reveal(act: Act, sent: dict[str, Any], *, subject_id: str) -> dict[str, Any]:
    """Show the clear values of a person.

    Who looked and why is written into the audit log. A repeated call gets the id alone.
    """
    revealed = revealing.reveal(act.session, subject_id=subject_id, reason=sent["reason"], actor=act.actor, at=act.at)
    act.remember_only({"subject_id": revealed.subject_id})
    return _clear(revealed)


@blueprint.route("/v1/subjects/<id(sub):subject_id>/merges", methods=["POST"])
@authorised("subjects:write", changes=True)
@blueprint.response(201, MergedSubjectsSchema)
@blueprint.arguments(MergeSchema)
def merge(act: Act, sent: dict[str, Any], *, subject_id: str) -> MergedSubjects:
    """Merge a duplicate into this person.

    From now on both ids, and every address and external id of either, mean this person, and the strictest of what
    either said holds: a no of one counts against the yeses of the other, and a restriction of one restricts both. What
    was recorded stays where it is, so a check as of an earlier moment answers as it did. A merge cannot be undone; a
    record is merged once, and one that others were merged into cannot become a duplicate itself (409).
    """
    return merging.merge(
        act.session,
        survivor_id=subject_id,
        duplicate_id=sent["duplicate"],
        source="reported",
        reason=sent["reason"],
        actor=act.actor,
        at=act.at,
    )


@blueprint.route("/v1/subjects/<id(sub):subject_id>/restriction", methods=["POST"])
@authorised("subjects:write", changes=True)
@blueprint.response(200, ShownRestrictionSchema)
@blueprint.arguments(RestrictionSchema)
def restrict(act: Act, sent: dict[str, Any], *, subject_id: str) -> ShownRestriction:
    """Restrict processing of a person's data, or lift the restriction (GDPR Art. 18).

    While it is restricted, every check says no.
    """
    found = identity.find_subject(act.session, SubjectReference(id=subject_id))
    if found is None:
        raise SubjectUnknownError
    change = restriction.restrict if sent["restricted"] else restriction.lift
    change(act.session, subject_id=found.subject_id, reason=sent["reason"], actor=act.actor, at=act.at)
    return ShownRestriction(subject_id=found.subject_id, is_restricted=sent["restricted"])


def _clear(revealed: RevealedSubject) -> dict[str, Any]:
    return {
        "subject_id": revealed.subject_id,
        "contact_points": [{"kind": kind, "value": value} for kind, value in revealed.contact_points],
        "external_ids": [{"system": system, "value": value} for system, value in revealed.external_ids],
        "personal_fields": dict(revealed.personal_fields),
    }
