"""Shows decisions later: who asked about a person and when, what was answered, and what it rested on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import marshmallow as ma
from marshmallow import validate

from consent_service.accounts import api_keys
from consent_service.api import cursors, records
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import Channel, Identifier, PurposeKey, Text, Timestamp
from consent_service.api.parsing import complain, complaint
from consent_service.consent import decision_records
from consent_service.consent.decision_records import DecisionRecord, Filter
from consent_service.db.session import keyring_of
from consent_service.subjects import members

blueprint = ApiBlueprint("decisions", __name__, description="What was answered, and why.")

_PATH: Final = "/v1/decisions"
_USUAL_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which decisions are asked for."""

    subject_id: str
    only: Filter
    limit: int
    cursor: str | None


class DecisionQuerySchema(ma.Schema):
    """Whom a batch or stream is asked about."""

    subject_id = Identifier("sub", load_default=None)


class DecisionListQuerySchema(ma.Schema):
    """About whom, when and for what."""

    subject_id = Identifier("sub", required=True)
    since = Timestamp(load_default=None, data_key="from", metadata={"description": "From this moment on."})
    until = Timestamp(load_default=None, data_key="to", metadata={"description": "Before this moment."})
    purpose = PurposeKey(load_default=None)
    channel = Channel(load_default=None)
    limit = ma.fields.Integer(
        load_default=_USUAL_PAGE,
        validate=validate.Range(
            min=1, max=records.LONGEST_PAGE, error=complaint("out_of_range", f"Between 1 and {records.LONGEST_PAGE}.")
        ),
    )
    cursor = Text(longest=1000, load_default=None)

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> ListQuery:  # noqa: ANN401 - marshmallow's signature
        since: datetime | None = data["since"]
        until: datetime | None = data["until"]
        if since is not None and until is not None and until <= since:
            complain("before_from", "`to` lies after `from`.", field="to")
        only = Filter(since=since, until=until, purpose=data["purpose"], channel=data["channel"])
        return ListQuery(data["subject_id"], only, limit=data["limit"], cursor=data["cursor"])


class AskedBySchema(ma.Schema):
    """Who asked."""

    api_key_id = ma.fields.String(required=True)
    system = ma.fields.String(required=True, allow_none=True)


class CountsSchema(ma.Schema):
    """How many were answered what; of a stream that goes on, up to now."""

    allowed = ma.fields.Integer(required=True)
    denied = ma.fields.Integer(required=True)
    invalid = ma.fields.Integer(required=True)


class DecisionRecordSchema(ma.Schema):
    """A decision as it was answered. What speaks of a person is null where a batch is shown without one."""

    decision_id = ma.fields.String(required=True)
    kind = ma.fields.String(required=True, metadata={"description": "single, batch or stream"})
    asked_by = ma.fields.Nested(AskedBySchema, required=True)
    purpose = ma.fields.String(required=True)
    channel = ma.fields.String(required=True)
    as_of = Timestamp(required=True, allow_none=True)
    known_at = Timestamp(required=True, allow_none=True)
    recipient = ma.fields.String(required=True, allow_none=True)
    min_evidence = ma.fields.String(required=True, allow_none=True)
    counts = ma.fields.Nested(CountsSchema, required=True)
    evaluated_at = Timestamp(required=True)
    item = ma.fields.Integer(required=True, allow_none=True, metadata={"description": "Its place, from 0 on."})
    subject_id = ma.fields.String(required=True, allow_none=True)
    allowed = ma.fields.Boolean(required=True, allow_none=True)
    status = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)
    legal_basis = ma.fields.String(required=True, allow_none=True)
    consent_id = ma.fields.String(required=True, allow_none=True)
    ledger_entry_id = ma.fields.String(required=True, allow_none=True)
    notice_version = ma.fields.Integer(required=True, allow_none=True)
    obligations = ma.fields.List(ma.fields.String(), required=True)
    valid_until = Timestamp(required=True, allow_none=True)
    next_allowed_at = Timestamp(required=True, allow_none=True)


class DecisionPageSchema(ma.Schema):
    """What was answered about a person, newest first."""

    data = ma.fields.List(ma.fields.Nested(DecisionRecordSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route(f"{_PATH}/<id(dec):decision_id>", methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, DecisionRecordSchema)
@blueprint.arguments(DecisionQuerySchema, location="query")
def show_decision(act: Act, query: Mapping[str, Any], *, decision_id: str) -> dict[str, Any]:
    """Show a decision.

    Of a batch or stream the counts, and with `subject_id` what it answered about that person; 404 where it was not
    asked about them. An answer is found on the machine that gave it at once, and everywhere within seconds.
    """
    person = query["subject_id"]
    record = decision_records.get(
        act.session,
        act.settings.spool_dir,
        decision_id=decision_id,
        subject_ids=() if person is None else members.ids_of(act.session, person),
    )
    act.demand_purpose(record.call.purpose)
    return _shown(record, _systems(act))


@blueprint.route(_PATH, methods=["GET"])
@authorised("audit:read")
@blueprint.response(200, DecisionPageSchema)
@blueprint.arguments(DecisionListQuerySchema, location="query")
def list_decisions(act: Act, query: ListQuery) -> tuple[dict[str, Any], int, Mapping[str, str]]:
    """List what was answered about a person, newest first; after a merge, under any of their ids."""
    records.demand_subject(act, query.subject_id)
    keyring, of_list = keyring_of(act.session), f"{_PATH} {query.subject_id}"
    after = cursors.read_decision(keyring, of_list=of_list, text=query.cursor) if query.cursor else None
    found, place = decision_records.list_of_person(
        act.session,
        act.settings.spool_dir,
        subject_ids=members.ids_of(act.session, query.subject_id),
        only=query.only,
        after=after,
        limit=query.limit,
    )
    systems = _systems(act)
    cursor = cursors.write_decision(keyring, of_list=of_list, place=place) if place else None
    data = [_shown(record, systems) for record in found if act.may_use(record.call.purpose)]
    return {"data": data, "next_cursor": cursor}, 200, _link(act, query, cursor)


def _systems(act: Act) -> Mapping[str, str]:
    return {each.id: each.system for each in api_keys.list_all(act.session)}


def _shown(record: DecisionRecord, systems: Mapping[str, str]) -> dict[str, Any]:
    call, answer = record.call, record.answer
    return {
        "decision_id": call.decision_id,
        "kind": call.kind,
        "asked_by": {"api_key_id": call.api_key_id, "system": systems.get(call.api_key_id)},
        "purpose": call.purpose,
        "channel": call.channel,
        "as_of": call.as_of,
        "known_at": call.known_at,
        "recipient": call.recipient,
        "min_evidence": call.min_evidence,
        "counts": call,
        "evaluated_at": call.evaluated_at if answer is None else answer.evaluated_at,
        "item": answer and answer.item,
        "subject_id": answer and answer.subject_id,
        "allowed": answer and answer.allowed,
        "status": answer and answer.status,
        "reason": answer and answer.reason,
        "legal_basis": answer and answer.legal_basis,
        "consent_id": answer and answer.consent_id,
        "ledger_entry_id": answer and answer.ledger_entry_id,
        "notice_version": answer and answer.notice_version,
        "obligations": () if answer is None else answer.obligations,
        "valid_until": answer and answer.valid_until,
        "next_allowed_at": answer and answer.next_allowed_at,
    }


def _link(act: Act, query: ListQuery, cursor: str | None) -> Mapping[str, str]:
    """Return the Link header of a page, or nothing on the last one (RFC 8288)."""
    if cursor is None:
        return {}
    only = query.only
    asked = {
        "subject_id": query.subject_id,
        "from": only.since and only.since.isoformat(),
        "to": only.until and only.until.isoformat(),
        "purpose": only.purpose,
        "channel": only.channel,
        "limit": query.limit,
        "cursor": cursor,
    }
    named = urlencode({name: value for name, value in asked.items() if value is not None})
    return {"Link": f'<{act.settings.public_url}{_PATH}?{named}>; rel="next"'}
