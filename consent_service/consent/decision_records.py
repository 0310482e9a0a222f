"""Decisions as they are shown later: who asked, what was answered, and what the answer rested on.

What still waits in the spool of this machine is found too, so that an answer can be shown as soon as it was given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import decision_lines, spool
from consent_service.consent.decision_lines import Answered, Heading, Line
from consent_service.consent.models import Decision, DecisionAnswer
from consent_service.db.session import controller_of
from consent_service.errors import DecisionLineBrokenError, DecisionUnknownError


@dataclass(frozen=True, slots=True)
class DecisionCall:
    """One call of a check; the counts of a stream that goes on are those up to now."""

    decision_id: str
    kind: str
    api_key_id: str
    purpose: str
    channel: str
    evaluated_at: datetime
    as_of: datetime | None
    known_at: datetime | None
    recipient: str | None
    min_evidence: str | None
    allowed: int
    denied: int
    invalid: int


@dataclass(frozen=True, slots=True)
class DecisionAnswerRecord:
    """What was answered about one person, and the entry and notice version that it rested on."""

    item: int
    subject_id: str | None
    allowed: bool
    status: str
    reason: str
    legal_basis: str | None
    consent_id: str | None
    ledger_entry_id: str | None
    notice_version: int | None
    obligations: tuple[str, ...]
    valid_until: datetime | None
    next_allowed_at: datetime | None
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One answer with the call that it belongs to; a batch of which nobody was singled out has no answer."""

    call: DecisionCall
    answer: DecisionAnswerRecord | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of decisions ended: newest first."""

    evaluated_at: datetime
    decision_id: str
    item: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which decisions about a person: `since` is included, `until` is not."""

    since: datetime | None = None
    until: datetime | None = None
    purpose: str | None = None
    channel: str | None = None

    def takes(self, record: DecisionRecord) -> bool:
        """Say whether a decision is one of these."""
        assert record.answer is not None  # noqa: S101 - only answers about a person are listed
        moment = record.answer.evaluated_at
        return (
            (self.since is None or moment >= self.since)
            and (self.until is None or moment < self.until)
            and self.purpose in {None, record.call.purpose}
            and self.channel in {None, record.call.channel}
        )


EVERYTHING: Final = Filter()


def get(session: Session, folder: Path, *, decision_id: str, subject_ids: Sequence[str] = ()) -> DecisionRecord:
    """Get a decision; of a batch or stream with what it answered about a person who goes by any of these ids.

    `folder` is the spool. Raises DecisionUnknownError, also where this person was not asked about.
    """
    wanted = None if not subject_ids else frozenset(subject_ids)
    # The spool first: what is moved meanwhile is found in the log afterwards.
    young = list(_young(session, folder, (decision_id,)))
    calls = [_call(line.heading) for line in young if _public(line.heading.decision_id, "dec") == decision_id]
    stored = session.scalar(
        select(Decision).where(Decision.controller_id == controller_of(session), Decision.id == decision_id)
    )
    if stored is not None:
        calls.append(_stored_call(stored))
    if not calls:
        raise DecisionUnknownError(decision_id)
    call = max(calls, key=lambda each: each.allowed + each.denied + each.invalid)
    if call.kind != "single" and wanted is None:
        return DecisionRecord(call, None)
    answers = [
        answer
        for line in young
        for answer in _answers(line)
        if _public(line.heading.decision_id, "dec") == decision_id and (wanted is None or answer.subject_id in wanted)
    ]
    answers += _stored_answers(session, decision_id, wanted)
    if not answers:
        raise DecisionUnknownError(decision_id)
    return DecisionRecord(call, min(answers, key=lambda each: each.item))


def list_of_person(
    session: Session,
    folder: Path,
    *,
    subject_ids: Sequence[str],
    only: Filter = EVERYTHING,
    after: Place | None = None,
    limit: int,
) -> tuple[tuple[DecisionRecord, ...], Place | None]:
    """List what was answered about a person who goes by any of these ids, newest first, and where the next page begins.

    `folder` is the spool.
    """
    # The spool first: what is moved meanwhile is found in the log afterwards.
    found = {_place(record): record for record in _young_of_person(session, folder, subject_ids) if only.takes(record)}
    found |= {_place(record): record for record in _stored_of_person(session, subject_ids, only, after, limit + 1)}
    places = sorted(found, key=_order, reverse=True)
    rest = [place for place in places if after is None or _order(place) < _order(after)]
    page = tuple(found[place] for place in rest[:limit])
    return page, rest[limit - 1] if len(rest) > limit else None


def _stored_answers(session: Session, decision_id: str, wanted: frozenset[str] | None) -> list[DecisionAnswerRecord]:
    query = (
        select(DecisionAnswer)
        .where(DecisionAnswer.controller_id == controller_of(session), DecisionAnswer.decision_id == decision_id)
        .order_by(DecisionAnswer.item)
        .limit(1)
    )
    rows = session.scalars(query if wanted is None else query.where(DecisionAnswer.subject_id.in_(wanted)))
    return [_stored_answer(row) for row in rows]


def _stored_of_person(
    session: Session, subject_ids: Sequence[str], only: Filter, after: Place | None, limit: int
) -> Iterator[DecisionRecord]:
    order = (DecisionAnswer.evaluated_at, DecisionAnswer.decision_id, DecisionAnswer.item)
    query: Select[Decision, DecisionAnswer] = (
        select(Decision, DecisionAnswer)
        .join(
            Decision,
            (Decision.controller_id == DecisionAnswer.controller_id) & (Decision.id == DecisionAnswer.decision_id),
        )
        .where(DecisionAnswer.controller_id == controller_of(session), DecisionAnswer.subject_id.in_(subject_ids))
        .order_by(*(column.desc() for column in order))
        .limit(limit)
    )
    if only.since is not None:
        query = query.where(DecisionAnswer.evaluated_at >= only.since)
    if only.until is not None:
        query = query.where(DecisionAnswer.evaluated_at < only.until)
    if only.purpose is not None:
        query = query.where(Decision.purpose == only.purpose)
    if only.channel is not None:
        query = query.where(Decision.channel == only.channel)
    if after is not None:
        place = (after.evaluated_at, after.decision_id, after.item)
        typed = (literal(value, column.type) for value, column in zip(place, order, strict=True))
        query = query.where(tuple_(*order) < tuple_(*typed))
    for call, answer in session.execute(query):
        yield DecisionRecord(_stored_call(call), _stored_answer(answer))


def _young_of_person(session: Session, folder: Path, subject_ids: Sequence[str]) -> Iterator[DecisionRecord]:
    for line in _young(session, folder, subject_ids):
        call = _call(line.heading)
        for answer in _answers(line):
            if answer.subject_id in subject_ids:
                yield DecisionRecord(call, answer)


def _young(session: Session, folder: Path, ids: Sequence[str]) -> Iterator[Line]:
    """Read the lines of the spool that name one of these ids and belong to this controller."""
    controller_id = identifiers.to_uuid(controller_of(session), "ctl")
    needles = [text.encode() for each in ids for text in (each, str(identifiers.to_uuid(each, each[:3])))]
    for text in spool.read_young(folder):
        if not any(needle in text for needle in needles):
            continue
        try:
            line = decision_lines.read(text)
        except DecisionLineBrokenError:
            # The worker sets it aside and says so.
            continue
        if line.heading.controller_id == controller_id:
            yield line


def _answers(line: Line) -> Iterator[DecisionAnswerRecord]:
    try:
        yield from map(_answer, line.answers())
    except DecisionLineBrokenError:
        return


def _place(record: DecisionRecord) -> Place:
    assert record.answer is not None  # noqa: S101 - only answers about a person are listed
    return Place(record.answer.evaluated_at, record.call.decision_id, record.answer.item)


def _order(place: Place) -> tuple[datetime, UUID, int]:
    return place.evaluated_at, identifiers.to_uuid(place.decision_id, "dec"), place.item


def _public(value: UUID | None, prefix: str) -> str | None:
    return None if value is None else identifiers.from_uuid(value, prefix)


def _call(heading: Heading) -> DecisionCall:
    return DecisionCall(
        decision_id=identifiers.from_uuid(heading.decision_id, "dec"),
        kind=heading.kind,
        api_key_id=identifiers.from_uuid(heading.api_key_id, "key"),
        purpose=heading.purpose,
        channel=heading.channel,
        evaluated_at=heading.evaluated_at,
        as_of=heading.as_of,
        known_at=heading.known_at,
        recipient=heading.recipient,
        min_evidence=heading.min_evidence,
        allowed=heading.allowed,
        denied=heading.denied,
        invalid=heading.invalid,
    )


def _answer(answered: Answered) -> DecisionAnswerRecord:
    return DecisionAnswerRecord(
        item=answered.item,
        subject_id=_public(answered.subject_id, "sub"),
        allowed=answered.allowed,
        status=answered.status,
        reason=answered.reason,
        legal_basis=answered.legal_basis,
        consent_id=_public(answered.consent_id, "con"),
        ledger_entry_id=_public(answered.ledger_entry_id, "led"),
        notice_version=answered.notice_version,
        obligations=answered.obligations,
        valid_until=answered.valid_until,
        next_allowed_at=answered.next_allowed_at,
        evaluated_at=answered.evaluated_at,
    )


def _stored_call(row: Decision) -> DecisionCall:
    return DecisionCall(
        decision_id=row.id,
        kind=row.kind,
        api_key_id=row.api_key_id,
        purpose=row.purpose,
        channel=row.channel,
        evaluated_at=row.evaluated_at,
        as_of=row.as_of,
        known_at=row.known_at,
        recipient=row.recipient,
        min_evidence=row.min_evidence,
        allowed=row.allowed,
        denied=row.denied,
        invalid=row.invalid,
    )


def _stored_answer(row: DecisionAnswer) -> DecisionAnswerRecord:
    return DecisionAnswerRecord(
        item=row.item,
        subject_id=row.subject_id,
        allowed=row.allowed,
        status=row.status,
        reason=row.reason,
        legal_basis=row.legal_basis,
        consent_id=row.consent_id,
        ledger_entry_id=row.ledger_entry_id,
        notice_version=row.notice_version,
        obligations=tuple(row.obligations),
        valid_until=row.valid_until,
        next_allowed_at=row.next_allowed_at,
        evaluated_at=row.evaluated_at,
    )
