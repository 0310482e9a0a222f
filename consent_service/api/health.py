"""Answers probes: whether the process lives, whether it may serve, and its figures."""

import functools
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError

from consent_service import clock, web
from consent_service.consent import spool
from consent_service.db import migrate, readiness
from consent_service.errors import KeyFolderError
from consent_service.vault import fingerprints
from consent_service.web import access, metrics
from consent_service.web.access import caller

METRICS_EXTENSION: Final = "consent_service_metrics"

#: Beyond this, acts of two processes could cross: the time of an act is the process's own.
CLOCK_TOLERANCE: Final = timedelta(seconds=2)

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
@caller(access.PUBLIC)
def live() -> Response:
    """Say that the process answers; nothing else is looked at."""
    return jsonify(status="live")


@blueprint.get("/health/ready")
@caller(access.PUBLIC)
def ready() -> Response:
    """Say whether this process may serve: database, schema, keys, clocks and spool, each by name and without detail."""
    checks: dict[str, Any] = dict.fromkeys(("database", "writable", "schema", "clock", "keys"), False)
    checks.update(_passed())
    checks["spool"] = spool.is_writable(web.service().settings.spool_dir)
    is_ready = all(checks.values())
    answer = jsonify(status="ready" if is_ready else "unavailable", checks=checks)
    answer.status_code = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return answer


@blueprint.get("/metrics")
@caller(access.PUBLIC)
def expose_metrics() -> Response:
    """Write the figures for Prometheus."""
    exposed = current_app.extensions[METRICS_EXTENSION].expose() + metrics.gauges(_spool_figures())
    return Response(exposed, content_type=metrics.MEDIA_TYPE)


def _spool_figures() -> dict[str, tuple[str, float]]:
    waiting = spool.measure(web.service().settings.spool_dir)
    age = timedelta(0) if waiting.oldest is None else clock.machine_time() - waiting.oldest
    return {
        "consent_spool_bytes": ("Decisions on this machine that wait for the worker.", waiting.size),
        "consent_spool_oldest_seconds": ("Time since the oldest of them was written.", max(age.total_seconds(), 0)),
        "consent_spool_broken_bytes": ("Lines that were set aside for a person to look at.", waiting.broken),
    }


@functools.cache
def _head() -> str:
    # Finding it imports every migration, and it is part of the code that runs.
    return migrate.head()


def _passed() -> Iterator[tuple[str, bool]]:
    try:
        with web.service().database.platform_transaction() as session:
            reading = readiness.read(session)
            yield "database", True
            yield "writable", reading.takes_writes
            yield "schema", reading.revision == _head()
            # The machine's own time, not the demo's clock that people move.
            yield "clock", abs(clock.machine_time() - reading.server_time) <= CLOCK_TOLERANCE
            fingerprints.verify(session)
            yield "keys", True
    except (SQLAlchemyError, KeyFolderError, OSError):
        return
