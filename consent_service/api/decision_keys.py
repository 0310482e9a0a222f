"""Publishes the keys that verify signed statements about decisions, to anybody."""

from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma

from consent_service import web
from consent_service.api.blueprints import ApiBlueprint
from consent_service.registry import controllers
from consent_service.vault import keys
from consent_service.web import access
from consent_service.web.access import caller
from consent_service.web.problems import ProblemError

blueprint = ApiBlueprint("decision_keys", __name__, description="Keys that verify statements about decisions.")

#: A verifier may keep the keys this long, in seconds; a key is never taken away, so an old list is no danger.
_KEPT_SECONDS: Final = 300


class JwkSchema(ma.Schema):
    """One public key (RFC 7517, RFC 8037)."""

    kty = ma.fields.String(required=True)
    crv = ma.fields.String(required=True)
    x = ma.fields.String(required=True)
    kid = ma.fields.String(required=True)
    use = ma.fields.String(required=True)
    alg = ma.fields.String(required=True)


class JwkSetSchema(ma.Schema):
    """The public keys of a controller, the newest first; none where it does not sign."""

    keys = ma.fields.List(ma.fields.Nested(JwkSchema), required=True)


@blueprint.route("/.well-known/consent-decision-keys/<controller_key>", methods=["GET"])
@caller(access.PUBLIC)
@blueprint.response(200, JwkSetSchema)
@blueprint.doc(security=[])
def list_keys(controller_key: str) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """List the public keys that verify a controller's statements, as a JWK Set; open to anybody."""
    database = web.service().database
    with database.platform_transaction() as session:
        controller_id = controllers.find_id(session, key=controller_key)
    if controller_id is None:
        raise ProblemError("controller_unknown")
    with database.transaction(controller_id) as session:
        found = [key.public_jwk() for key in keys.list_signing(session)]
    return {"keys": found}, 200, {"Cache-Control": f"public, max-age={_KEPT_SECONDS}"}
