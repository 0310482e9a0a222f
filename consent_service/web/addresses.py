"""Refuses addresses that nothing can be found under: PostgreSQL keeps no NUL, and no key or id of ours has one."""

from http import HTTPStatus
from typing import Final

from flask import abort, request

_NUL: Final = "\0"


def refuse_unreadable() -> None:
    """Answer 404 for a path and 400 for a query with a NUL byte."""
    if _NUL in request.path:
        abort(HTTPStatus.NOT_FOUND)
    if any(_NUL in text for pair in request.args.items(multi=True) for text in pair):
        abort(HTTPStatus.BAD_REQUEST)
