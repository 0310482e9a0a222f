"""Shows what is on record: a declaration, a person's standing choices, and their history."""

from typing import Any, Final

import marshmallow as ma
from flask import Response, jsonify, request
from marshmallow import validate

from consent_service.api import cursors
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Text, Timestamp
from consent_service.api.parsing import complaint
from consent_service.consent import records
from consent_service.consent.records import ConsentRecord
from consent_service.db.session import keyring_of
from consent_service.errors import SubjectUnknownError
from consent_service.subjects import identity
from consent_service.subjects.identity import SubjectReference

blueprint = ApiBlueprint("records", __name__, description="What is on record.")

LONGEST_PAGE: Final = 200
_USUAL_PAGE: Final = 50


class SourceSchema(ma.Schema):
    """Where a yes came from, as far as that is known; a source that proves defective is recalled by these."""

    form = ma.fields.String(required=True, allow_none=True, attribute="form_id")
    form_version = ma.fields.Integer(required=True, allow_none=True)
    api_key = ma.fields.String(required=True, allow_none=True, attribute="api_key_id")
    import_label = ma.fields.String(required=True, allow_none=True, data_key="import")


class RecordedEntrySchema(ma.Schema):
    """One act or fact of the ledger, which never changes."""

    id = ma.fields.String(required=True)
    consent_id = ma.fields.String(required=True)
    contact_point_id = ma.fields.String(required=True, allow_none=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    legal_basis = ma.fields.String(required=True)
    notice_version = ma.fields.Integer(required=True, allow_none=True)
    language = ma.fields.String(required=True, allow_none=True)
    evidence_id = ma.fields.String(required=True, allow_none=True)
    evidence_grade = ma.fields.String(required=True)
    occurred_at = Timestamp(required=True)
    confirmed_at = Timestamp(required=True, allow_none=True)
    effective_at = Timestamp(required=True)
    recorded_at = Timestamp(required=True)
    expires_at = Timestamp(required=True, allow_none=True)
    reason = ma.fields.String(required=True)
    actor = ma.fields.String(required=True)
    source = ma.fields.Nested(SourceSchema, required=True)


class ConsentRecordSchema(ma.Schema):
    """One declaration as it stands now, with the ledger entries that say so."""

    consent_id = ma.fields.String(required=True)
    subject_id = ma.fields.String(required=True, allow_none=True)
    contact_point_id = ma.fields.String(required=True, allow_none=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    status = ma.fields.String(required=True)
    status_term = ma.fields.String(required=True, metadata={"description": "The status in DPV."})
    legal_basis = ma.fields.String(required=True)
    notice_version = ma.fields.Integer(required=True, allow_none=True)
    language = ma.fields.String(required=True, allow_none=True)
    evidence_grade = ma.fields.String(required=True, allow_none=True)
    requested_at = Timestamp(required=True, allow_none=True)
    given_at = Timestamp(required=True, allow_none=True)
    confirmed_at = Timestamp(required=True, allow_none=True)
    withdrawn_at = Timestamp(required=True, allow_none=True)
    expires_at = Timestamp(required=True, allow_none=True)
    entries = ma.fields.List(ma.fields.Nested(RecordedEntrySchema), required=True)


class CurrentConsentSchema(ma.Schema):
    """How one choice stands now. Whether the person may be contacted is what a check answers."""

    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    contact_point_id = ma.fields.String(required=True, allow_none=True)
    status = ma.fields.String(required=True)
    status_term = ma.fields.String(required=True)
    consent_id = ma.fields.String(required=True)
    legal_basis = ma.fields.String(required=True)
    notice_version = ma.fields.Integer(required=True, allow_none=True)
    language = ma.fields.String(required=True, allow_none=True)
    since = Timestamp(required=True)
    confirmed_at = Timestamp(required=True, allow_none=True)
    expires_at = Timestamp(required=True, allow_none=True)


class CurrentConsentsSchema(ma.Schema):
    """A person's choices, by purpose and channel."""

    data = ma.fields.List(ma.fields.Nested(CurrentConsentSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class HistorySchema(ma.Schema):
    """Ledger entries about a person, newest first."""

    data = ma.fields.List(ma.fields.Nested(RecordedEntrySchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class PageSchema(ma.Schema):
    """Which page of a list."""

    limit = ma.fields.Integer(
        load_default=_USUAL_PAGE,
        validate=validate.Range(
            min=1, max=LONGEST_PAGE, error=complaint("out_of_range", f"Between 1 and {LONGEST_PAGE}.")
        ),
    )
    cursor = Text(longest=1000, load_default=None)


@blueprint.route("/v1/consents/<id(con):consent_id>", methods=["GET"])
@authorised("subjects:read")
@blueprint.response(200, ConsentRecordSchema)
def show_consent(act: Act, *, consent_id: str) -> ConsentRecord:
    """Show one declaration."""
    return find_allowed(act, consent_id)


@blueprint.route("/v1/subjects/<id(sub):subject_id>/consents", methods=["GET"])
@authorised("subjects:read")
@blueprint.response(200, CurrentConsentsSchema)
def list_consents(act: Act, *, subject_id: str) -> dict[str, Any]:
    """List how a person's choices stand now."""
    demand_subject(act, subject_id)
    standing = records.current(act.session, subject_id=subject_id, at=act.at)
    return {"data": [each for each in standing if act.may_use(each.purpose)], "next_cursor": None}


@blueprint.route("/v1/subjects/<id(sub):subject_id>/history", methods=["GET"])
@authorised("subjects:read")
@blueprint.response(200, HistorySchema)
@blueprint.arguments(PageSchema, location="query")
def list_history(act: Act, page: dict[str, Any], *, subject_id: str) -> Response:
    """List every ledger entry about a person, newest first."""
    demand_subject(act, subject_id)
    keyring, path = keyring_of(act.session), request.path
    before = cursors.read(keyring, of_list=path, text=page["cursor"]) if page["cursor"] else None
    found = records.history(act.session, subject_id=subject_id, before=before, limit=page["limit"])
    cursor = cursors.write(keyring, of_list=path, place=found.next_cursor) if found.next_cursor else None
    entries = [each for each in found.entries if act.may_use(each.purpose)]
    answer = jsonify(HistorySchema().dump({"data": entries, "next_cursor": cursor}))
    if cursor:
        # The list's own address, in which nothing speaks of the person but the opaque id (RFC 8288).
        url = f"{act.settings.public_url}{path}?limit={page['limit']}&cursor={cursor}"
        answer.headers["Link"] = f'<{url}>; rel="next"'
    return answer


def find_allowed(act: Act, consent_id: str) -> ConsentRecord:
    """Get a declaration that the key may see; raises ConsentUnknownError and ProblemError."""
    record = records.get(act.session, consent_id=consent_id, at=act.at)
    act.demand_purpose(record.purpose)
    return record


def demand_subject(act: Act, subject_id: str) -> None:
    """Raise SubjectUnknownError where the controller knows nobody with this id."""
    if identity.find_subject(act.session, SubjectReference(id=subject_id)) is None:
        raise SubjectUnknownError
