"""Who gets data: processors and partners, by the names that people are told."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from consent_service.api import paging
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import KEY_PATTERN, Choice, Text, Timestamp
from consent_service.api.paging import Page, PageQuery, PageQuerySchema
from consent_service.registry import recipients
from consent_service.registry.recipients import Recipient

blueprint = ApiBlueprint("recipients", __name__, description="Who gets data.")


class NewRecipientSchema(ma.Schema):
    """A recipient that is to be made."""

    key = Text(longest=63, required=True, metadata={"pattern": KEY_PATTERN})
    legal_name = Text(longest=300, required=True)
    role = Choice(*recipients.ROLES, required=True)
    country = Text(longest=2, required=True, metadata={"pattern": "^[A-Z]{2}$", "description": "ISO 3166-1 alpha-2."})
    agreement = Text(longest=1000, required=True, metadata={"description": "Under which agreement it gets data."})


class RecipientSchema(NewRecipientSchema):
    """A processor or partner who gets data."""

    recipient_id = ma.fields.String(required=True, attribute="id")
    created_at = Timestamp(required=True)


class RecipientPageSchema(ma.Schema):
    """One page of recipients."""

    data = ma.fields.List(ma.fields.Nested(RecipientSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route("/v1/recipients", methods=["GET"])
@authorised("registry")
@blueprint.response(200, RecipientPageSchema)
@blueprint.arguments(PageQuerySchema, location="query")
def list_recipients(act: Act, query: PageQuery) -> tuple[Page[Recipient], int, Mapping[str, str]]:
    """List the recipients of the controller by key."""
    page = paging.cut(recipients.list_all(act.session), query=query, key=lambda recipient: recipient.key)
    return page, 200, paging.link(page, query=query, public_url=act.settings.public_url)


@blueprint.route("/v1/recipients", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, RecipientSchema)
@blueprint.arguments(NewRecipientSchema)
def create_recipient(act: Act, sent: dict[str, Any]) -> Recipient:
    """Make a recipient, which notices name by its key."""
    return recipients.create(act.session, **sent, actor=act.actor, at=act.at)
