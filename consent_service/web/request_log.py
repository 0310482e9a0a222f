"""Writes one log line and one metric for every answered request."""

import time
from typing import Final

import structlog
from flask import Response, g, request

from consent_service.web import logs, request_ids
from consent_service.web.metrics import Metrics

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def begin() -> None:
    """Start the clock of this request."""
    g.request_started = time.perf_counter()


def remember_caller(*, controller_id: str, api_key_id: str) -> None:
    """Name the system that called, for the log line of this request."""
    g.request_caller = {"controller_id": controller_id, "api_key_id": api_key_id}


def remember_failure(error: Exception) -> None:
    """Keep what failed, for the log line of this request."""
    g.request_failure = logs.describe(error)


def finish(answer: Response, *, metrics: Metrics) -> Response:
    """Log and count the answer: its route as a template, no query, no body, no address."""
    seconds = time.perf_counter() - g.request_started
    # Anybody may send any word as a method; as a label each would be kept for ever.
    method = request.method if request.method in _KNOWN_METHODS else "[other]"
    route = logs.route_of(request)
    structlog.get_logger().info(
        "request",
        request_id=request_ids.current(),
        method=method,
        route=route,
        status=answer.status_code,
        duration_ms=round(seconds * 1000, 2),
        **g.get("request_caller", {}),
        **g.get("request_failure", {}),
    )
    metrics.count(method=method, route=route, status=answer.status_code, seconds=seconds)
    return answer
