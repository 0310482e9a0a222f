"""Takes recalls: a source of consents proved defective, and all that it brought ends at once.

The scope is `registry` and not `withdraw`: a key that takes back one person's consent stands at many tills and pages,
and must not be able to end everybody's. Whoever sets up forms and purposes answers for where consents come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from marshmallow import validate

from consent_service.api import paging
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Flag, Identifier, ImportLabel, Text, Timestamp
from consent_service.api.paging import Page, PageQuery, PageQuerySchema
from consent_service.api.parsing import complaint
from consent_service.consent import revocation
from consent_service.consent.counting import StandingCount
from consent_service.consent.revocation import Extent, Recall
from consent_service.consent.sources import Source

blueprint = ApiBlueprint("revocations", __name__, description="Recalling a source of consents.")


@dataclass(frozen=True, slots=True)
class SentRecall:
    """A recall as it was sent."""

    extent: Extent
    reason: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class RecallOutcome:
    """What a recall ends, or would end."""

    revocation_id: str | None
    status: str
    consents: tuple[StandingCount, ...]

    @property
    def count(self) -> int:
        """Return how many consents that is."""
        return sum(each.count for each in self.consents)


class RecallSchema(ma.Schema):
    """Which source is recalled: what fits all that is named, and was recorded in the period. At least one is named."""

    form = Identifier("frm")
    form_version = ma.fields.Integer(
        strict=True,
        validate=validate.Range(min=1, max=2**31 - 1, error=complaint("out_of_range", "Versions begin at 1.")),
        metadata={"description": "Of that form; all versions where left out."},
    )
    api_key = Identifier("key")
    import_label = ImportLabel(data_key="import")
    recorded_from = Timestamp()
    recorded_until = Timestamp(metadata={"description": "Now where left out; not in the future."})
    reason = Text(
        longest=revocation.LONGEST_REASON,
        required=True,
        metadata={"description": "Why the source is not to be trusted, in words that name no person."},
    )
    dry_run = Flag(required=True, metadata={"description": "Count only, and write nothing. It has no default."})

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentRecall:  # noqa: ANN401 - marshmallow's signature
        source = Source(data.get("form"), data.get("form_version"), data.get("api_key"), data.get("import_label"))
        extent = Extent(source, data.get("recorded_from"), data.get("recorded_until"))
        return SentRecall(extent, data["reason"], data["dry_run"])


class StandingCountSchema(ma.Schema):
    """How many consents to a purpose on a channel."""

    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)


class RecallOutcomeSchema(ma.Schema):
    """What a recall ends, counted as it stood when the call came. A dry run has no id."""

    revocation_id = ma.fields.String(required=True, allow_none=True)
    status = ma.fields.String(required=True, metadata={"enum": ["dry_run", "applying"]})
    count = ma.fields.Integer(required=True)
    consents = ma.fields.List(ma.fields.Nested(StandingCountSchema), required=True)


class RevocationSchema(ma.Schema):
    """A recall, and how far the ledger has got its entries; checks say no from `recorded_at` on in either case."""

    revocation_id = ma.fields.String(required=True, attribute="id")
    form = ma.fields.String(required=True, allow_none=True, attribute="extent.source.form_id")
    form_version = ma.fields.Integer(required=True, allow_none=True, attribute="extent.source.form_version")
    api_key = ma.fields.String(required=True, allow_none=True, attribute="extent.source.api_key_id")
    import_label = ma.fields.String(
        required=True, allow_none=True, attribute="extent.source.import_label", data_key="import"
    )
    recorded_from = Timestamp(required=True, allow_none=True, attribute="extent.recorded_from")
    recorded_until = Timestamp(required=True, attribute="extent.recorded_until")
    reason = ma.fields.String(required=True)
    status = ma.fields.String(required=True, metadata={"enum": ["applying", "applied"]})
    count = ma.fields.Integer(
        required=True, attribute="counted", metadata={"description": "How many consents stood when it was recorded."}
    )
    ended = ma.fields.Integer(
        required=True,
        metadata={"description": "How many have their entry in the ledger. What did not stand gets one too."},
    )
    recorded_at = Timestamp(required=True)
    applied_at = Timestamp(required=True, allow_none=True)


class RevocationPageSchema(ma.Schema):
    """One page of recalls."""

    data = ma.fields.List(ma.fields.Nested(RevocationSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route("/v1/revocations", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, RecallOutcomeSchema)
@blueprint.alt_response(200, schema=RecallOutcomeSchema, description="A dry run", success=True)
@blueprint.arguments(RecallSchema)
def recall(act: Act, sent: SentRecall) -> tuple[RecallOutcome, int]:
    """Recall a source of consents, or count what that would end.

    Answered after the commit, however many there are: from then on every check says `consent_revoked`. The ledger gets
    its entries afterwards. What the source asked for and nobody confirmed yet cannot be confirmed any more.
    """
    act.demand_purpose(None)
    act.demand_form(sent.extent.source.form_id)
    if sent.dry_run:
        counted = revocation.preview(act.session, extent=sent.extent, at=act.at)
        return RecallOutcome(None, "dry_run", counted), 200
    recorded, counted = revocation.record(
        act.session, extent=sent.extent, reason=sent.reason, actor=act.actor, at=act.at
    )
    return RecallOutcome(recorded.id, recorded.status, counted), 201


@blueprint.route("/v1/revocations", methods=["GET"])
@authorised("registry")
@blueprint.response(200, RevocationPageSchema)
@blueprint.arguments(PageQuerySchema, location="query")
def list_revocations(act: Act, query: PageQuery) -> tuple[Page[Recall], int, Mapping[str, str]]:
    """List the recalls of the controller, oldest first."""
    act.demand_purpose(None)
    allowed = act.api_key.forms
    found = [
        each for each in revocation.list_all(act.session) if allowed is None or each.extent.source.form_id in allowed
    ]
    page = paging.cut(found, query=query, key=lambda each: each.id)
    return page, 200, paging.link(page, query=query, public_url=act.settings.public_url)


@blueprint.route("/v1/revocations/<id(rvk):revocation_id>", methods=["GET"])
@authorised("registry")
@blueprint.response(200, RevocationSchema)
def show_revocation(act: Act, *, revocation_id: str) -> Recall:
    """Show a recall and how far it has come."""
    act.demand_purpose(None)
    found = revocation.get(act.session, revocation_id=revocation_id)
    act.demand_form(found.extent.source.form_id)
    return found
