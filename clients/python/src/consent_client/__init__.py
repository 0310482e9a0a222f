"""Asks the consent service whether a person may be contacted. Whatever goes wrong is a no."""

from consent_client.acts import (
    CapturedConsent,
    CaptureOutcome,
    Choice,
    EndedConsent,
    Evidence,
    ObjectionOutcome,
    WithdrawalOutcome,
)
from consent_client.client import ConsentClient
from consent_client.decisions import Decision, StreamDecision
from consent_client.errors import (
    ConsentClientError,
    DecisionDeniedError,
    DecisionExpiredError,
    FieldProblem,
    InsecureUrlError,
    InvalidRequestError,
    KeyRefusedError,
    OutcomeUnknownError,
    RequestRefusedError,
    SendingRefusedError,
)
from consent_client.references import ContactPoint, Email, ExternalId, Phone, SubjectId, SubjectReference

__all__ = [
    "CaptureOutcome",
    "CapturedConsent",
    "Choice",
    "ConsentClient",
    "ConsentClientError",
    "ContactPoint",
    "Decision",
    "DecisionDeniedError",
    "DecisionExpiredError",
    "Email",
    "EndedConsent",
    "Evidence",
    "ExternalId",
    "FieldProblem",
    "InsecureUrlError",
    "InvalidRequestError",
    "KeyRefusedError",
    "ObjectionOutcome",
    "OutcomeUnknownError",
    "Phone",
    "RequestRefusedError",
    "SendingRefusedError",
    "StreamDecision",
    "SubjectId",
    "SubjectReference",
    "WithdrawalOutcome",
]
