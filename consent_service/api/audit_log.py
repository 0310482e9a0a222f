"""Gives out the audit log as a stranger can verify it: keys, signed heads, tiles and proofs, as C2SP writes them.

The prefix of a log's tiles is `/v1/audit`. A restored database goes on in a new epoch, and the same addresses then
speak of that one: whoever keeps tiles names the epoch with `?epoch=`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import marshmallow as ma
from flask import Response
from marshmallow import validate

from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Timestamp
from consent_service.api.parsing import complaint
from consent_service.api.records import find_allowed
from consent_service.audit import logs, published, tiles
from consent_service.audit.published import EpochSummary
from consent_service.consent import entries
from consent_service.errors import (
    AuditEntryUnknownError,
    EntryWaitsError,
    FieldProblem,
    InvalidInputError,
    ProofInvalidError,
    TileInvalidError,
    TileUnknownError,
)
from consent_service.web.problems import ProblemError

blueprint = ApiBlueprint("audit_log", __name__, description="The audit log, for whoever verifies it.")

_PATH: Final = "/v1/audit"
_TEXT: Final = "text/plain"
_BYTES: Final = "application/octet-stream"
_A_TEXT: Final = {"type": "string"}
_SOME_BYTES: Final = {"type": "string", "format": "binary"}
#: Leaf and signed head come within seconds where the service is well.
_WAIT_SECONDS: Final = "2"
#: A tile never changes within its epoch. It is for the caller alone, whose key says whose log this is.
_FOR_EVER: Final = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Authorization"}
_MOST_EPOCHS: Final = 2**31 - 1
_MOST_LEAVES: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ConsistencyQuery:
    """Which trees are compared."""

    epoch: int | None
    old_size: int
    size: int | None


class EpochQuerySchema(ma.Schema):
    """Which epoch is meant: the present one where none is named."""

    epoch = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(min=1, max=_MOST_EPOCHS, error=complaint("out_of_range", "Epochs count from 1.")),
        metadata={"description": "An earlier epoch of the log; the present one where it is left out."},
    )


class ConsistencyQuerySchema(EpochQuerySchema):
    """Which trees are compared."""

    old_size = ma.fields.Integer(
        required=True,
        data_key="from",
        validate=validate.Range(min=1, max=_MOST_LEAVES, error=complaint("out_of_range", "At least one leaf.")),
        metadata={"description": "The size of the tree that is known already."},
    )
    size = ma.fields.Integer(
        load_default=None,
        data_key="to",
        validate=validate.Range(min=1, max=_MOST_LEAVES, error=complaint("out_of_range", "At least one leaf.")),
        metadata={"description": "The size of the larger tree; that of the newest signed head where it is left out."},
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> ConsistencyQuery:  # noqa: ANN401 - marshmallow's signature
        return ConsistencyQuery(**data)


class ConsistencySchema(ma.Schema):
    """The proof that a tree begins with a smaller one (RFC 9162 §2.1.4); none is needed where they are the same."""

    epoch = ma.fields.Integer(required=True)
    old_size = ma.fields.Integer(required=True)
    size = ma.fields.Integer(required=True)
    hashes = ma.fields.List(ma.fields.String(), required=True, metadata={"description": "In base64."})


class SignedHeadSchema(ma.Schema):
    """The newest signed head of an epoch."""

    size = ma.fields.Integer(required=True)
    root = ma.fields.String(required=True, metadata={"description": "In base64."})
    signed_at = Timestamp(required=True)
    witnesses = ma.fields.Integer(required=True, metadata={"description": "How many cosigned it."})


class EpochSchema(ma.Schema):
    """One epoch of the log. `gap` is what the epoch before it lost, as its first leaf says it for ever."""

    epoch = ma.fields.Integer(required=True)
    origin = ma.fields.String(required=True)
    vkey = ma.fields.String(required=True)
    opened_at = Timestamp(required=True)
    size = ma.fields.Integer(required=True, metadata={"description": "With what is not under a signature yet."})
    root = ma.fields.String(required=True, metadata={"description": "In base64."})
    refused = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why nothing more is signed, where that is so."}
    )
    refused_at = Timestamp(required=True, allow_none=True)
    signed = ma.fields.Nested(SignedHeadSchema, required=True, allow_none=True)
    gap = ma.fields.Dict(required=True, allow_none=True)


class LogSchema(ma.Schema):
    """The log in all its epochs, oldest first."""

    data = ma.fields.List(ma.fields.Nested(EpochSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route(f"{_PATH}/vkey", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, _A_TEXT, content_type=_TEXT)
@blueprint.arguments(EpochQuerySchema, location="query")
def show_key(act: Act, query: Mapping[str, Any]) -> Response:
    """Give out the public key of the log (C2SP signed-note); compare it with the one in the privacy documentation."""
    return Response(f"{logs.get(act.session, epoch=query['epoch']).vkey}\n", mimetype=_TEXT)


@blueprint.route(f"{_PATH}/checkpoint", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, _A_TEXT, content_type=_TEXT)
@blueprint.arguments(EpochQuerySchema, location="query")
def show_checkpoint(act: Act, query: Mapping[str, Any]) -> Response:
    """Give out the newest signed head of the log, with the lines of its witnesses (C2SP tlog-checkpoint)."""
    return Response(published.get(act.session, epoch=query["epoch"]).head.text, mimetype=_TEXT)


@blueprint.route(f"{_PATH}/tile/<level>/<path:number>", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, _SOME_BYTES, content_type=_BYTES)
@blueprint.arguments(EpochQuerySchema, location="query")
def show_tile(act: Act, query: Mapping[str, Any], *, level: str, number: str) -> Response:
    """Give out a tile of hashes (C2SP tlog-tiles), such as `0/x001/234`, or `0/x001/235.p/17` of the unfilled ones.

    It may be kept for ever where the epoch is named.
    """
    return _answer_tile(act, f"tile/{level}/{number}", epoch=query["epoch"])


@blueprint.route(f"{_PATH}/tile/entries/<path:number>", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, _SOME_BYTES, content_type=_BYTES)
@blueprint.arguments(EpochQuerySchema, location="query")
def show_entries(act: Act, query: Mapping[str, Any], *, number: str) -> Response:
    """Give out the leaves under a tile of level 0 as an entry bundle (C2SP tlog-tiles)."""
    return _answer_tile(act, f"tile/entries/{number}", epoch=query["epoch"])


@blueprint.route(f"{_PATH}/entries/<id(aud):entry_id>/proof", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, _A_TEXT, content_type=_TEXT)
def show_entry_proof(act: Act, *, entry_id: str) -> Response:
    """Prove that an entry is in the log (C2SP tlog-proof), under the newest signed head of its epoch.

    The extra data is the leaf, so that the file and the key of the log are all that is needed to verify it. 409 while
    the entry waits for its place or for a signed head.
    """
    return _answer_proof(act, entry_id)


@blueprint.route("/v1/consents/<id(con):consent_id>/proof", methods=["GET"])
@authorised("subjects:read")
@blueprint.response(200, _A_TEXT, content_type=_TEXT)
def show_consent_proof(act: Act, *, consent_id: str) -> Response:
    """Prove that a declaration is in the log: the newest act by which it was given, or else its newest act.

    404 while it only waits for confirmation. The file is that of the audit entry.
    """
    find_allowed(act, consent_id)
    entry_id = entries.find_audit_entry(act.session, consent_id=consent_id)
    if entry_id is None:
        raise AuditEntryUnknownError
    return _answer_proof(act, entry_id)


@blueprint.route(f"{_PATH}/consistency", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, ConsistencySchema)
@blueprint.arguments(ConsistencyQuerySchema, location="query")
def show_consistency(act: Act, query: ConsistencyQuery) -> dict[str, Any]:
    """Prove that the signed tree begins with a smaller one: nothing in it was changed since."""
    log = published.get(act.session, epoch=query.epoch)
    try:
        proof = published.prove_consistency(act.session, log, old_size=query.old_size, size=query.size)
    except ProofInvalidError:
        detail = "Between `from` and the size of the newest signed head."
        pointer = "/from" if query.size is None or query.old_size > query.size else "/to"
        raise InvalidInputError((FieldProblem(pointer, "out_of_range", detail),)) from None
    return {
        "epoch": log.log.epoch,
        "old_size": proof.old_size,
        "size": proof.size,
        "hashes": [_base64(each) for each in proof.hashes],
    }


@blueprint.route(f"{_PATH}/logs", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, LogSchema)
def list_logs(act: Act) -> dict[str, Any]:
    """Show the log in all its epochs, and what was lost between them."""
    return {"data": [_shown(each) for each in published.list_epochs(act.session)], "next_cursor": None}


def _answer_tile(act: Act, path: str, *, epoch: int | None) -> Response:
    try:
        place = tiles.read_path(path)
    except TileInvalidError:
        raise TileUnknownError from None
    content = published.tile(act.session, published.get(act.session, epoch=epoch), place)
    answer = Response(content, mimetype=_BYTES)
    if epoch is not None:
        answer.headers.update(_FOR_EVER)
    return answer


def _answer_proof(act: Act, entry_id: str) -> Response:
    try:
        return Response(published.prove(act.session, entry_id=entry_id), mimetype=_TEXT)
    except EntryWaitsError as error:
        raise ProblemError(error.code, headers={"Retry-After": _WAIT_SECONDS}) from None


def _shown(epoch: EpochSummary) -> dict[str, Any]:
    log, head = epoch.log, epoch.head
    signed = head and {
        "size": head.size,
        "root": _base64(head.root),
        "signed_at": head.signed_at,
        "witnesses": len(head.cosignatures),
    }
    return {
        "epoch": log.epoch,
        "origin": log.origin,
        "vkey": log.vkey,
        "opened_at": log.opened_at,
        "size": log.size,
        "root": _base64(log.root),
        "refused": log.refused,
        "refused_at": log.refused_at,
        "signed": signed,
        "gap": epoch.gap,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
