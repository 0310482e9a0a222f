"""Decides about thousands of people at once: most are plain and take a dozen values each, the rest go one by one.

Both roads end in the same rules. What is plain is decided once for all who are alike in what the rules look at, and
`tests/functional/consent/test_checking_many.py` holds the two roads against each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from consent_service.consent import gathering, rules
from consent_service.consent.gathering import Asked, Person
from consent_service.consent.grounds import Entry, Facts, Verdict
from consent_service.db.direct import ByteStrings
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import SubjectReference

#: People whom one statement looks for: long enough to be cheap, short enough to hold up nobody.
CHUNK: Final = 2_500

PLAIN: Final = b"SELECT * FROM check_plain(%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b)"
EACH: Final = b"SELECT * FROM check_each(%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b)"

Reader = Callable[[bytes, Sequence[object]], list[tuple[Any, ...]]]


class CopyIsOldError(Exception):
    """The registry has changed since it was read: nothing was decided, and the chunk is asked again."""


@dataclass(slots=True)
class Answered:
    """What is answered about one of many, with what it rests on."""

    verdict: Verdict
    subject: UUID | None = None
    consent: UUID | None = None
    entry: UUID | None = None
    notice_version: int | None = None


#: A reference that could not be read: the answer is no, and nobody was looked for.
INVALID: Final = Answered(Verdict(allowed=False, reason="invalid_reference", status="unknown"))

_Alike = tuple[object, ...]


def answer(asked: Asked, references: Sequence[SubjectReference | ContactValue | None], read: Reader) -> list[Answered]:
    """Answer for each reference in its place; None stands for one that could not be read.

    Raises CopyIsOldError, and what `read` raises.
    """
    answers = [INVALID] * len(references)
    plain: list[tuple[int, ContactValue]] = []
    others: list[tuple[int, Person]] = []
    plain_kind = (asked.reaches or "email") if _is_plain_question(asked) else None
    for place, reference in enumerate(references):
        if reference is None:
            continue
        if isinstance(reference, ContactValue):
            if reference.kind == plain_kind:
                plain.append((place, reference))
                continue
            reference = SubjectReference(contact=reference)  # noqa: PLW2901 - the same reference, written out
        person = gathering.person_of(asked, reference)
        if person is None:
            answers[place] = _without_person(asked)
        else:
            others.append((place, person))
    if plain:
        others += _answer_plain(asked, plain, answers, read)
    if others:
        _answer_each(asked, others, answers, read)
    return answers


def _is_plain_question(asked: Asked) -> bool:
    """Say whether the question looks at nothing but what `check_plain` tells."""
    question, offer = asked.question, asked.offer
    return (
        question.until is None
        and question.known_at is None
        and question.recipient is None
        and offer is not None
        and not offer.age_condition
    )


def _without_person(asked: Asked) -> Answered:
    return Answered(rules.decide(gathering.facts_without_person(asked), at=asked.question.at))


def _answer_plain(
    asked: Asked, people: Sequence[tuple[int, ContactValue]], answers: list[Answered], read: Reader
) -> list[tuple[int, Person]]:
    """Answer for those who are plain, and return those who are not."""
    hashes = asked.standing.hashes
    kind = people[0][1].kind
    blinds = [hashes.index(kind, contact.normal) for _, contact in people]
    suppressions = [hashes.suppression_hash(kind, contact.normal) for _, contact in people]
    rows = read(
        PLAIN,
        (asked.standing.version, *asked.common, kind, ByteStrings(blinds), ByteStrings(suppressions)),
    )
    if not rows:
        raise CopyIsOldError
    alike: dict[_Alike, tuple[Verdict, int | None]] = {}
    rest: dict[int, None] = {}
    horizon = asked.question.at + asked.standing.controller.decision_lifetime
    has_bases = asked.known is not None and "other_bases" in asked.known.looks_for
    for number, is_plain, subject, entry, kind_of_act, consent, confirmed, expires, basis, grade, notice in rows:
        place = people[number - 1][0]
        if answers[place] is not INVALID or not is_plain or (has_bases and entry is None):
            # A second row for the same reference, wherever the plan puts it: several people stand under the address.
            rest[number] = None
            continue
        key = (
            subject is None,
            kind_of_act,
            confirmed is None,
            basis,
            grade,
            notice,
            expires if expires is not None and expires <= horizon else None,
        )
        found = alike.get(key)
        if found is None:
            found = _decide_alike(asked, key, confirmed)
            alike[key] = found
        answers[place] = Answered(found[0], subject, consent, entry, found[1])
    return [
        (people[number - 1][0], Person(None, blinds[number - 1], kind, suppressions[number - 1], None, None))
        for number in rest
    ]


def _decide_alike(asked: Asked, key: _Alike, confirmed: datetime | None) -> tuple[Verdict, int | None]:
    """Decide for everybody who is alike in what the rules look at."""
    is_nobody, kind, _, basis, grade, notice_id, expires = key
    known, question, copy = asked.known, asked.question, asked.standing
    latest = None
    superseded_by = supersedes_at = None
    notice = known.by_uuid.get(notice_id) if known is not None and isinstance(notice_id, UUID) else None
    if kind is not None:
        moment = confirmed or question.at
        latest = Entry(
            kind=str(kind),
            consent_id="",
            effective_at=moment,
            occurred_at=moment,
            confirmed_at=confirmed,
            expires_at=expires if isinstance(expires, datetime) else None,
            legal_basis=str(basis),
            evidence_grade=str(grade),
            notice_number=None if notice is None else notice.number,
            language=None,
        )
    if notice is not None and known is not None:
        superseded_by, supersedes_at = known.material_after(notice.number, at=question.at, known_at=None)
    facts = Facts(
        purpose_known=True,
        offer=asked.offer,
        point_required=False,
        min_evidence=question.min_evidence,
        subject_id=None if is_nobody else "somebody",
        latest=latest,
        superseded_by=superseded_by,
        supersedes_at=supersedes_at,
        decision_lifetime=copy.controller.decision_lifetime,
        country=copy.controller.country,
        timezone=copy.controller.timezone,
        channel=question.channel,
    )
    return rules.decide(facts, at=question.at), None if notice is None else notice.number


def _answer_each(asked: Asked, people: Sequence[tuple[int, Person]], answers: list[Answered], read: Reader) -> None:
    columns: list[list[Any]] = [list(column) for column in zip(*(person for _, person in people), strict=True)]
    rows = read(EACH, (asked.standing.version, *asked.common, *columns))
    if not rows:
        raise CopyIsOldError
    for row in rows:
        place = people[row[0] - 1][0]
        facts = gathering.facts_of(asked, row[1:])
        verdict = rules.decide(facts, at=asked.question.at)
        if asked.question.until is not None:
            # What held in the past says nothing about sending now.
            verdict = replace(verdict, valid_until=None, next_allowed_at=None)
        entry = facts.latest
        answers[place] = Answered(
            verdict=verdict,
            subject=row[1],
            consent=row[10],
            entry=row[8],
            notice_version=None if entry is None else entry.notice_number,
        )
