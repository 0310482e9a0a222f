"""Takes withdrawals and objections: privileged, and answered only once they are durable (GDPR Art. 7(3), 21)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import marshmallow as ma

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.evidence_inputs import EvidenceSchema, SentEvidence
from consent_service.api.fields import Channel, PurposeKey, Text, Timestamp
from consent_service.api.subject_references import SentReference, SubjectReferenceSchema
from consent_service.consent import objection, withdrawal
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.objection import RecordedObjection
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.web import throttling

blueprint = ApiBlueprint("withdrawals", __name__, description="Taking consent back, and objecting to marketing.")


@dataclass(frozen=True, slots=True)
class SentStop:
    """A withdrawal or an objection as it was sent; what is left out means all."""

    subject: SentReference = field(repr=False)
    purpose: str | None = None
    channel: str | None = None
    reason: str | None = field(default=None, repr=False)
    evidence: SentEvidence | None = field(default=None, repr=False)

    @property
    def scope(self) -> Scope:
        """Return what it is meant for."""
        return Scope(purpose=self.purpose, channel=self.channel)


class ObjectionSchema(ma.Schema):
    """Who objects, and to what: to all direct marketing where channel and purpose are left out."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    purpose = PurposeKey()
    channel = Channel()
    reason = Text(longest=200)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentStop:  # noqa: ANN401 - marshmallow's signature
        return SentStop(**data)


class WithdrawalSchema(ObjectionSchema):
    """Who withdraws, and what: everything where purpose and channel are left out."""

    evidence = ma.fields.Nested(EvidenceSchema)


class EndedConsentSchema(ma.Schema):
    """One declaration that is withdrawn, and since when."""

    consent_id = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    withdrawn_at = Timestamp(required=True)


class WithdrawalOutcomeSchema(ma.Schema):
    """What this call withdrew, and what had been withdrawn before it."""

    withdrawn = ma.fields.List(ma.fields.Nested(EndedConsentSchema), required=True)
    unchanged = ma.fields.List(ma.fields.Nested(EndedConsentSchema), required=True)


class RecordedObjectionSchema(ma.Schema):
    """An objection that holds from now on."""

    objection_id = ma.fields.String(required=True)
    subject_id = ma.fields.String(required=True, allow_none=True)
    recorded_at = Timestamp(required=True)


@blueprint.route("/v1/withdrawals", methods=["POST"])
@authorised("withdraw", changes=True, budget=throttling.WITHDRAWALS)
@blueprint.response(200, WithdrawalOutcomeSchema)
@blueprint.arguments(WithdrawalSchema)
def withdraw(act: Act, sent: SentStop) -> WithdrawalOutcome:
    """Withdraw consent.

    What is left out means all. Answered after the commit: from then on every check says no. An address that nobody is
    known under gets the same answer, and nothing is sent to it.
    """
    act.demand_purpose(sent.purpose)
    return withdrawal.withdraw(
        act.session,
        reference=sent.subject.resolve(system=act.api_key.system),
        scope=sent.scope,
        reason="reported",
        act=_as_act(sent, at=act.at),
        actor=act.actor,
        at=act.at,
    )


def _as_act(sent: SentStop, *, at: datetime) -> ActEvidence | None:
    """Return the evidence with the reason in it: what a system writes there may speak of a person, so it is sealed."""
    act = sent.evidence.as_act(at=at) if sent.evidence else None
    if sent.reason is None:
        return act
    noted = act or ActEvidence(method="api", act="reported", occurred_at=at, rendered_by="host")
    return noted.with_signals(reason=sent.reason)


@blueprint.route("/v1/objections", methods=["POST"])
@authorised("withdraw", changes=True, budget=throttling.WITHDRAWALS)
@blueprint.response(201, RecordedObjectionSchema)
@blueprint.arguments(ObjectionSchema)
def object_to(act: Act, sent: SentStop) -> RecordedObjection:
    """Object to direct marketing.

    To all of it, to a channel, or to a purpose; no balancing and no override.
    """
    act.demand_purpose(sent.purpose)
    return objection.object_to(
        act.session,
        reference=sent.subject.resolve(system=act.api_key.system),
        scope=sent.scope,
        reason=sent.reason or "reported",
        actor=act.actor,
        at=act.at,
    )
