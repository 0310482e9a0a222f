"""Shows the audit log to a controller's systems: entries by query, and one with what proves it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import marshmallow as ma
from marshmallow import validate

from consent_service.api import cursors, records
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Text, Timestamp
from consent_service.api.parsing import complaint
from consent_service.audit.grammar import LONGEST_QUERY, AddressTerm, Query
from consent_service.audit.query_values import QueryProblem
from consent_service.consent import log_queries
from consent_service.db.session import keyring_of
from consent_service.errors import AuditQueryInvalidError

blueprint = ApiBlueprint("audit_entries", __name__, description="What happened, by whom, about whom.")

_PATH: Final = "/v1/audit/entries"
_USUAL_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """What is asked for, and which page of it."""

    q: str
    limit: int
    cursor: str | None


class EntryQuerySchema(ma.Schema):
    """What is asked for, in the grammar of docs/audit-queries.md."""

    q = ma.fields.String(
        load_default="",
        metadata={
            "maxLength": LONGEST_QUERY,
            "description": "Such as `action:consent.* -actor:system created:>=2026-11-01`; empty asks for everything.",
        },
    )
    limit = ma.fields.Integer(
        load_default=_USUAL_PAGE,
        validate=validate.Range(
            min=1, max=records.LONGEST_PAGE, error=complaint("out_of_range", f"Between 1 and {records.LONGEST_PAGE}.")
        ),
    )
    cursor = Text(longest=1000, load_default=None)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> EntryQuery:  # noqa: ANN401 - marshmallow's signature
        return EntryQuery(**data)


class LogEntrySchema(ma.Schema):
    """An entry of the audit log: what it is about, what it says, and its place in the log once it has one."""

    entry_id = ma.fields.String(required=True)
    type = ma.fields.String(required=True)
    occurred_at = Timestamp(required=True)
    actor = ma.fields.String(required=True, allow_none=True)
    subject_id = ma.fields.String(required=True, allow_none=True)
    purpose = ma.fields.String(required=True, allow_none=True)
    channel = ma.fields.String(required=True, allow_none=True)
    request_id = ma.fields.String(required=True, allow_none=True)
    stream = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "What the entry is about, as one line of acts."}
    )
    number = ma.fields.Integer(required=True, allow_none=True, metadata={"description": "Its number in the stream."})
    payload = ma.fields.Dict(required=True, allow_none=True)
    payload_status = ma.fields.String(
        required=True, metadata={"description": "opened, erased with the person's key, or damaged"}
    )
    epoch = ma.fields.Integer(required=True, allow_none=True)
    leaf_index = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null while it waits for its place."}
    )


class ProvenEntrySchema(LogEntrySchema):
    """An entry with what a verifier needs: the leaf, and the key and payload that open its commitment."""

    commit = ma.fields.String(required=True, metadata={"description": "HMAC-SHA-256 of the payload, in hex."})
    entry_key = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The key of the commitment, in base64."}
    )
    canonical_payload = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The payload, byte for byte as it was committed to."}
    )
    leaf = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The bytes of the leaf, in base64, once integrated."}
    )


class LogPageSchema(ma.Schema):
    """Entries, newest first."""

    data = ma.fields.List(ma.fields.Nested(LogEntrySchema), required=True)
    q = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The query as it was run, with ids in the place of addresses; null where nobody was meant."
        },
    )
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route(_PATH, methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, LogPageSchema)
@blueprint.arguments(EntryQuerySchema, location="query")
def list_entries(act: Act, sent: EntryQuery) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """List entries of the audit log, newest first.

    An address in the query is refused, for none may stand in a URL: POST /v1/audit/queries takes it. A key that is
    limited to purposes is shown the entries of these.
    """
    asked = log_queries.read(act.session, sent.q, within=act.api_key.purposes)
    if asked.addresses:
        raise AuditQueryInvalidError(
            tuple(
                QueryProblem(
                    code="address_in_url",
                    detail="An address must not stand in a URL. Send the query in the body of POST /v1/audit/queries.",
                    column=term.column,
                    length=term.length,
                )
                for term in asked.addresses
            )
        )
    shown = _page(act, sent, asked)
    return shown, 200, _link(act, sent, shown)


@blueprint.route("/v1/audit/queries", methods=["POST"])
@authorised("audit:read")
@blueprint.response(200, LogPageSchema)
@blueprint.arguments(EntryQuerySchema)
def query_entries(act: Act, sent: EntryQuery) -> dict[str, Any]:
    """List entries of the audit log, newest first; the query may name a person by an address.

    The answer has the query with `subject:sub_…` in its place, for the next call or an address bar. Whether an address
    is known, and under which id, is told to keys with `subjects:read` alone.
    """
    typed = log_queries.read(act.session, sent.q, within=act.api_key.purposes)
    if typed.of(AddressTerm):
        act.demand_scope("subjects:read")
    asked = log_queries.resolve(act.session, typed)
    if asked is None:
        return {"data": [], "q": None, "next_cursor": None}
    return _page(act, sent, asked)


@blueprint.route(f"{_PATH}/<id(aud):entry_id>", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, ProvenEntrySchema)
def show_entry(act: Act, *, entry_id: str) -> dict[str, Any]:
    """Show an entry with the leaf and the opening of its commitment, for a verifier."""
    entry = log_queries.get(act.session, entry_id=entry_id)
    act.demand_purpose(entry.purpose)
    found, opening = entry.found, entry.found.opening
    return log_queries.as_row(entry) | {
        "commit": found.commit.hex(),
        "entry_key": opening.entry_key and base64.b64encode(opening.entry_key).decode(),
        "canonical_payload": opening.plaintext and opening.plaintext.decode(),
        "leaf": None if found.leaf_index is None else base64.b64encode(found.leaf).decode(),
    }


def _page(act: Act, sent: EntryQuery, asked: Query) -> dict[str, Any]:
    # A cursor is good for one query, by whichever door it came.
    keyring, of_list = keyring_of(act.session), f"{_PATH} {asked.text}"
    after = cursors.read_entry(keyring, of_list=of_list, text=sent.cursor) if sent.cursor else None
    found = log_queries.page(act.session, asked=asked, within=act.api_key.purposes, after=after, limit=sent.limit)
    cursor = cursors.write_entry(keyring, of_list=of_list, entry_id=found.next_after) if found.next_after else None
    return {"data": [log_queries.as_row(each) for each in found.entries], "q": asked.text, "next_cursor": cursor}


def _link(act: Act, sent: EntryQuery, shown: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the Link header of a page, or nothing on the last one (RFC 8288)."""
    if shown["next_cursor"] is None:
        return {}
    named = urlencode({"q": shown["q"], "limit": sent.limit, "cursor": shown["next_cursor"]})
    return {"Link": f'<{act.settings.public_url}{_PATH}?{named}>; rel="next"'}
