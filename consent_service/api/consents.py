"""Takes acts of the subject that a controller's own system reports."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import marshmallow as ma
from marshmallow import validate

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.evidence_inputs import EvidenceSchema, SentEvidence
from consent_service.api.fields import Channel, Flag, Identifier, ImportLabel, PurposeKey, Text, Timestamp
from consent_service.api.parsing import complaint
from consent_service.api.subject_references import ContactPointSchema, SentReference, SubjectReferenceSchema
from consent_service.consent import reporting
from consent_service.consent.reporting import CapturedConsent, ReportedAct, ReportedDecision
from consent_service.subjects.fields import ContactValue

blueprint = ApiBlueprint("consents", __name__, description="Reporting acts of the subject, and what is kept of them.")

_MOST_DECISIONS: Final = 100
_MOST_FIELDS: Final = 50
_MOST_POINTS: Final = 10


@dataclass(frozen=True, slots=True)
class SentReport:
    """A report as it was sent."""

    subject: SentReference = field(repr=False)
    form: str
    language: str
    decisions: list[ReportedDecision]
    evidence: SentEvidence = field(repr=False)
    form_version: int | None = None
    additional_contact_points: list[ContactValue] = field(default_factory=list, repr=False)
    personal_fields: dict[str, str] = field(default_factory=dict, repr=False)
    import_label: str | None = None


@dataclass(frozen=True, slots=True)
class ReportOutcome:
    """What became of a report, and when."""

    subject_id: str | None
    consents: tuple[CapturedConsent, ...]
    decided_at: datetime


class ReportedDecisionSchema(ma.Schema):
    """One answer to one question; `granted` has no default, and an empty box says nothing."""

    purpose = PurposeKey(required=True)
    channel = Channel(required=True)
    granted = Flag(required=True)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> ReportedDecision:  # noqa: ANN401 - marshmallow's signature
        return ReportedDecision(**data)


class ReportSchema(ma.Schema):
    """An act of the subject: who, on which form, what was answered, and how it came about."""

    subject = ma.fields.Nested(SubjectReferenceSchema, required=True)
    additional_contact_points = ma.fields.List(
        ma.fields.Nested(ContactPointSchema),
        validate=validate.Length(max=_MOST_POINTS, error=complaint("too_many", f"At most {_MOST_POINTS}.")),
    )
    form = Identifier("frm", required=True)
    form_version = ma.fields.Integer(
        strict=True,
        validate=validate.Range(min=1, max=2**31 - 1, error=complaint("out_of_range", "Versions begin at 1.")),
        metadata={"description": "Where left out: the one in force when the person acted."},
    )
    language = Text(longest=35, required=True, metadata={"description": "The language that the person saw (BCP 47)."})
    decisions = ma.fields.List(
        ma.fields.Nested(ReportedDecisionSchema),
        required=True,
        validate=validate.Length(
            min=1, max=_MOST_DECISIONS, error=complaint("length", f"Between 1 and {_MOST_DECISIONS} answers.")
        ),
    )
    evidence = ma.fields.Nested(EvidenceSchema, required=True)
    personal_fields = ma.fields.Dict(
        keys=Text(longest=40),
        values=Text(longest=500),
        validate=validate.Length(max=_MOST_FIELDS, error=complaint("too_many", f"At most {_MOST_FIELDS}.")),
    )
    import_label = ImportLabel(
        data_key="import",
        metadata={"description": "A word for the import that brings this, by which it can be recalled."},
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentReport:  # noqa: ANN401 - marshmallow's signature
        return SentReport(**data)


class CapturedConsentSchema(ma.Schema):
    """What became of one answer, and how it is confirmed where it still must be."""

    consent_id = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    status = ma.fields.String(required=True, metadata={"enum": ["requested", "given", "refused"]})
    confirmation = ma.fields.String(required=True, allow_none=True, metadata={"enum": ["email", "sms", None]})


class ReportOutcomeSchema(ma.Schema):
    """What became of a report."""

    subject_id = ma.fields.String(required=True, allow_none=True)
    consents = ma.fields.List(ma.fields.Nested(CapturedConsentSchema), required=True)
    decided_at = Timestamp(required=True)


@blueprint.route("/v1/consents", methods=["POST"])
@authorised("capture", changes=True)
@blueprint.response(201, ReportOutcomeSchema)
@blueprint.arguments(ReportSchema)
def report(act: Act, sent: SentReport) -> ReportOutcome:
    """Report an act of the subject.

    All of it is recorded or nothing. Where the purpose demands double opt-in the status is `requested` until the
    person confirms.
    """
    act.demand_form(sent.form)
    for decision in sent.decisions:
        act.demand_purpose(decision.purpose)
    outcome = reporting.record_reported(
        act.session,
        report=ReportedAct(
            reference=sent.subject.resolve(system=act.api_key.system),
            additional=tuple(sent.additional_contact_points),
            form_id=sent.form,
            form_version=sent.form_version,
            language=sent.language,
            decisions=tuple(sent.decisions),
            evidence=sent.evidence.as_act(at=act.at),
            personal_fields=tuple(sent.personal_fields.items()),
            import_label=sent.import_label,
        ),
        actor=act.actor,
        at=act.at,
    )
    return ReportOutcome(subject_id=outcome.subject_id, consents=outcome.consents, decided_at=act.at)
