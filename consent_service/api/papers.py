"""Gives out the proof of a declaration: its evidence for the controller, and the receipt for the person."""

import base64
import hashlib
import re
from typing import Any, Final

import marshmallow as ma
import orjson
from flask import Response, abort, jsonify, request

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Timestamp
from consent_service.api.records import find_allowed
from consent_service.consent import evidence, proof_document, receipt
from consent_service.language import catalogues

blueprint = ApiBlueprint("papers", __name__, description="Proof of a declaration.")

_HTML: Final = "text/html"
_JSON: Final = "application/json"
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_REASON: Final = "evidence was asked for through the API"


class EvidencePieceSchema(ma.Schema):
    """One piece of evidence: what was shown, word for word, and what happened."""

    evidence_id = ma.fields.String(required=True)
    recorded_at = Timestamp(required=True)

    class Meta:
        """More stands in a piece than is promised here."""

        unknown = ma.INCLUDE


class OpenedEvidenceSchema(ma.Schema):
    """The evidence of one declaration, oldest first."""

    consent_id = ma.fields.String(required=True)
    evidence = ma.fields.List(ma.fields.Nested(EvidencePieceSchema), required=True)


@blueprint.route("/v1/consents/<id(con):consent_id>/evidence", methods=["GET"])
@authorised("subjects:read")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=_HTML, success=True)
@blueprint.response(200, OpenedEvidenceSchema)
def show_evidence(act: Act, *, consent_id: str) -> Response:
    """Show the evidence of a declaration.

    JSON, or a page to print for whoever accepts text/html. Every look is written into the audit log.
    """
    media_type = _wanted(_JSON, _HTML)
    find_allowed(act, consent_id)
    opened = evidence.reveal(act.session, consent_id=consent_id, reason=_REASON, actor=act.actor, at=act.at)
    if media_type == _HTML:
        return _printable(proof_document.render_html(act.session, opened, language=_language()))
    return jsonify(proof_document.as_json(opened))


@blueprint.route("/v1/consents/<id(con):consent_id>/receipt", methods=["GET"])
@authorised("subjects:read")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=_HTML, success=True)
@blueprint.response(200, {"type": "object"}, content_type=receipt.MEDIA_TYPE)
def show_receipt(act: Act, *, consent_id: str) -> Response:
    """Give out the receipt of a declaration.

    JSON-LD (ISO/IEC TS 27560, DPV), or a page to print for whoever accepts text/html. It names nobody's address.
    """
    media_type = _wanted(receipt.MEDIA_TYPE, _JSON, _HTML)
    find_allowed(act, consent_id)
    told: dict[str, Any] = {"consent_id": consent_id, "public_url": act.settings.public_url, "at": act.at}
    if media_type == _HTML:
        return _printable(receipt.render_html(act.session, language=_language(), **told))
    return Response(orjson.dumps(receipt.build(act.session, **told)), mimetype=media_type)


def _wanted(*offered: str) -> str:
    """Return the media type that the caller likes best; the first one where it does not mind."""
    if not request.accept_mimetypes:
        return offered[0]
    return request.accept_mimetypes.best_match(offered) or abort(406)


def _language() -> str:
    return catalogues.negotiate(request.headers.get("Accept-Language"), catalogues.offered())


def _printable(html: str) -> Response:
    """Answer with a page that carries its style inside and may load and run nothing."""
    digests = [hashlib.sha256(style.encode()).digest() for style in _STYLE.findall(html)]
    styles = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    answer = Response(html, mimetype=_HTML)
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    answer.headers["Vary"] = "Accept, Accept-Language"
    return answer
