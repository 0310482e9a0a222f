"""What the audit log answers to a query, as a file: one entry a line, or one a row, newest first.

Each step is one page, in a transaction of its own; entries that are written meanwhile are newer than those that follow.
"""

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from sqlalchemy.orm import Session

from consent_service.audit.grammar import Query, SubjectTerm
from consent_service.audit.trail import Actor
from consent_service.consent import log_queries
from consent_service.exports import jobs
from consent_service.exports.making import Maker, Step, Wanted
from consent_service.subjects import members
from consent_service.vault import keys

KIND: Final = "audit"
#: How many entries one step writes.
PAGE: Final = 1_000

_MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_LINE: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
#: The columns of a table, in their order.
COLUMNS: Final = (
    "entry_id",
    "type",
    "occurred_at",
    "actor",
    "subject_id",
    "purpose",
    "channel",
    "request_id",
    "stream",
    "number",
    "payload_status",
    "epoch",
    "leaf_index",
    "payload",
)
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# Without it Excel reads UTF-8 as the local eight-bit code.
_BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants a file of: a query as it was typed, and a form; `within` are the purposes it may be about."""

    format: Literal["ndjson", "csv"]
    q: str = field(default="", repr=False)
    within: Collection[str] | None = None


def ask(session: Session, *, asked: Asked, actor: Actor, at: datetime) -> str:
    """Queue a file of what the log answers to a query and return the id of the export.

    An address in the query becomes the person's id before anything is stored. A file that is about one person alone is
    sealed under that person's key. Raises AuditQueryInvalidError.
    """
    read = log_queries.read(session, asked.q, within=asked.within)
    resolved = log_queries.resolve(session, read)
    text = None if resolved is None else resolved.text
    return jobs.ask(
        session,
        kind=KIND,
        parameters={
            "format": asked.format,
            "q": text,
            "purposes": None if asked.within is None else sorted(asked.within),
        },
        said={"query": text, "format": asked.format},
        media_type=_MEDIA_TYPES[asked.format],
        file_name=f"audit-log-{at:%Y-%m-%d}.{asked.format}",
        actor=actor,
        at=at,
        subject_id=None if resolved is None else _one_person(session, resolved),
    )


def maker(others: Mapping[str, Maker]) -> Maker:
    """Return who makes the files of the log: lists here, and other formats where they are made."""

    def make_any(session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime) -> Step:
        return others.get(wanted.parameters["format"], make)(session, wanted=wanted, place=place, at=at)

    return make_any


def make(session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime) -> Step:
    """Write the next page of a file; see `Maker`."""
    del at
    form, text, within = (wanted.parameters[name] for name in ("format", "q", "purposes"))
    head = _head(form) if place is None else b""
    if text is None:
        return Step(head, done=0, total=0, place=None)
    asked = log_queries.read(session, text, within=within)
    if place is None:
        total = log_queries.count(session, asked=asked, within=within)
        place = {"after": None, "done": 0, "total": total}
    found = log_queries.page(session, asked=asked, within=within, after=place["after"], limit=PAGE)
    rows = [log_queries.as_row(each) for each in found.entries]
    done = place["done"] + len(rows)
    following = None if found.next_after is None else {**place, "after": found.next_after, "done": done}
    return Step(head + _written(form, rows), done=done, total=max(place["total"], done), place=following)


def _one_person(session: Session, asked: Query) -> str | None:
    """Return the one person that a query is about, where they still have a key to seal with."""
    people = [term.text for term in asked.of(SubjectTerm) if not term.is_negated]
    if len(people) != 1:
        return None
    person = members.survivor_of(session, people[0])
    return person if keys.has_subject_key(session, subject_id=person) else None


def as_csv(rows: Collection[Mapping[str, object]]) -> bytes:
    """Write rows of the log as lines of a table (RFC 4180), so that no spreadsheet computes with anything in them."""
    return _table([[_cell(row[column]) for column in COLUMNS] for row in rows])


def _head(form: str) -> bytes:
    return _BYTE_ORDER_MARK + _table([COLUMNS]) if form == "csv" else b""


def _written(form: str, rows: list[dict[str, Any]]) -> bytes:
    return as_csv(rows) if form == "csv" else b"".join(orjson.dumps(row, option=_LINE) for row in rows)


def _table(rows: Collection[Collection[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode().strip('"')
        case dict():
            return orjson.dumps(value).decode()
    text = str(value)
    # OWASP: CSV injection.
    return f"'{text}" if text.startswith(_FORMULA) else text
