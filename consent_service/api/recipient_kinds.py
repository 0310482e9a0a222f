"""Takes classifications of addresses: a company's generic one, or a person's."""

from dataclasses import dataclass, field
from typing import Any

import marshmallow as ma

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Choice, Text, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.subjects import recipient_kinds
from consent_service.subjects.recipient_kinds import Classification

blueprint = ApiBlueprint("recipient_kinds", __name__, description="Whether an address is a person's or a company's.")


@dataclass(frozen=True, slots=True)
class SentClassification:
    """A classification as it was sent."""

    subject: SentReference = field(repr=False)
    recipient_kind: str
    reason: str = field(repr=False)


class NewClassificationSchema(ma.Schema):
    """What an address is, and how that is known."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    recipient_kind = Choice(
        *recipient_kinds.KINDS,
        required=True,
        metadata={"description": "An address at work that names somebody is a person's."},
    )
    reason = Text(longest=500, required=True, metadata={"description": "How this is known; for the audit log."})

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentClassification:  # noqa: ANN401 - marshmallow's signature
        return SentClassification(**data)


class ClassificationSchema(ma.Schema):
    """What a contact point was classified as."""

    subject_id = ma.fields.String(required=True)
    contact_point_id = ma.fields.String(required=True)
    recipient_kind = ma.fields.String(required=True)
    recorded_at = Timestamp(required=True)


@blueprint.route("/v1/recipient-kinds", methods=["POST"])
@authorised("subjects:write", changes=True)
@blueprint.response(201, ClassificationSchema)
@blueprint.arguments(NewClassificationSchema)
def classify(act: Act, sent: SentClassification) -> Classification:
    """Classify an address as a company's, or as a person's again.

    Every address is a person's until this says otherwise; who said so and why is written into the audit log.
    """
    # What an address is holds for every purpose.
    act.demand_purpose(None)
    return recipient_kinds.classify(
        act.session,
        reference=sent.subject.resolve(system=act.api_key.system),
        recipient_kind=sent.recipient_kind,
        reason=sent.reason,
        actor=act.actor,
        at=act.at,
    )
