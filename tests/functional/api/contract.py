"""Compares answers with the description of the API: what is described must be what is sent."""

import json
import re
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.test import TestResponse

DOCUMENT: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "docs" / "openapi.json").read_text(encoding="utf-8")
)


def demand(answer: TestResponse) -> TestResponse:
    """Return the answer; raises where its status, media type or body is not the described one."""
    operation = _operation(answer.request.method, answer.request.path)
    if operation is None or answer.request.method == "HEAD":
        return answer
    described = operation["responses"].get(str(answer.status_code)) or operation["responses"]["default"]
    described = _resolve(described)
    content = described["content"]
    media_type = str(answer.mimetype)
    assert media_type in content, f"{media_type} is not described for {answer.status_code}"
    if media_type.endswith(("/json", "+json")):
        schema = {"components": DOCUMENT["components"], **content[media_type].get("schema", {})}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer.get_json(force=True))
    return answer


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, operations in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    return None


def _resolve(described: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in described:
        return described
    found: Any = DOCUMENT
    for step in described["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    resolved: dict[str, Any] = found
    return resolved
