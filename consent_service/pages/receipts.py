"""The receipt that a person may keep: behind a link of a day that the pages themselves hand out.

The link names a declaration and the receipt a pseudonym; neither holds an address.
"""

import base64
import hashlib
import re
import uuid
from datetime import datetime
from typing import Final

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session

from consent_service import clock, identifiers, web
from consent_service.consent import receipt
from consent_service.crypto import links
from consent_service.db.session import controller_of, keyring_of
from consent_service.errors import LinkExpiredError, LinkInvalidError
from consent_service.pages import framing
from consent_service.web import access
from consent_service.web.access import caller

blueprint = Blueprint("receipts", __name__)

_PURPOSE: Final = "receipt"
_MAX_AGE_SECONDS: Final = 24 * 60 * 60
_UUID_BYTES: Final = 16
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def path_of(session: Session, *, consent_id: str, at: datetime) -> str:
    """Return where the receipt of a declaration can be fetched for a day."""
    payload = identifiers.to_uuid(controller_of(session), "ctl").bytes + identifiers.to_uuid(consent_id, "con").bytes
    return f"/r/{links.sign_timed(keyring_of(session), purpose=_PURPOSE, payload=payload, at=at)}"


@blueprint.get("/r/<token>")
@caller(access.LINK)
def show(token: str) -> Response:
    """Show a receipt to read and print, or hand it out as JSON-LD with `?format=json`."""
    database, at = web.service().database, clock.now()
    try:
        link = links.read_timed(
            database.keyring, purpose=_PURPOSE, token=token, at=at, max_age_seconds=_MAX_AGE_SECONDS
        )
    except (LinkInvalidError, LinkExpiredError):
        return framing.show("link_failed.html", framing.remembered(), status=404, failure="invalid", form_url=None)
    controller_id = identifiers.from_uuid(uuid.UUID(bytes=link.payload[:_UUID_BYTES]), "ctl")
    consent_id = identifiers.from_uuid(uuid.UUID(bytes=link.payload[_UUID_BYTES:]), "con")
    public_url = web.service().settings.public_url
    with database.transaction(controller_id) as session:
        if request.args.get("format") == "json":
            return _as_json(receipt.build(session, consent_id=consent_id, public_url=public_url, at=at))
        language = framing.wished_language()
        page = receipt.render_html(session, consent_id=consent_id, public_url=public_url, language=language, at=at)
    return _as_page(page)


def _as_json(document: dict[str, object]) -> Response:
    answer = jsonify(document)
    answer.mimetype = receipt.MEDIA_TYPE
    answer.headers["Content-Disposition"] = 'attachment; filename="receipt.jsonld"'
    return answer


def _as_page(page: str) -> Response:
    answer = Response(page, mimetype="text/html")
    # The document carries its style with it, so that it can be kept as one file; no other style is let in.
    styles = [hashlib.sha256(style.encode()).digest() for style in _STYLE.findall(page)]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in styles)
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src {allowed}; base-uri 'none'; frame-ancestors 'none'"
    )
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer
