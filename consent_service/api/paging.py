"""Answers lists page by page: `limit`, an opaque cursor, and the address of the next page in the Link header."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

import marshmallow as ma
from flask import request
from marshmallow import validate

from consent_service.api.parsing import complaint
from consent_service.web.problems import ProblemError

T = TypeVar("T")

MOST_ITEMS: Final = 200
_USUAL_ITEMS: Final = 50
_LONGEST_CURSOR: Final = 500


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which part of a list is asked for: how many, and after which key."""

    limit: int
    after: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    data: Sequence[T]
    next_cursor: str | None


class PageQuerySchema(ma.Schema):
    """Which part of a list is asked for."""

    limit = ma.fields.Integer(
        load_default=_USUAL_ITEMS,
        validate=validate.Range(
            min=1, max=MOST_ITEMS, error=complaint("out_of_range", f"Between 1 and {MOST_ITEMS} items.")
        ),
    )
    cursor = ma.fields.String(metadata={"description": "The `next_cursor` of the page before."})

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> PageQuery:  # noqa: ANN401 - marshmallow's signature
        return PageQuery(limit=data["limit"], after=_open(data["cursor"]) if "cursor" in data else None)


def cut(items: Sequence[T], *, query: PageQuery, key: Callable[[T], str]) -> Page[T]:
    """Cut the page that is asked for out of a list that is in the order of `key`."""
    rest = [item for item in items if query.after is None or key(item) > query.after]
    data = rest[: query.limit]
    goes_on = len(rest) > len(data)
    return Page(data=data, next_cursor=_close(key(data[-1])) if goes_on else None)


def link(page: Page[T], *, query: PageQuery, public_url: str) -> dict[str, str]:
    """Return the Link header of a page, or nothing on the last one (RFC 8288)."""
    if page.next_cursor is None:
        return {}
    asked = urlencode({"limit": query.limit, "cursor": page.next_cursor})
    return {"Link": f'<{public_url}{request.path}?{asked}>; rel="next"'}


def _close(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _open(cursor: str) -> str:
    try:
        key = base64.urlsafe_b64decode(cursor[:_LONGEST_CURSOR] + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        key = ""
    if not key or _close(key) != cursor:
        raise ProblemError("cursor_invalid")
    return key
