"""Sets the headers that protect whoever looks at an answer (OWASP ASVS 3.4)."""

from typing import Final

from flask import Response

from consent_service import web
from consent_service.web import request_ids

# No page of ours has inline script or style, and none loads from elsewhere.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
_TWO_YEARS_SECONDS: Final = 2 * 365 * 24 * 60 * 60
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def protect(answer: Response) -> Response:
    """Add what is missing; a view that set a header of its own, such as a form in a frame, keeps it."""
    for name, value in _ALWAYS.items():
        answer.headers.setdefault(name, value)
    answer.headers.setdefault("Content-Security-Policy", content_security_policy())
    # Whatever does not say otherwise may speak of a person, and is kept by nobody.
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers[request_ids.HEADER] = request_ids.current()
    if web.service().settings.is_https:
        answer.headers.setdefault("Strict-Transport-Security", f"max-age={_TWO_YEARS_SECONDS}; includeSubDomains")
    return answer


def content_security_policy(*, frame_ancestors: tuple[str, ...] = ()) -> str:
    """Write the policy; `frame_ancestors` are the exact origins that may show the page in a frame."""
    return CONTENT_SECURITY_POLICY.format(ancestors=" ".join(frame_ancestors) or "'none'")
