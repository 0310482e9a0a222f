"""Gives every request an id that stands in its answer, in its problem and in its log line."""

import secrets
from typing import Final

from flask import g

from consent_service.db.session import serve_request

HEADER: Final = "Request-Id"


def begin() -> None:
    """Give this request its id: our own, for what a caller sends could carry anything into our log."""
    g.request_id = secrets.token_hex(16)
    serve_request(g.request_id)


def end(error: BaseException | None) -> None:
    """Let what comes after this request in the same thread not pass for a part of it."""
    del error
    serve_request(None)


def current() -> str:
    """Get the id of this request."""
    return str(g.request_id)
