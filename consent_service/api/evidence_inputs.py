"""Reads how a system says that somebody acted: the evidence of a reported act."""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from consent_service.api.fields import Choice, Text, Timestamp
from consent_service.api.parsing import complain, complaint
from consent_service.consent import age, reporting
from consent_service.consent.evidence import ActEvidence
from consent_service.errors import FieldProblem, InvalidInputError


@dataclass(frozen=True, slots=True)
class SentEvidence:
    """Evidence as it was sent."""

    method: str
    act: str
    occurred_at: datetime
    page_url: str | None = None
    ip: str | None = field(default=None, repr=False)
    user_agent: str | None = field(default=None, repr=False)
    operator: str | None = None
    reference: str | None = field(default=None, repr=False)
    acting: str = "subject"
    age_at_least: int | None = None

    def as_act(self, *, at: datetime) -> ActEvidence:
        """Return the act as evidence keeps it; raises InvalidInputError where it has not happened yet."""
        if self.occurred_at > at + reporting.CLOCK_TOLERANCE:
            problem = FieldProblem("/evidence/occurred_at", "in_the_future", "This act has not happened yet.")
            raise InvalidInputError((problem,))
        return ActEvidence(
            method=self.method,
            act=self.act,
            occurred_at=min(self.occurred_at, at),
            page_url=self.page_url,
            ip=self.ip,
            user_agent=self.user_agent,
            operator=self.operator,
            reference=self.reference,
            rendered_by="host",
            acting=self.acting,
            age_at_least=self.age_at_least,
        )


class _IpAddress(ma.fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401 - marshmallow's signature
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ma.ValidationError(complaint("ip_invalid", "An IPv4 or IPv6 address is expected here.")) from None


class EvidenceSchema(ma.Schema):
    """How somebody acted. Nothing here has a default: who reports an act knows how it came about."""

    method = Choice(*reporting.METHODS, required=True)
    act = Choice(*reporting.ACTS, required=True)
    occurred_at = Timestamp(required=True, metadata={"description": "When the person acted; not in the future."})
    page_url = Text(longest=2000)
    ip = _IpAddress()
    user_agent = Text(longest=512)
    operator = Text(longest=200, metadata={"description": "Who of the reporting system took the statement."})
    reference = Text(longest=200, metadata={"description": "Where the reporting system keeps the paper or the call."})

    acting = Choice(
        *age.ACTING, metadata={"description": "Who acted; the person where left out. A guardian acts for a child."}
    )
    age_at_least = ma.fields.Integer(
        strict=True,
        validate=validate.Range(
            min=0, max=age.HIGHEST, error=complaint("out_of_range", f"Between 0 and {age.HIGHEST} years.")
        ),
        metadata={"description": "The age in years that the person declared to have reached; never a date of birth."},
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentEvidence:  # noqa: ANN401 - marshmallow's signature
        if not data.get("page_url", "https://").startswith(("https://", "http://")):
            complain("url_invalid", "An address that begins with https:// is expected here.", field="page_url")
        return SentEvidence(**data)
