"""Writes the log: one JSON object a line, made of the fields on a list and of nothing else.

The list says what may be logged; whatever is not on it is dropped, so that an address that somebody hands to the
logger by mistake never arrives (GDPR Art. 5(1)(f)).
"""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import orjson
import structlog
from flask import Request

from consent_service import clock

FIELDS: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "request_id",
        "method",
        "route",
        "status",
        "code",
        "duration_ms",
        "controller_id",
        "api_key_id",
        "error",
        "where",
        "logger",
        "message_id",
        "kind",
        "outcome",
        "count",
        "attempts",
        "pid",
        "port",
        "log",
        "finding",
        "size",
    }
)

_OUR_FRAMES: Final = 8
_PACKAGE: Final = "/consent_service/"
# A variable of a route with the converter that reads it: <id(sub):subject_id>.
_VARIABLE: Final = re.compile(r"<(?:[^:>]*:)?([^>]+)>")


class _LibraryHandler(logging.Handler):
    """Passes on what libraries log: the sentence as it stands in their source, without what they filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's unfilled sentence under the library's name."""
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= describe(record.exc_info[1])
        structlog.get_logger().log(record.levelno, str(record.msg), **fields)


def configure() -> None:
    """Send every log line of this process through the list of fields to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_listed_fields,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Looked up for each line: a supervisor or a test may have put another stream there since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_LibraryHandler()]
    root.setLevel(logging.WARNING)


def write_request(**fields: str | float) -> None:
    """Write the line of one answered request as the configured logger would, for a road that answers thousands."""
    line = {"event": "request", **fields, "level": "info", "timestamp": clock.machine_time()}
    sys.stderr.write(orjson.dumps(line, option=orjson.OPT_UTC_Z).decode() + "\n")


def keep_listed_fields(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog's signature
    """Drop every field that is not on the list."""
    del logger, method
    return {name: value for name, value in event.items() if name in FIELDS}


def describe(error: BaseException) -> dict[str, Any]:
    """Say what failed and where in our code, without the message: that of a database quotes the row."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in frame.filename][-_OUR_FRAMES:] or frames[-1:]
    return {
        "error": type(error).__qualname__,
        "where": [f"{frame.filename.rpartition(_PACKAGE)[2]}:{frame.lineno} {frame.name}" for frame in ours],
    }


def route_of(request: Request) -> str:
    """Name the route that was called with its variables in brackets, such as `/c/[token]`: never the path itself."""
    if request.url_rule is None:
        return "[unknown]"
    return _VARIABLE.sub(r"[\1]", request.url_rule.rule)
