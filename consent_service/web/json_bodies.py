"""Reads the JSON body of a request strictly: one object, UTF-8, no key twice, nothing that PostgreSQL cannot keep."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from flask import Request

from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.web.problems import ProblemError

MEDIA_TYPE: Final = "application/json"

# PostgreSQL keeps no NUL, and half a surrogate pair is no character.
_UNKEEPABLE: Final = re.compile("[\\0\ud800-\udfff]")
# Far deeper than any body of ours, and far from the depth at which a walk through it would fail.
_DEEPEST: Final = 32
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)


class _DuplicateKeyError(ValueError):
    """An object names a key twice, and readers would disagree about which one counts."""


def read(request: Request) -> dict[str, Any]:
    """Read the body as one JSON object.

    Raises ProblemError with 415 for another media type and 400 for what is not JSON, and InvalidInputError for a key
    that stands twice (RFC 8259 §4), a NUL byte or half a surrogate pair.
    """
    if request.mimetype != MEDIA_TYPE or request.headers.get("Content-Encoding", "identity") != "identity":
        raise ProblemError("media_type_unsupported")
    document = parse(read_all(request))
    if not isinstance(document, dict):
        raise InvalidInputError((FieldProblem("", "not_an_object", "The body must be one JSON object."),))
    return document


def parse(text: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON value as strictly as a body; raises as `read` does."""
    document = _parse(text)
    problems = tuple(_problems_of_text(document, "", depth=0))
    if problems:
        raise InvalidInputError(problems)
    return document


def read_all(request: Request) -> bytes:
    """Read the whole body; raises RequestEntityTooLarge, or ProblemError with 413 where it came in pieces."""
    body = request.get_data(cache=True)
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(body) >= limit:
        # Werkzeug cuts a body that does not say its length at the limit, and half a body is not what was sent.
        raise ProblemError("body_too_large")
    return body


def _parse(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except _DuplicateKeyError:
        problem = FieldProblem("", "duplicate_key", "An object names the same key twice.")
        raise InvalidInputError((problem,)) from None
    except (ValueError, RecursionError):
        # The cause quotes the body, so it must not travel along.
        raise ProblemError("json_invalid") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _DuplicateKeyError
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _problems_of_text(value: Any, pointer: str, *, depth: int) -> Iterator[FieldProblem]:  # noqa: ANN401 - any JSON value
    if depth > _DEEPEST:
        yield FieldProblem(pointer, "too_deep", "Values are nested too deeply.")
    elif isinstance(value, dict):
        for key, each in value.items():
            if _cannot_be_kept(key):
                # The key itself is what is wrong, and it is not repeated.
                yield FieldProblem(pointer, "text_invalid", "A key has a character that no text may have.")
            else:
                yield from _problems_of_text(each, pointer + _step(key), depth=depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _problems_of_text(each, f"{pointer}/{index}", depth=depth + 1)
    elif isinstance(value, str) and _cannot_be_kept(value):
        yield FieldProblem(pointer, "text_invalid", "The text has a character that no text may have.")


def _step(key: str) -> str:
    """Return the step of a pointer that a key makes, or none where it is no name of ours: it may be an address."""
    return f"/{key}" if _NAME.fullmatch(key) is not None else ""


def _cannot_be_kept(text: str) -> bool:
    return _UNKEEPABLE.search(text) is not None
