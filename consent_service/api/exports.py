"""Gives out files that take a while: lists of the audit log, and bundles that prove what a person said."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import marshmallow as ma
from flask import Response, request

from consent_service import web
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Choice, Identifier, Timestamp
from consent_service.api.parsing import complain
from consent_service.audit.grammar import LONGEST_QUERY
from consent_service.db.session import Database, controller_of
from consent_service.errors import ExportExpiredError, ExportNotReadyError
from consent_service.exports import files, jobs
from consent_service.exports.jobs import ExportState
from consent_service.rights import audit_export, evidence_bundle
from consent_service.rights.audit_export import Asked
from consent_service.rights.bundle_facts import About
from consent_service.web.problems import ProblemError

blueprint = ApiBlueprint("exports", __name__, description="Files that take a while.")

#: Where the server puts a place for a file, if it can send piece by piece while it answers others.
FILE_KEY: Final = "consent_service.file"
#: Where the server says that it carries as many streams and files as it can.
BUSY_KEY: Final = "consent_service.files_busy"

_PATH: Final = "/v1/exports"
_EXPORT: Final = f"{_PATH}/<id(exp):export_id>"


@dataclass(frozen=True, slots=True)
class SentExport:
    """What file is wanted."""

    kind: str
    format: Literal["ndjson", "csv", "bundle"]
    q: str = field(default="", repr=False)
    subject_id: str | None = None
    consent_id: str | None = None


class NewExportSchema(ma.Schema):
    """What file is wanted: entries of the audit log that a query asks for, or a bundle of evidence about one thing."""

    kind = Choice(audit_export.KIND, required=True)
    format = Choice("ndjson", "csv", evidence_bundle.FORMAT, required=True)
    q = ma.fields.String(
        metadata={
            "maxLength": LONGEST_QUERY,
            "description": "As `POST /v1/audit/queries` takes it; left out, it asks for everything. Not of a bundle.",
        }
    )
    subject_id = Identifier("sub")
    consent_id = Identifier("con")

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentExport:  # noqa: ANN401 - marshmallow's signature
        named = {"subject_id", "consent_id"} & data.keys()
        if data["format"] == evidence_bundle.FORMAT:
            if len(named) != 1:
                complain("one_of", "A bundle is about exactly one of `subject_id` and `consent_id`.")
            if "q" in data:
                complain("not_of_a_bundle", "A bundle is about a person or a declaration, not a query.", field="q")
        elif named:
            complain("only_of_a_bundle", "Name the person in `q`, as in subject:sub_….", field=min(named))
        return SentExport(**data)


class QueuedExportSchema(ma.Schema):
    """A file that is going to be made."""

    export_id = ma.fields.String(required=True)
    status = ma.fields.String(required=True)


class ExportSchema(ma.Schema):
    """How far a file is."""

    export_id = ma.fields.String(required=True, attribute="id")
    kind = ma.fields.String(required=True)
    status = Choice("queued", "running", "ready", "failed", "expired", required=True)
    done = ma.fields.Integer(required=True, metadata={"description": "Entries that are written."})
    total = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "As counted when it began; null before."}
    )
    created_at = Timestamp(required=True)
    started_at = Timestamp(required=True, allow_none=True)
    finished_at = Timestamp(required=True, allow_none=True)
    expires_at = Timestamp(required=True)
    size = ma.fields.Integer(required=True, allow_none=True, metadata={"description": "Bytes of the finished file."})
    sha256 = ma.fields.String(required=True, allow_none=True, metadata={"description": "Of the finished file, in hex."})
    media_type = ma.fields.String(required=True)
    file_name = ma.fields.String(required=True)
    failure = ma.fields.String(required=True, allow_none=True, metadata={"description": "Why it cannot be made."})


@blueprint.route(_PATH, methods=["POST"])
@authorised("exports", changes=True)
@blueprint.response(202, QueuedExportSchema)
@blueprint.arguments(NewExportSchema)
def ask_for_export(act: Act, sent: SentExport) -> dict[str, Any]:
    """Ask for a file, which is made in the background and kept for seven days.

    The query may name a person by an address; it is stored with the person's id in its place. A key that is limited to
    purposes gets the entries of these. Asking is written into the audit log.

    A bundle is a zip about a person or a declaration: what was said, word for word, with the evidence opened, and the
    proofs that a stranger verifies offline. Making and fetching it are looks at personal data, and take the scope
    `subjects:read` as well.
    """
    within = act.api_key.purposes
    if sent.format == evidence_bundle.FORMAT:
        act.demand_scope("subjects:read")
        about = About(sent.subject_id, sent.consent_id, within=within)
        export_id = evidence_bundle.ask(act.session, about=about, actor=act.actor, at=act.at)
    else:
        asked = Asked(sent.format, q=sent.q, within=within)
        export_id = audit_export.ask(act.session, asked=asked, actor=act.actor, at=act.at)
    return {"export_id": export_id, "status": "queued"}


@blueprint.route(_EXPORT, methods=["GET"])
@authorised("exports")
@blueprint.response(200, ExportSchema)
def show_export(act: Act, *, export_id: str) -> ExportState:
    """Show how far a file is."""
    return _find_allowed(act, export_id)


@blueprint.route(f"{_EXPORT}/file", methods=["GET"])
@authorised("exports")
@blueprint.doc(
    responses={
        200: {
            "description": "The file.",
            "content": {
                each: {"schema": {"type": "string"}} for each in ("application/x-ndjson", "text/csv", "application/zip")
            },
        }
    }
)
def fetch_export(act: Act, *, export_id: str) -> Response:
    """Fetch a finished file; 409 while it is not ready, 410 once it has expired or the person was erased."""
    found = _find_allowed(act, export_id)
    if found.parameters.get("format") == evidence_bundle.FORMAT:
        act.demand_scope("subjects:read")
    if found.status == "expired":
        raise ExportExpiredError
    if found.status != "ready":
        raise ExportNotReadyError
    if request.environ.get(BUSY_KEY):
        raise ProblemError("unavailable", headers={"Retry-After": "5"})
    evidence_bundle.note_fetched(act.session, export=found, actor=act.actor, at=act.at)
    return _answer(found, _pieces(web.service().database, controller_of(act.session), found))


def _find_allowed(act: Act, export_id: str) -> ExportState:
    """Get an export that the key may see: one that is limited to purposes sees what was limited to some of these."""
    found = jobs.get(act.session, export_id=export_id, at=act.at)
    limit = act.api_key.purposes
    if limit is not None and found.status != "expired":
        within = found.parameters.get("purposes")
        if within is None or not set(within) <= set(limit):
            raise ProblemError("purpose_not_allowed")
    return found


def _pieces(database: Database, controller_id: str, found: ExportState) -> Iterator[bytes]:
    """Read a file piece by piece, each in a transaction of its own: whoever fetches slowly holds up nothing."""
    for number in range(found.chunks):
        with database.transaction(controller_id) as session:
            piece = files.read(session, export_id=found.id, subject_id=found.subject_id, number=number)
        yield piece


def _answer(found: ExportState, pieces: Iterator[bytes]) -> Response:
    place: list[Iterator[bytes]] | None = request.environ.get(FILE_KEY)
    headers: Mapping[str, str] = {
        "Content-Disposition": f'attachment; filename="{found.file_name}"',
        "Content-Length": str(found.size),
        "Cache-Control": "no-store",
    }
    if request.method == "HEAD":
        return Response(status=200, content_type=found.media_type, headers=headers)
    if place is None:
        return Response(pieces, content_type=found.media_type, headers=headers)
    place.append(pieces)
    answer = Response(content_type=found.media_type, headers=headers)
    # What is sent comes from the server's own hand, after this answer's head.
    answer.automatically_set_content_length = False
    return answer
