"""Sets the headers that protect whoever looks at an answer (OWASP ASVS 3.4)."""

from functools import cache
from typing import Final

from flask import Response

from consent_service import web
from consent_service.config import Settings
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
    for name, value in _always(is_https=web.service().settings.is_https).items():
        answer.headers.setdefault(name, value)
    answer.headers[request_ids.HEADER] = request_ids.current()
    return answer


def of_every_answer(settings: Settings) -> list[tuple[str, str]]:
    """Return the same headers, in lower case, for an answer that goes past Flask."""
    return [(name.lower(), value) for name, value in _always(is_https=settings.is_https).items()]


@cache
def _always(*, is_https: bool) -> dict[str, str]:
    # Whatever does not say otherwise may speak of a person, and is kept by nobody.
    found = {**_ALWAYS, "Content-Security-Policy": content_security_policy(), "Cache-Control": "no-store"}
    if is_https:
        found["Strict-Transport-Security"] = f"max-age={_TWO_YEARS_SECONDS}; includeSubDomains"
    return found


def content_security_policy(*, frame_ancestors: tuple[str, ...] = ()) -> str:
    """Write the policy; `frame_ancestors` are the exact origins that may show the page in a frame."""
    return CONTENT_SECURITY_POLICY.format(ancestors=" ".join(frame_ancestors) or "'none'")
