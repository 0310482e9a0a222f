"""What the API's routes are registered on: flask-smorest with our parser, and problems as its errors."""

import http
import re
from typing import Any, Final

import flask_smorest
import marshmallow as ma
from apispec import BasePlugin
from flask import Flask
from flask_smorest.utils import prepare_response
from werkzeug.routing import BaseConverter, Map, ValidationError

from consent_service import identifiers
from consent_service.api.fields import Day, Timestamp
from consent_service.api.parsing import StrictParser
from consent_service.errors import IdentifierInvalidError
from consent_service.web import problems

VERSION: Final = "1.0.0"

_DESCRIPTION: Final = "Records consents, proves them, withdraws them, and answers whether a person may be contacted."


class FieldProblemSchema(ma.Schema):
    """One thing that is wrong in what was sent."""

    pointer = ma.fields.String(required=True, metadata={"description": "JSON pointer into the body."})
    code = ma.fields.String(required=True)
    detail = ma.fields.String(required=True)


class ProblemSchema(ma.Schema):
    """Problem details (RFC 9457); no personal data and no text of an exception."""

    type = ma.fields.Url(required=True, metadata={"description": "Address of a page that explains this kind."})
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    detail = ma.fields.String(required=True)
    instance = ma.fields.String(required=True, metadata={"description": "The request id."})
    code = ma.fields.String(required=True, metadata={"description": "Stable; for programs."})
    errors = ma.fields.List(ma.fields.Nested(FieldProblemSchema))

    class Meta:
        """A kind of problem may bring members of its own, such as the no of a check that cannot decide."""

        unknown = ma.INCLUDE


class SayMore(BasePlugin):
    """Adds to the description of a schema what marshmallow knows no word for: the `json_schema` of its Meta."""

    def schema_helper(self, name: str, definition: dict[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - apispec's signature
        """Return what is to be added."""
        del name, definition
        return dict(getattr(getattr(kwargs.get("schema"), "Meta", None), "json_schema", {}))


class ApiBlueprint(flask_smorest.Blueprint):
    """A group of routes that share a chapter of the reference."""

    ARGUMENTS_PARSER = StrictParser()


class Api(flask_smorest.Api):
    """flask-smorest without its own errors: ours are answered at the outermost door."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Leave errors to the application."""

    def _register_responses(self) -> None:
        for status in http.HTTPStatus:
            self._register_response(status.name, status.phrase)
        self._register_response("DEFAULT_ERROR", "Any other problem")

    def _register_response(self, name: str, description: str) -> None:
        response: dict[str, Any] = {"description": description, "schema": self.ERROR_SCHEMA}
        prepare_response(response, self.spec, problems.MEDIA_TYPE)
        self.spec.components.response(name, response, lazy=True)


class IdConverter(BaseConverter):
    """An id of one kind in a path, such as `<id(sub):subject_id>`, in its canonical text; anything else is no route."""

    def __init__(self, url_map: Map, prefix: str) -> None:
        super().__init__(url_map)
        self.prefix = prefix
        # Words such as `lookup` must not look like ids, or `Allow` would name methods that they do not have.
        self.regex = f"{re.escape(prefix)}_[0-9A-Za-z]{{26}}"

    def to_python(self, value: str) -> str:
        """Read the id."""
        try:
            return identifiers.from_uuid(identifiers.to_uuid(value, self.prefix), self.prefix)
        except IdentifierInvalidError:
            raise ValidationError from None


def make_api(app: Flask, *, public_url: str) -> Api:
    """Make the API of an application; blueprints are registered on it."""
    app.url_map.converters["id"] = IdConverter
    app.config.update(
        API_TITLE="Consent service",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": _DESCRIPTION},
            "servers": [{"url": public_url}],
            "security": [{"apiKey": []}],
        },
    )
    api = Api(app, spec_kwargs={"extra_plugins": [SayMore()]})
    api.spec.components.security_scheme("apiKey", {"type": "http", "scheme": "bearer"})
    api.register_converter(
        IdConverter,
        lambda converter: {"type": "string", "pattern": f"^{converter.prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"},
    )
    api.register_field(Timestamp, "string", "date-time")
    api.register_field(Day, "string", "date")
    return api
