"""What only a demo has: a look at the mails and messages it sent, and a clock that can be moved."""

import email
import ipaddress
import re
from datetime import datetime, timedelta
from email import policy
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import marshmallow as ma
import orjson
from flask import Blueprint, Response, abort, jsonify, request
from markupsafe import Markup, escape

from consent_service import clock, web
from consent_service.api.parsing import StrictParser
from consent_service.consent import ledger
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.web import access, json_answers
from consent_service.web.access import caller

blueprint = Blueprint("dev", __name__, url_prefix="/dev")

_NUMBER: Final = re.compile(r"(\d+)-")
# ISO 8601 §5.5.2, whole numbers only.
_DURATION: Final = re.compile(
    r"P(?=\d|T\d)(?:(?P<years>\d{1,2})Y)?(?:(?P<months>\d{1,3})M)?(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,7})M)?(?:(?P<seconds>\d{1,8})S)?)?",
    re.ASCII,
)
_ADDRESS: Final = re.compile(r"(https?://[^\s<>]+)")
_PAGE: Final = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>Mailbox of the demo</title>'
    '<link rel="stylesheet" href="/static/page.css"></head>'
    "<body><main><h1>Mailbox of the demo</h1>{}</main></body></html>"
)
_ITEM: Final = Markup("<article><h2>{subject}</h2><p>{file} · {to}</p><p>{text}</p></article>")


class AdvanceSchema(ma.Schema):
    """How far the clock goes forward."""

    advance = ma.fields.String(required=True)


@blueprint.before_request
def refuse_strangers() -> None:
    """Let nobody in who does not sit at this machine."""
    if not ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104 - an address that is nobody's
        abort(HTTPStatus.NOT_FOUND)


@blueprint.get("/mailbox")
@caller(access.DEMO)
def show_mailbox() -> Response:
    """Show what was sent, newest first: a page for people, JSON for programs that ask for it."""
    folder = web.service().settings.data_dir
    messages = [_mail(path) for path in _newest_first(folder / "mail", "*.eml")]
    messages += [_sms(path) for path in _newest_first(folder / "sms", "*.json")]
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return jsonify(data=messages)
    items = Markup("").join(_ITEM.format(**{**message, "text": _with_links(message["text"])}) for message in messages)
    return Response(_PAGE.format(items or Markup("<p>Nothing was sent yet.</p>")), mimetype="text/html")


@blueprint.post("/clock")
@caller(access.DEMO)
@StrictParser().use_args(AdvanceSchema)
def advance_clock(sent: dict[str, Any]) -> Response:
    """Move the clock of all processes of this demo forward, such as by P30D."""
    present = clock.now()
    moved = clock.advance(duration(sent["advance"], present=present))
    return jsonify(now=json_answers.timestamp(moved))


def duration(text: str, *, present: datetime) -> timedelta:
    """Read an ISO 8601 duration; months and years are those that follow on `present`. Raises InvalidInputError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        detail = "A duration such as P30D or PT15M is expected here."
        raise InvalidInputError((FieldProblem("/advance", "duration_invalid", detail),))
    number = {name: int(value or 0) for name, value in match.groupdict().items()}
    moved = ledger.add_months(present, 12 * number.pop("years") + number.pop("months"))
    return moved - present + timedelta(**number)


def _with_links(text: str) -> Markup:
    return Markup("<br>").join(_line_with_links(line) for line in text.splitlines())


def _line_with_links(line: str) -> Markup:
    # Split at a group, so that every second part is an address.
    parts = _ADDRESS.split(line)
    return Markup("").join(
        Markup('<a href="{0}">{0}</a>').format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    def number(path: Path) -> int:
        match = _NUMBER.match(path.name)
        return int(match[1]) if match else 0

    return sorted(folder.glob(pattern), key=number, reverse=True)


def _mail(path: Path) -> dict[str, str]:
    mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    body = mail.get_body(("plain", "html"))
    return {
        "kind": "email",
        "file": path.name,
        "to": str(mail["To"]),
        "subject": str(mail["Subject"]),
        "text": str(body.get_content()) if body is not None else "",
    }


def _sms(path: Path) -> dict[str, str]:
    message = orjson.loads(path.read_bytes())
    text = str(message.get("text", ""))
    return {"kind": "sms", "file": path.name, "to": str(message.get("to", "")), "subject": "SMS", "text": text}
