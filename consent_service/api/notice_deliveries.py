"""Takes reports that a sender told the person what the person must be told."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import marshmallow as ma

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Choice, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import notice_deliveries
from consent_service.consent.notice_deliveries import RecordedDelivery

blueprint = ApiBlueprint("notice_deliveries", __name__, description="What people were told at the first contact.")


@dataclass(frozen=True, slots=True)
class SentDelivery:
    """A delivery as it was sent."""

    subject: SentReference = field(repr=False)
    notice: str
    delivered_at: datetime


class DeliverySchema(ma.Schema):
    """Which notice reached whom, and when."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    notice = Choice(
        *notice_deliveries.NOTICES,
        required=True,
        metadata={"description": "The right to object (GDPR Art. 21(4)), or where the data came from (Art. 14)."},
    )
    delivered_at = Timestamp(required=True)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentDelivery:  # noqa: ANN401 - marshmallow's signature
        return SentDelivery(**data)


class RecordedDeliverySchema(ma.Schema):
    """A notice that reached a person."""

    notice_delivery_id = ma.fields.String(required=True, attribute="delivery_id")
    subject_id = ma.fields.String(required=True)
    notice = ma.fields.String(required=True)
    delivered_at = Timestamp(required=True)
    recorded_at = Timestamp(required=True)


@blueprint.route("/v1/notice-deliveries", methods=["POST"])
@authorised("capture", changes=True)
@blueprint.response(201, RecordedDeliverySchema)
@blueprint.arguments(DeliverySchema)
def record_delivery(act: Act, sent: SentDelivery) -> RecordedDelivery:
    """Report that a person was told of the right to object, or what GDPR Art. 14 demands.

    It ends the obligation `objection_notice` or `art14_notice` that checks name until then.
    """
    # The obligation ends for every purpose.
    act.demand_purpose(None)
    return notice_deliveries.record(
        act.session,
        reference=sent.subject.resolve(system=act.api_key.system),
        notice=sent.notice,
        delivered_at=sent.delivered_at,
        actor=act.actor,
        at=act.at,
    )
