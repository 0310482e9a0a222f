"""Compares the addresses we hold with the register of reservations, and keeps matches alone.

Nothing of a line of the register stays but that an address of ours stands in it (markedsføringsloven §§ 12 and 13).
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import ARRAY, LargeBinary, any_, insert, literal, or_, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.subjects.models import ContactPoint, ReservationMatch, ReservationWash
from consent_service.subjects.reservation_file import ReservationLine, WashKind
from consent_service.vault import keys

_BATCH: Final = 5_000
_MOST_NAMED: Final = 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Match:
    """What the register says of a contact point of ours."""

    contact_point_id: str
    reserved: bool
    reserved_charity: bool
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a file said: how many lines it has, how many of them are broken and which came first, and our matches."""

    kind: WashKind
    washed_at: datetime
    lines: int
    broken: int
    first_broken: tuple[int, ...]
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Wash:
    """A wash as it is recorded."""

    wash_id: str
    kind: WashKind
    washed_at: datetime
    lines: int
    broken: int
    matches: int
    reserved: int


@dataclass(frozen=True, slots=True)
class PastWash:
    """When the addresses of a kind were compared, and when that was written down."""

    wash_id: str
    kind: str
    washed_at: datetime
    recorded_at: datetime


def list_washes(session: Session) -> tuple[PastWash, ...]:
    """List every wash of this controller, oldest first; there are about two a month."""
    rows = session.execute(
        select(ReservationWash.id, ReservationWash.kind, ReservationWash.washed_at, ReservationWash.recorded_at)
        .where(ReservationWash.controller_id == controller_of(session))
        .order_by(ReservationWash.washed_at, ReservationWash.id)
    )
    return tuple(PastWash(*row) for row in rows)


def compare(
    session: Session, lines: Iterable[ReservationLine], *, kind: WashKind, washed_at: datetime, at: datetime
) -> Comparison:
    """Compare all lines with the contact points of a kind that are held; reads only, in constant memory.

    What is held in memory beside one batch are the matches. Of several lines about one address the strictest counts;
    a line that reserves nothing leaves nothing. Raises InvalidInputError where `washed_at` has not come yet.
    """
    if washed_at > at:
        raise InvalidInputError((FieldProblem("/washed_at", "in_the_future", "This moment has not come yet."),))
    count = broken = 0
    first_broken: list[int] = []
    found: dict[str, Match] = {}
    for batch in _batches(lines):
        count += len(batch)
        numbers = [line.number for line in batch if line.is_broken]
        broken += len(numbers)
        first_broken += numbers[: _MOST_NAMED - len(first_broken)]
        for match in _matches(session, batch, kind=kind, washed_at=washed_at):
            found[match.contact_point_id] = _strictest(match, found.get(match.contact_point_id))
    return Comparison(kind, washed_at, count, broken, tuple(first_broken), tuple(found.values()))


def demand_whole(comparison: Comparison, *, skip_broken: bool, expected_lines: int | None = None) -> None:
    """Raise InvalidInputError for a file that cannot count as the register: empty, cut off, or with broken lines.

    Whoever stands in a line that nobody can read would be called, so `skip_broken` is for those who know why.
    """
    problems = []
    if comparison.lines == 0:
        problems.append(FieldProblem("/lines", "no_lines", "There is no line in this file."))
    if expected_lines is not None and comparison.lines != expected_lines:
        detail = f"The file has {comparison.lines} lines and should have {expected_lines}."
        problems.append(FieldProblem("/lines", "lines_missing", detail))
    if comparison.broken and not skip_broken:
        named = ", ".join(str(number) for number in comparison.first_broken)
        more = comparison.broken - len(comparison.first_broken)
        detail = f"{comparison.broken} of {comparison.lines} lines cannot be read: line {named}"
        problems.append(FieldProblem("/lines", "lines_broken", f"{detail}{f' and {more} more' if more else ''}."))
    if problems:
        raise InvalidInputError(tuple(problems))


def record(session: Session, comparison: Comparison, *, file_sha256: str, actor: Actor, at: datetime) -> Wash:
    """Record a comparison as a wash, with its matches; the latest wash of a kind holds. Writes an audit entry.

    Of the file its hash stays, under the controller's key, so that the same one is known again.
    """
    wash_id = identifiers.new_id("wsh", at=at)
    wash = Wash(
        wash_id=wash_id,
        kind=comparison.kind,
        washed_at=comparison.washed_at,
        lines=comparison.lines,
        broken=comparison.broken,
        matches=len(comparison.matches),
        reserved=sum(match.reserved for match in comparison.matches),
    )
    said = asdict(wash)
    audit_id = trail.record(
        session,
        type="reservations.washed",
        at=at,
        actor=actor,
        stream=f"reservations:{wash.kind}",
        payload={**said, "washed_at": wash.washed_at.isoformat()},
    )
    session.execute(
        insert(ReservationWash).values(
            controller_id=controller_of(session),
            id=wash_id,
            kind=wash.kind,
            washed_at=wash.washed_at,
            recorded_at=at,
            lines=wash.lines,
            matches=wash.matches,
            file_hash=keys.index(session, kind="reservation_file", value=file_sha256),
            audit_entry_id=audit_id,
        )
    )
    for batch in _batches(comparison.matches):
        session.execute(
            insert(ReservationMatch),
            [{"controller_id": controller_of(session), "wash_id": wash_id, **asdict(match)} for match in batch],
        )
    return wash


def _matches(
    session: Session, batch: Iterable[ReservationLine], *, kind: WashKind, washed_at: datetime
) -> Iterator[Match]:
    said: dict[bytes, Match] = {}
    for line in batch:
        if line.normal is None or not (line.reserved or line.reserved_charity or not line.is_certain):
            continue
        index = keys.index(session, kind=kind, value=line.normal)
        match = Match("", line.reserved, line.reserved_charity, line.is_certain)
        said[index] = _strictest(match, said.get(index))
    rows = session.execute(
        select(ContactPoint.id, ContactPoint.blind_index).where(
            ContactPoint.controller_id == controller_of(session),
            ContactPoint.blind_index == any_(literal(list(said), ARRAY(LargeBinary))),
            ContactPoint.kind == kind,
            or_(ContactPoint.holder_until.is_(None), ContactPoint.holder_until > washed_at),
        )
    )
    for point_id, index in rows:
        match = said[bytes(index)]
        yield Match(point_id, match.reserved, match.reserved_charity, match.is_certain)


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _strictest(one: Match, other: Match | None) -> Match:
    if other is None:
        return one
    return Match(
        one.contact_point_id,
        one.reserved or other.reserved,
        one.reserved_charity or other.reserved_charity,
        one.is_certain and other.is_certain,
    )
