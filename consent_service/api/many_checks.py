"""Answers for thousands of people in one call: each in its place, and the rest of them whatever one of them is."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import marshmallow as ma
import orjson
from flask import Response, request
from marshmallow import validate

from consent_service.api import asking, many_asking
from consent_service.api.asking import Caller
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import PurposeKey, Text, Timestamp
from consent_service.api.many_asking import Asked, Running
from consent_service.api.parsing import complaint
from consent_service.api.subject_references import SubjectReferenceSchema
from consent_service.consent import check, rules
from consent_service.web.problems import ProblemError, when_unable

blueprint = ApiBlueprint("many_checks", __name__, description="May these people be contacted?")

#: A batch holds no more; a stream has no end.
MOST_ITEMS: Final = 10_000
LARGEST_BATCH_BYTES: Final = 4 * 1024 * 1024
STREAM_MEDIA_TYPE: Final = "application/x-ndjson"

#: Where the server puts a place for the stream, if it can send and receive at the same time.
STREAM_KEY: Final = "consent_service.stream"
#: Where the server says that it carries as many streams as it can.
BUSY_KEY: Final = "consent_service.streams_busy"


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch as it was sent; what each item says is read one by one."""

    purpose: str
    channel: str
    subjects: list[Any] = field(repr=False)
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """What a stream asks of everybody."""

    purpose: str
    channel: str
    as_of: datetime | None = None


class ItemSchema(SubjectReferenceSchema):
    """Who is meant, and what the caller calls the question; answers come in the order of the questions anyway."""

    correlation_id = Text(longest=many_asking.LONGEST_CORRELATION_ID)


class _Items(ma.fields.Field[list[Any]]):
    """The items of a batch, which are read one by one later: here it only counts how many there are."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401 - marshmallow's signature
        del attr, data, kwargs
        if not isinstance(value, list):
            raise ma.ValidationError(complaint("not_a_list", "A list is expected here."))
        if not 1 <= len(value) <= MOST_ITEMS:
            raise ma.ValidationError(complaint("item_count", f"Between 1 and {MOST_ITEMS} items are expected here."))
        return value


class BatchSchema(ma.Schema):
    """Many people, one purpose and channel. An item that cannot be read is answered no in its place."""

    purpose = PurposeKey(required=True)
    channel = Text(longest=100, required=True)
    as_of = Timestamp(allow_none=True, metadata={"description": "What held then? Not in the future."})
    subjects = _Items(
        required=True,
        metadata={
            "type": "array",
            "items": {},
            "minItems": 1,
            "maxItems": MOST_ITEMS,
            "description": "Subject references, each with an optional `correlation_id`.",
        },
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentBatch:  # noqa: ANN401 - marshmallow's signature
        return SentBatch(**data)


class StreamQuerySchema(ma.Schema):
    """What is asked of everybody in the stream."""

    purpose = PurposeKey(required=True)
    channel = Text(longest=100, required=True)
    as_of = Timestamp(metadata={"description": "What held then? Not in the future."})

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> StreamQuery:  # noqa: ANN401 - marshmallow's signature
        return StreamQuery(**data)


class ResultSchema(ma.Schema):
    """The answer about one of many; `valid_until` stands only in a yes that is about now."""

    correlation_id = ma.fields.String(required=True, allow_none=True)
    allowed = ma.fields.Boolean(required=True)
    status = ma.fields.String(required=True, validate=validate.OneOf(tuple(rules.DPV_STATUS)))
    reason = ma.fields.String(required=True)
    subject_id = ma.fields.String(required=True, allow_none=True)
    valid_until = Timestamp()


class AnswerCountsSchema(ma.Schema):
    """How many were answered how; `invalid` ones are among neither of the others."""

    allowed = ma.fields.Integer(required=True)
    denied = ma.fields.Integer(required=True)
    invalid = ma.fields.Integer(required=True)


class BatchAnswerSchema(ma.Schema):
    """The answers in the order of the questions. `valid_until` is the earliest of the yeses, null without one."""

    evaluated_at = Timestamp(required=True)
    valid_until = Timestamp(required=True, allow_none=True)
    decision_id = ma.fields.String(required=True)
    counts = ma.fields.Nested(AnswerCountsSchema, required=True)
    results = ma.fields.List(ma.fields.Nested(ResultSchema), required=True)


@blueprint.route("/v1/checks/batch", methods=["POST"])
@asking.asks(largest_body_bytes=LARGEST_BATCH_BYTES)
@when_unable(allowed=False, reason="unavailable")
@blueprint.response(200, BatchAnswerSchema)
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": BatchSchema}}})
def decide_batch(caller: Caller) -> Response:
    """Check up to 10,000 people for one purpose and channel.

    The answers stand in the order of the questions. One that cannot be read is answered no, `invalid_reference`.
    """
    sent = many_asking.read_batch(request, BatchSchema())
    running = _begin(caller, "batch", sent.purpose, sent.channel, sent.as_of)
    results = []
    for chunk in many_asking.chunks(sent.subjects):
        results += running.answer([many_asking.read_item(item, caller.api_key.system) for item in chunk])
    document = {
        "evaluated_at": caller.at,
        "valid_until": running.valid_until,
        "decision_id": running.decision_id,
        "counts": {"allowed": running.allowed, "denied": running.denied, "invalid": running.invalid},
        "results": results,
    }
    return Response(orjson.dumps(document, option=orjson.OPT_UTC_Z), mimetype="application/json")


@blueprint.route("/v1/checks/stream", methods=["POST"])
@asking.asks(reads_body=False)
@when_unable(allowed=False, reason="unavailable")
@blueprint.arguments(StreamQuerySchema, location="query")
@blueprint.doc(
    requestBody={"required": True, "content": {STREAM_MEDIA_TYPE: {"schema": {"type": "string"}}}},
    responses={
        200: {
            "description": "One answer a line, in the order of the lines that were sent.",
            "content": {STREAM_MEDIA_TYPE: {"schema": {"type": "string"}}},
            "headers": {
                name: {"schema": {"type": "string"}} for name in ("Evaluated-At", "Valid-Until", "Decision-Id")
            },
        }
    },
)
def decide_stream(caller: Caller, asked: StreamQuery) -> Response:
    """Check as many people as you like: one subject reference a line in, one answer a line out, in the same order.

    A line that cannot be read is answered no in its place, and so is everybody who could not be looked for. Answers
    come in pieces while you send. A stream that stands still for 30 seconds is ended; one that is ended early has
    fewer answers than questions, and nobody without an answer may be contacted.
    """
    if request.environ.get(BUSY_KEY):
        raise ProblemError("unavailable", headers={"Retry-After": "5"})
    if request.mimetype not in {STREAM_MEDIA_TYPE, "application/jsonl", "application/json"}:
        raise ProblemError("media_type_unsupported")
    running = _begin(caller, "stream", asked.purpose, asked.channel, asked.as_of)
    stream = many_asking.Lines(running, system=caller.api_key.system)
    place: list[many_asking.Lines] | None = request.environ.get(STREAM_KEY)
    if place is not None:
        place.append(stream)
        body: Any = b""
    else:
        body = many_asking.pump(stream, request.environ["wsgi.input"])
    answer = Response(body, mimetype=STREAM_MEDIA_TYPE)
    answer.headers["Evaluated-At"] = many_asking.timestamp(caller.at)
    if asked.as_of is None:
        # What held in the past says nothing about sending now.
        answer.headers["Valid-Until"] = many_asking.timestamp(caller.at + caller.copy.controller.decision_lifetime)
    answer.headers["Decision-Id"] = running.decision_id
    return answer


def _begin(caller: Caller, kind: Any, purpose: str, channel: str, as_of: datetime | None) -> Running:  # noqa: ANN401 - a literal
    caller.demand_purpose(purpose)
    check.demand_past(as_of=as_of, known_at=None, at=caller.at)
    return Running(caller, Asked(kind=kind, purpose=purpose, channel=channel, as_of=as_of))
