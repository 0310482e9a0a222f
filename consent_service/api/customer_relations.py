"""Takes the facts of sales: what the exception for existing customers rests on."""

from dataclasses import dataclass, field
from typing import Any

import marshmallow as ma

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import KEY_PATTERN, Choice, Flag, Text, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import relations
from consent_service.consent.relations import RecordedRelation, Sale

blueprint = ApiBlueprint(
    "customer_relations", __name__, description="The facts that the exception for existing customers rests on."
)


@dataclass(frozen=True, slots=True)
class SentSale:
    """A sale as it was sent, and the person and contact point that it is about."""

    subject: SentReference = field(repr=False)
    sale: Sale


class SaleSchema(ma.Schema):
    """The facts of a sale. None of the conditions has a default: what nobody says is not taken to be so."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    relation = Choice(*relations.RELATIONS, required=True, metadata={"description": "One purchase makes no relation."})
    sold_at = Timestamp(required=True)
    product_category = Text(
        longest=63, required=True, metadata={"pattern": KEY_PATTERN, "description": "A key such as `sports_gear`."}
    )
    contact_point_received_at_sale = Flag(
        required=True, metadata={"description": "Whether the customer gave the contact point in connection with it."}
    )
    opt_out_offered = Flag(
        required=True, metadata={"description": "Whether she could refuse marketing then, easily and free of charge."}
    )
    active_until = Timestamp(
        allow_none=True, metadata={"description": "When the relation ends or ended. With null it carries no yes."}
    )
    sale_reference = Text(
        longest=200, metadata={"description": "What your system calls the sale; kept sealed, never searched."}
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentSale:  # noqa: ANN401 - marshmallow's signature
        subject = data.pop("subject")
        received = data.pop("contact_point_received_at_sale")
        return SentSale(subject=subject, sale=Sale(received_at_sale=received, **data))


class RecordedRelationSchema(ma.Schema):
    """A customer relation as it was recorded."""

    customer_relation_id = ma.fields.String(required=True, attribute="relation_id")
    subject_id = ma.fields.String(required=True)
    recorded_at = Timestamp(required=True)


@blueprint.route("/v1/customer-relations", methods=["POST"])
@authorised("capture", changes=True)
@blueprint.response(201, RecordedRelationSchema)
@blueprint.arguments(SaleSchema)
def record_relation(act: Act, sent: SentSale) -> RecordedRelation:
    """Record the facts of a sale to a customer.

    They are no consent; a purpose that admits existing customers rests on them, and every condition is judged anew at
    each check. Of one relation and product category, what was recorded last holds.
    """
    # The facts count for every purpose that admits existing customers.
    act.demand_purpose(None)
    return relations.record(
        act.session,
        reference=sent.subject.resolve(system=act.api_key.system),
        sale=sent.sale,
        actor=act.actor,
        at=act.at,
    )
