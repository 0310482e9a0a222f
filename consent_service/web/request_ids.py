"""Gives every request an id that stands in its answer, in its problem and in its log line."""

import secrets
from typing import Final

from flask import g

HEADER: Final = "Request-Id"


def begin() -> None:
    """Give this request its id: our own, for what a caller sends could carry anything into our log."""
    g.request_id = secrets.token_hex(16)


def current() -> str:
    """Get the id of this request."""
    return str(g.request_id)
