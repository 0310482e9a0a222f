"""Turns JSON bodies and queries into values with marshmallow, and what is wrong with them into field problems.

A message of marshmallow is shown only where it is known to be made of our own words; a value that was sent, or a key
that could be one, is never repeated.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser

from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.web import json_bodies

_SEPARATOR: Final = "|"
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_ITEM_OF_MAPPING: Final = frozenset({"key", "value"})
_OTHER: Final = ("invalid", "This value is not valid here.")
_KNOWN: Final = {
    "Missing data for required field.": ("missing", "This field is required."),
    "Field may not be null.": ("null", "This field may be left out, but not be null."),
    "Unknown field.": ("unknown_field", "There is no such field here."),
    "Not a valid string.": ("not_a_string", "A string is expected here."),
    "Not a valid boolean.": ("not_a_boolean", "true or false is expected here."),
    "Not a valid integer.": ("not_an_integer", "A whole number is expected here."),
    "Not a valid number.": ("not_a_number", "A number is expected here."),
    "Not a valid list.": ("not_a_list", "A list is expected here."),
    "Not a valid mapping type.": ("not_an_object", "An object is expected here."),
    "Invalid type.": ("not_an_object", "An object is expected here."),
    "Invalid input type.": ("not_an_object", "An object is expected here."),
}


def complaint(code: str, detail: str) -> str:
    """Write a message that a schema of ours may raise: a stable code and a sentence without the value."""
    return f"{code}{_SEPARATOR}{detail}"


def complain(code: str, detail: str, *, field: str = ma.exceptions.SCHEMA) -> NoReturn:
    """Raise that something is wrong with a field of this schema, or with all of it."""
    raise ma.ValidationError({field: [complaint(code, detail)]})


def field_problems(messages: Any, pointer: str = "") -> Iterator[FieldProblem]:  # noqa: ANN401 - marshmallow's nested messages
    """Flatten marshmallow's messages into pointers, codes and sentences."""
    if isinstance(messages, dict):
        for key, nested in messages.items():
            yield from field_problems(nested, pointer + _step(key))
    elif isinstance(messages, list):
        for message in messages:
            yield from field_problems(message, pointer)
    else:
        yield FieldProblem(pointer, *_words(str(messages)))


class StrictParser(FlaskParser):
    """webargs with our own strict reading of bodies and our own errors."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": ma.RAISE, "json": ma.RAISE}  # noqa: RUF012 - webargs reads it from the class

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ANN401 - webargs' signature
        """Read the body as one strict JSON object."""
        del schema
        return json_bodies.read(req)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ANN401 - webargs' signature
        """Read the query, in which no name may stand twice."""
        del schema
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise InvalidInputError((FieldProblem("", "duplicate_key", "The query names something twice."),))
        return req.args.to_dict()

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401 - webargs' signature
        """Raise what is wrong as InvalidInputError."""
        # The library's error holds what was sent; it must not travel along as a cause.
        # webargs files all messages under the name of the place they came from.
        problems = [each for place in error.messages_dict.values() for each in field_problems(place)]
        raise InvalidInputError(tuple(problems)) from None


def validated(schema: ma.Schema, document: Any) -> Any:  # noqa: ANN401 - what the schema makes
    """Load a document that was read already; raises InvalidInputError."""
    try:
        return schema.load(document, unknown=ma.RAISE)
    except ma.ValidationError as error:
        problems = tuple(field_problems(error.messages))
    # The library's error holds what was sent; it must not travel along as a cause.
    raise InvalidInputError(problems)


def _step(key: Any) -> str:  # noqa: ANN401 - a name or an index
    if isinstance(key, int):
        return f"/{key}"
    # Schema-level messages belong to the object itself; so does a key that may be somebody's address.
    if key == ma.exceptions.SCHEMA or key in _ITEM_OF_MAPPING or _KEY.fullmatch(key) is None:
        return ""
    return f"/{key}"


def _words(message: str) -> tuple[str, str]:
    code, separator, detail = message.partition(_SEPARATOR)
    if separator:
        return code, detail
    return _KNOWN.get(message, _OTHER)
