"""Makes links for the mails that a controller's own systems send; both can only withdraw."""

from dataclasses import dataclass, field
from typing import Any, Final

import marshmallow as ma
from marshmallow import validate

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Channel, PurposeKey, Text
from consent_service.api.parsing import complaint
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import public_links
from consent_service.consent.withdrawal import Scope
from consent_service.errors import SubjectUnknownError

blueprint = ApiBlueprint("links", __name__, description="Links and headers for a sender's own mails.")

MOST_LINKS: Final = 10_000
LARGEST_BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SentLinkRequest:
    """For whom a link is made, and what it may withdraw; what is left out means all."""

    subject: SentReference = field(repr=False)
    purpose: str | None = None
    channel: str | None = None


class LinkRequestSchema(ma.Schema):
    """For whom a link is made, and what it may withdraw."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    purpose = PurposeKey()
    channel = Channel()

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentLinkRequest:  # noqa: ANN401 - marshmallow's signature
        return SentLinkRequest(**data)


class LinksSchema(ma.Schema):
    """Two links, and the headers of RFC 8058 and RFC 2919 for the same mail."""

    preferences_url = ma.fields.String(required=True)
    unsubscribe_url = ma.fields.String(required=True)
    headers = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class LinkBatchSchema(ma.Schema):
    """Many people, one purpose and channel. A malformed subject is answered in its place."""

    subjects = ma.fields.List(
        ma.fields.Dict(keys=Text(longest=40)),
        required=True,
        validate=validate.Length(
            min=1, max=MOST_LINKS, error=complaint("length", f"Between 1 and {MOST_LINKS} subjects.")
        ),
        metadata={"description": "Subject references, each with a `correlation_id` if the caller likes."},
    )
    purpose = PurposeKey()
    channel = Channel()


class LinkResultSchema(ma.Schema):
    """One answer of a batch: links, or the reason why there are none."""

    correlation_id = ma.fields.String(required=True, allow_none=True)
    links = ma.fields.Nested(LinksSchema, required=True, allow_none=True)
    reason = ma.fields.String(
        required=True, allow_none=True, metadata={"enum": [None, "invalid_reference", "subject_unknown"]}
    )


class LinkBatchResultSchema(ma.Schema):
    """The answers of a batch, in the order that was sent."""

    results = ma.fields.List(ma.fields.Nested(LinkResultSchema), required=True)


@blueprint.route("/v1/links", methods=["POST"])
@authorised("capture")
@blueprint.response(200, LinksSchema)
@blueprint.arguments(LinkRequestSchema)
def make(act: Act, sent: SentLinkRequest) -> dict[str, Any]:
    """Make the links for one mail.

    They never expire, show no more than a masked address, and can only withdraw.
    """
    act.demand_purpose(sent.purpose)
    return _links(act, sent.subject, Scope(purpose=sent.purpose, channel=sent.channel))


@blueprint.route("/v1/links/batch", methods=["POST"])
@authorised("capture", largest_body_bytes=LARGEST_BATCH_BYTES)
@blueprint.response(200, LinkBatchResultSchema)
@blueprint.arguments(LinkBatchSchema)
def make_many(act: Act, sent: dict[str, Any]) -> dict[str, Any]:
    """Make the links for many mails."""
    act.demand_purpose(sent.get("purpose"))
    scope = Scope(purpose=sent.get("purpose"), channel=sent.get("channel"))
    return {"results": [_result(act, item, scope) for item in sent["subjects"]]}


def _result(act: Act, item: dict[str, Any], scope: Scope) -> dict[str, Any]:
    correlation_id = item.get("correlation_id")
    named = {name: value for name, value in item.items() if name != "correlation_id"}
    answer: dict[str, Any] = {
        "correlation_id": correlation_id if isinstance(correlation_id, str) else None,
        "links": None,
        "reason": None,
    }
    try:
        answer["links"] = _links(act, SubjectReferenceSchema().load(named), scope)
    except ma.ValidationError:
        answer["reason"] = "invalid_reference"
    except SubjectUnknownError:
        answer["reason"] = "subject_unknown"
    return answer


def _links(act: Act, subject: SentReference, scope: Scope) -> dict[str, Any]:
    made = public_links.sender_links(
        act.session,
        reference=subject.resolve(system=act.api_key.system),
        scope=scope,
        public_url=act.settings.public_url,
        at=act.at,
    )
    return {
        "preferences_url": made.preferences_url,
        "unsubscribe_url": made.unsubscribe_url,
        "headers": dict(made.headers),
    }
