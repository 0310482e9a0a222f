"""Answers what every sender asks first: whether this person may be contacted."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import marshmallow as ma
import orjson
from flask import Response

from consent_service.api import asking
from consent_service.api.asking import Caller
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import PURPOSE_KEY_LONGEST, Choice, PurposeKey, Text, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import rules
from consent_service.consent.check import CheckRequest, Decision
from consent_service.web.problems import when_unable

blueprint = ApiBlueprint("checks", __name__, description="May this person be contacted?")


@dataclass(frozen=True, slots=True)
class SentCheck:
    """A question as it was sent."""

    subject: SentReference = field(repr=False)
    purpose: str
    channel: str
    as_of: datetime | None = None
    known_at: datetime | None = None
    recipient: str | None = None
    min_evidence: str | None = None


class CheckSchema(ma.Schema):
    """A question. An unknown purpose or channel is no mistake: the answer is no and says why."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    purpose = PurposeKey(required=True)
    channel = Text(longest=100, required=True)
    as_of = Timestamp(allow_none=True, metadata={"description": "What held then? Not in the future."})
    known_at = Timestamp(allow_none=True, metadata={"description": "Leave out what was recorded later."})
    recipient = Text(longest=100, allow_none=True, metadata={"description": "The key of a recipient."})
    min_evidence = Choice(*rules.GRADES, allow_none=True)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentCheck:  # noqa: ANN401 - marshmallow's signature
        return SentCheck(**data)


class DecisionSchema(ma.Schema):
    """The answer. `valid_until` is a time to send by, and no licence to keep a yes."""

    allowed = ma.fields.Boolean(required=True)
    status = Choice(*rules.DPV_STATUS, required=True)
    reason = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    legal_basis = ma.fields.String(required=True, allow_none=True)
    subject_id = ma.fields.String(required=True, allow_none=True)
    consent_id = ma.fields.String(required=True, allow_none=True)
    notice_version = ma.fields.Integer(required=True, allow_none=True)
    language = ma.fields.String(required=True, allow_none=True)
    given_at = Timestamp(required=True, allow_none=True)
    confirmed_at = Timestamp(required=True, allow_none=True)
    withdrawn_at = Timestamp(required=True, allow_none=True)
    expires_at = Timestamp(required=True, allow_none=True)
    valid_until = Timestamp(required=True, allow_none=True)
    next_allowed_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When calling hours begin again, where only they say no."},
    )
    obligations = ma.fields.List(ma.fields.String(), required=True)
    decision_id = ma.fields.String(required=True)
    evaluated_at = Timestamp(required=True)
    statement = ma.fields.String(
        metadata={"description": "The answer as a signed statement (compact JWS), where the controller turned that on."}
    )


@blueprint.route("/v1/checks", methods=["POST"])
@asking.asks()
@when_unable(allowed=False, reason="unavailable")
@blueprint.response(200, DecisionSchema)
@blueprint.arguments(CheckSchema)
def decide(caller: Caller, sent: SentCheck) -> Response:
    """Check one person, purpose and channel.

    200 also when the answer is no, and for a person never seen. Whatever goes wrong here says no in its body too.
    """
    decision, copy = asking.decide(
        caller,
        CheckRequest(
            reference=sent.subject.resolve(system=caller.api_key.system),
            purpose=sent.purpose,
            channel=sent.channel,
            as_of=sent.as_of,
            known_at=sent.known_at,
            recipient=sent.recipient,
            min_evidence=sent.min_evidence,
        ),
    )
    statement = asking.sign(copy, decision, as_of=sent.as_of, issuer=caller.asking.issuer)
    return Response(write(decision, statement), mimetype="application/json")


def is_purpose_key(text: str) -> bool:
    """Say whether the schema takes this as the key of a purpose."""
    return 0 < len(text) <= PURPOSE_KEY_LONGEST


def write(decision: Decision, statement: str | None) -> bytes:
    """Write an answer as JSON, times in UTC; `statement` stands in it only where answers are signed."""
    document: dict[str, Any] = {
        "allowed": decision.allowed,
        "status": decision.status,
        "reason": decision.reason,
        "purpose": decision.purpose,
        "channel": decision.channel,
        "legal_basis": decision.legal_basis,
        "subject_id": decision.subject_id,
        "consent_id": decision.consent_id,
        "notice_version": decision.notice_version,
        "language": decision.language,
        "given_at": decision.given_at,
        "confirmed_at": decision.confirmed_at,
        "withdrawn_at": decision.withdrawn_at,
        "expires_at": decision.expires_at,
        "valid_until": decision.valid_until,
        "next_allowed_at": decision.next_allowed_at,
        "obligations": decision.obligations,
        "decision_id": decision.decision_id,
        "evaluated_at": decision.evaluated_at,
    }
    if statement is not None:
        document["statement"] = statement
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)
