"""Shows a person what went wrong, without blame, and what to do now."""

import math
from typing import Final

from flask import Response

from consent_service.pages import framing
from consent_service.web import request_ids
from consent_service.web.problems import Problem

_SAID: Final = frozenset({400, 404, 405, 413, 415, 429, 500, 503})
_SAID_AS: Final = {401: 404, 403: 400, 406: 404, 410: 404, 414: 404, 431: 413}
_FIRST_SERVER_STATUS: Final = 500


def render_page(problem: Problem) -> Response:
    """Write a problem as a page in the reader's language; the status stays the problem's own."""
    answer = framing.show(
        "error.html",
        framing.remembered(),
        status=problem.status,
        said=_said(problem.status),
        request_id=request_ids.current() if problem.status >= _FIRST_SERVER_STATUS else None,
        retry_minutes=_retry_minutes(problem),
    )
    answer.headers.update(problem.headers)
    return answer


def _said(status: int) -> int:
    if status in _SAID:
        return status
    return _SAID_AS.get(status, 400 if status < _FIRST_SERVER_STATUS else 500)


def _retry_minutes(problem: Problem) -> int | None:
    seconds = problem.headers.get("Retry-After", "")
    return math.ceil(int(seconds) / 60) if seconds.isdigit() else None
