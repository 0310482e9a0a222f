"""Says what a page's own act proves: a button that a person pressed on a page that we made."""

from collections.abc import Mapping
from datetime import datetime

from flask import request

from consent_service import web
from consent_service.consent.evidence import ActEvidence
from consent_service.web import evidence


def of_request(*, act: str, at: datetime, language: str | None = None, signals: Mapping[str, object]) -> ActEvidence:
    """Return the evidence of this request; its address is named as a route, for the token in it is a secret."""
    trace = evidence.from_request(request)
    rule = request.url_rule.rule if request.url_rule is not None else ""
    return ActEvidence(
        method="web_form",
        act=act,
        occurred_at=at,
        page_url=f"{web.service().settings.public_url}{rule}",
        ip=trace.ip,
        user_agent=trace.user_agent,
        rendered_by="service",
        language=language,
        signals=dict(signals),
    )
