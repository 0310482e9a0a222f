"""Gathers what a decision rests on; reads only, and leaves every judgement to the rules.

What the registry says comes from a copy (`standing`), what is known of the person from one statement of the
database's own (`check_facts`, docs/adr/0006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import standing
from consent_service.consent.grounds import Entry, Facts, Offer, Relation, Reservation, Stop
from consent_service.consent.standing import KnownPurpose, Standing
from consent_service.db import binary
from consent_service.errors import IdentifierInvalidError
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from consent_service.subjects.reservations import PastWash
from consent_service.vault.keys import AddressHashes


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of everybody alike: for which purpose on which channel, and as of when.

    `until` leaves out what counts from a later moment only. Without it everything on record counts, also what another
    node wrote with a clock that is ahead: what was acknowledged holds at once, everywhere.
    """

    purpose: str
    channel: str
    at: datetime
    until: datetime | None = None
    known_at: datetime | None = None
    recipient: str | None = None
    min_evidence: str | None = None

    @property
    def limit(self) -> datetime | None:
        """Return the moment after which nothing that was recorded counts."""
        return min((each for each in (self.until, self.known_at) if each is not None), default=None)


class Person(NamedTuple):
    """Who is asked about, as the statement takes it: ids and keyed hashes, never an address."""

    subject: UUID | None
    blind: bytes | None
    kind: str | None
    suppression: bytes | None
    system: str | None
    external: bytes | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question held against the registry: what is offered, and what must be looked for about each person."""

    question: Question
    standing: Standing
    known: KnownPurpose | None
    offer: Offer | None
    reaches: str | None
    wash: PastWash | None
    common: tuple[object, ...] = field(repr=False)


#: One row: whether the copy of the registry stands, then everything about the person.
STATEMENT: Final = b"SELECT * FROM check_facts(%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b)"
STATEMENT_DIRECT: Final = b"SELECT * FROM check_facts($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)"
_NOBODY: Final = Person(None, None, None, None, None, None)
_NO_MORE: Final[dict[str, Any]] = {}


def ask(copy: Standing, question: Question) -> Asked:
    """Hold a question against the registry, once for everybody that it is asked about."""
    known = copy.purposes.get(question.purpose)
    if known is not None and not known.exists_at(question.at):
        known = None
    offer = None
    if known is not None and question.channel in fields.POINT_OF_CHANNEL:
        offer = known.offer(question.channel, at=question.at, known_at=question.known_at, limit=question.limit)
    reaches = fields.point_kind(question.channel) if offer is not None else None
    wash = None
    if offer is not None and offer.reservation_enabled:
        wash = copy.wash(question.channel, at=question.at, known_until=question.limit)
    common = (
        copy.controller_uuid,
        known.uuid if known is not None else None,
        question.channel,
        reaches,
        question.at,
        question.until,
        question.known_at,
        None if wash is None else identifiers.to_uuid(wash.wash_id, "wsh"),
        list(known.looks_for) if known is not None else [],
    )
    return Asked(question, copy, known, offer, reaches, wash, common)


def person_of(asked: Asked, reference: SubjectReference) -> Person | None:
    """Return whom to look for, or None where the answer does not depend on it."""
    if asked.offer is None or lacks_point(asked, reference):
        return None
    return look_for(asked.standing.hashes, reference)


def look_for(hashes: AddressHashes, reference: SubjectReference) -> Person:
    """Write a reference in ids and keyed hashes."""
    contact = reference.named_point
    blind = kind = suppression = None
    if contact is not None:
        kind = contact.kind
        blind = hashes.index(contact.kind, contact.normal)
        suppression = hashes.suppression_hash(contact.kind, contact.normal)
    external = reference.external_id
    return Person(
        subject=_uuid(reference.id),
        blind=blind,
        kind=kind,
        suppression=suppression,
        system=None if external is None else external.system,
        external=None if external is None else hashes.index(f"external_id:{external.system}", external.value),
    )


def lacks_point(asked: Asked, reference: SubjectReference) -> bool:
    """Say whether the channel reaches a contact point and the reference names none of that kind."""
    contact = reference.named_point
    return asked.reaches is not None and (contact is None or contact.kind != asked.reaches)


def parameters(asked: Asked, person: Person | None) -> tuple[object, ...]:
    """Return what `STATEMENT` takes; without a person it tells the version alone."""
    return (asked.standing.version, *asked.common, *(person or _NOBODY))


def binary_parameters(asked: Asked, person: Person | None) -> list[bytes | None]:
    """Return what `STATEMENT` takes in the binary form of `TYPES`."""
    question, known = asked.question, asked.known
    about = person or _NOBODY
    return [
        asked.standing.version.bytes,
        asked.standing.controller_uuid.bytes,
        None if known is None else known.uuid.bytes,
        question.channel.encode(),
        None if asked.reaches is None else asked.reaches.encode(),
        binary.from_moment(question.at),
        None if question.until is None else binary.from_moment(question.until),
        None if question.known_at is None else binary.from_moment(question.known_at),
        None if asked.wash is None else identifiers.to_uuid(asked.wash.wash_id, "wsh").bytes,
        binary.NO_TEXTS if known is None else binary.from_texts(known.looks_for),
        None if about.subject is None else about.subject.bytes,
        about.blind,
        None if about.kind is None else about.kind.encode(),
        about.suppression,
        None if about.system is None else about.system.encode(),
        about.external,
    ]


def read_row(columns: Sequence[bytes | None]) -> list[Any] | None:
    """Read the columns of `STATEMENT` in binary form; None where the copy of the registry does not stand any more."""
    if columns[0] != binary.TRUE:
        return None
    return [None if column is None else read(column) for read, column in zip(_COLUMNS, columns[1:], strict=True)]


#: PostgreSQL's types of what `STATEMENT` takes.
TYPES: Final = (
    *(binary.UUID_TYPE,) * 3,
    *(binary.TEXT_TYPE,) * 2,
    *(binary.MOMENT_TYPE,) * 3,
    binary.UUID_TYPE,
    binary.TEXTS_TYPE,
    binary.UUID_TYPE,
    binary.BYTES_TYPE,
    binary.TEXT_TYPE,
    binary.BYTES_TYPE,
    binary.TEXT_TYPE,
    binary.BYTES_TYPE,
)
_COLUMNS: Final[tuple[Callable[[bytes], Any], ...]] = (
    *(binary.to_uuid,) * 2,
    binary.to_moment,
    binary.to_flag,
    *(binary.to_moments,) * 2,
    binary.to_moment,
    binary.to_uuid,
    binary.to_text,
    binary.to_uuid,
    *(binary.to_moment,) * 4,
    *(binary.to_text,) * 2,
    binary.to_uuid,
    binary.to_text,
    binary.to_small_number,
    *(binary.to_flag,) * 4,
    binary.to_document,
)


def facts_without_person(asked: Asked) -> Facts:
    """Return the facts where whoever is asked about makes no difference."""
    return Facts(
        purpose_known=asked.known is not None,
        offer=asked.offer,
        point_required=asked.offer is not None,
        recipient=asked.question.recipient,
        min_evidence=asked.question.min_evidence,
        channel=asked.question.channel,
    )


def facts_of(asked: Asked, row: Sequence[Any]) -> Facts:
    """Turn a row of the statement, without its first column, into the facts of one decision."""
    (subject, _point, point_since, restricted, suppressed_ats, objected_ats, confirmed_act_at) = row[:7]
    (other_point_given, request_waits, more) = row[21:24]
    question, copy, known = asked.question, asked.standing, asked.known
    latest = None
    superseded_by = supersedes_at = None
    if row[7] is not None and known is not None:
        latest = _entry(known, row)
        if latest.notice_number is not None:
            superseded_by, supersedes_at = known.material_after(
                latest.notice_number, at=question.at, known_at=question.known_at
            )
    rest = more or _NO_MORE
    notices = rest.get("notices") or ()
    return Facts(
        purpose_known=True,
        offer=asked.offer,
        point_required=False,
        recipient=question.recipient,
        min_evidence=question.min_evidence,
        subject_id=None if subject is None else identifiers.from_uuid(subject, "sub"),
        restricted=restricted,
        suppressions=() if suppressed_ats is None else tuple(map(Stop, suppressed_ats)),
        objections=() if objected_ats is None else tuple(map(Stop, objected_ats)),
        latest=latest,
        confirmed_act_at=confirmed_act_at,
        superseded_by=superseded_by,
        other_point_given=other_point_given,
        request_waits=request_waits,
        decision_lifetime=copy.controller.decision_lifetime,
        recalled=row[20],
        supersedes_at=supersedes_at,
        relations=_relations(rest.get("relations")),
        reservation=_reservation(asked, rest.get("match")),
        point_since=point_since,
        is_company_address=bool(rest.get("is_company")),
        company_addresses_allowed=copy.controller.allows_company_addresses,
        country=copy.controller.country,
        timezone=copy.controller.timezone,
        channel=question.channel,
        objection_notice_given="objection" in notices,
        art14_notice_given="article_14" in notices,
    )


def gather(session: Session, question: Question, reference: SubjectReference, *, copy: Standing | None = None) -> Facts:
    """Gather the facts for one question inside a transaction, for an act that depends on them.

    `copy` is what the registry says, where the caller has read it in this transaction.
    """
    asked = ask(copy or standing.load(session), question)
    person = person_of(asked, reference)
    if person is None:
        return facts_without_person(asked)
    return facts_of(asked, read(session, asked, person))


def read(session: Session, asked: Asked, person: Person) -> Sequence[Any]:
    """Run the statement inside a transaction, whose own copy of the registry needs no comparing."""
    cursor = session.connection().connection.cursor()
    try:
        row: Sequence[Any] = cursor.execute(STATEMENT, (None, *parameters(asked, person)[1:])).fetchone()
    finally:
        cursor.close()
    return row[1:]


def _entry(known: KnownPurpose, row: Sequence[Any]) -> Entry:
    notice = known.by_uuid.get(row[16])
    return Entry(
        kind=row[8],
        consent_id=identifiers.from_uuid(row[9], "con"),
        effective_at=row[10],
        occurred_at=row[11],
        confirmed_at=row[12],
        expires_at=row[13],
        legal_basis=row[14],
        evidence_grade=row[15],
        notice_number=None if notice is None else notice.number,
        language=row[17],
        recipients=() if notice is None else notice.recipients,
        age_at_least=row[18],
        by_guardian=row[19],
        ledger_entry_id=identifiers.from_uuid(row[7], "led"),
    )


def _relations(found: Sequence[dict[str, Any]] | None) -> tuple[Relation, ...]:
    if not found:
        return ()
    return tuple(
        Relation(
            relation=each["relation"],
            sold_at=datetime.fromisoformat(each["sold_at"]),
            product_category=each["product_category"],
            received_at_sale=each["received_at_sale"],
            opt_out_offered=each["opt_out_offered"],
            active_until=None if each["active_until"] is None else datetime.fromisoformat(each["active_until"]),
            recorded_at=datetime.fromisoformat(each["recorded_at"]),
        )
        for each in found
    )


def _reservation(asked: Asked, match: dict[str, Any] | None) -> Reservation | None:
    """Say what the last wash found; of a charity its own kind of reservation counts (law.md NO-10)."""
    if asked.wash is None:
        return None
    if match is None:
        return Reservation(washed_at=asked.wash.washed_at, reserved=False, is_certain=True)
    reserved = match["reserved_charity" if asked.standing.controller.is_charity else "reserved"]
    return Reservation(washed_at=asked.wash.washed_at, reserved=reserved, is_certain=match["is_certain"])


def _uuid(subject_id: str | None) -> UUID | None:
    try:
        return None if subject_id is None else identifiers.to_uuid(subject_id, "sub")
    except IdentifierInvalidError:
        return None
