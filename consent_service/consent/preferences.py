"""The preference centre: a person who came by a link that was sent to their address sees and changes their choices.

Everything on the page is one act per purpose and channel. A yes given here is confirmed, because the page was opened
from the address itself; withdrawing takes no more than giving (GDPR Art. 7(3)).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import age, choices, evidence, facts, ledger, preference_links, unsubscribing, withdrawal
from consent_service.consent.choices import Choice, Key, Pair
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import LedgerEntry
from consent_service.consent.preference_links import Visitor
from consent_service.consent.withdrawal import EndedConsent, Scope
from consent_service.db.session import controller_of
from consent_service.errors import LinkInvalidError
from consent_service.registry import purposes
from consent_service.registry.boxes import ShownBox
from consent_service.subjects import fields, members
from consent_service.subjects.identity import SubjectReference

HISTORY_ROWS = 50


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One act of the past."""

    at: datetime
    kind: str
    title: str
    channel: str
    consent_id: str


@dataclass(frozen=True, slots=True)
class PreferencesView:
    """What the page shows."""

    masked: str
    can_give: bool
    choices: tuple[Choice, ...]
    history: tuple[HistoryRow, ...]


@dataclass(frozen=True, slots=True)
class SavedChoices:
    """What a visit changed."""

    given: tuple[Pair, ...]
    withdrawn: tuple[EndedConsent, ...]
    saved_at: datetime


def view(session: Session, *, visitor: Visitor, language: str, at: datetime) -> PreferencesView:
    """Show the choices of a visitor in a language; reads only.

    A visitor with a sender's link sees only what that link is for, as far as it is given, and no history (WD-13).
    """
    return PreferencesView(
        masked=visitor.masked,
        can_give=visitor.can_give,
        choices=choices.list_of(session, visitor=visitor, language=language, at=at),
        history=_history(session, visitor, language) if visitor.can_give else (),
    )


def save(
    session: Session,
    *,
    visitor: Visitor,
    wanted: frozenset[Key],
    shown: frozenset[Key],
    language: str,
    act: ActEvidence,
    at: datetime,
) -> SavedChoices:
    """Give what is ticked and was not, withdraw what was given and is not ticked; leave what was not shown alone.

    Raises LinkInvalidError where a visitor who may only withdraw wants something.
    """
    visitor = _hold(session, visitor)
    offered = {choice.key: choice for choice in choices.list_of(session, visitor=visitor, language=language, at=at)}
    to_end = [offered[key] for key in sorted(shown - wanted) if key in offered and offered[key].is_given]
    to_give = [offered[key] for key in sorted(shown & wanted) if key in offered and not offered[key].is_given]
    withdrawn = _end(session, visitor, to_end, offered.values(), act, at)
    given = []
    for choice in to_give:
        if not choice.can_give or choice.box is None:
            raise LinkInvalidError("this link cannot give consent")
        visitor = _give(session, visitor, choice.box, language=language, act=act, at=at)
        given.append(choice.pair)
    return SavedChoices(tuple(given), withdrawn, at)


def withdraw_all(session: Session, *, visitor: Visitor, act: ActEvidence, at: datetime) -> SavedChoices:
    """Withdraw everything that the visitor's link is for, also where nobody is known behind it."""
    if visitor.contact is None and visitor.address_hash is not None:
        outcome = unsubscribing.stop_hashed(
            session,
            hashed=visitor.address_hash,
            index=visitor.address_index,
            purpose=purposes.get(session, key=visitor.purpose) if visitor.purpose else None,
            channel=visitor.channel,
            reason="preference_centre",
            act=act,
            at=at,
        )
        return SavedChoices((), outcome.withdrawn, at)
    withdrawn = _withdraw(session, visitor, Scope(visitor.purpose, visitor.channel), act, at)
    return SavedChoices((), withdrawn, at)


def _end(
    session: Session, visitor: Visitor, to_end: list[Choice], offered: Iterable[Choice], act: ActEvidence, at: datetime
) -> tuple[EndedConsent, ...]:
    """Withdraw rows: at one contact point alone where the same is kept at another, else wherever it might be used."""
    ended = {choice.key for choice in to_end}
    kept = {choice.pair for choice in offered if choice.is_given and choice.key not in ended}
    scopes = dict.fromkeys((choice.pair, choice.point_id if choice.pair in kept else None) for choice in to_end)
    return tuple(
        each
        for pair, point_id in scopes
        for each in _withdraw(session, visitor, Scope(*pair, contact_point_id=point_id), act, at)
    )


def _withdraw(
    session: Session, visitor: Visitor, scope: Scope, act: ActEvidence, at: datetime
) -> tuple[EndedConsent, ...]:
    outcome = withdrawal.withdraw(
        session,
        reference=_reference(visitor),
        scope=scope,
        reason="preference_centre",
        act=act,
        actor=trail.SUBJECT,
        at=at,
    )
    return outcome.withdrawn


def _reference(visitor: Visitor) -> SubjectReference:
    if visitor.subject_id is None:
        return SubjectReference(contact=visitor.contact)
    return SubjectReference(id=visitor.subject_id, contact_point=visitor.contact)


def _hold(session: Session, visitor: Visitor) -> Visitor:
    """Take every lock that the visit may need, in the order of all acts, and look again who holds the address."""
    withdrawal.hold(session, _reference(visitor))
    return preference_links.settle(session, visitor)


def _give(
    session: Session, visitor: Visitor, box: ShownBox, *, language: str, act: ActEvidence, at: datetime
) -> Visitor:
    """Append one yes. The address is proved by the link; whoever was unknown becomes a person now."""
    visitor = preference_links.become_known(session, visitor, at=at)
    assert visitor.subject_id is not None  # noqa: S101 - become_known promises it
    purpose = purposes.get(session, key=box.purpose)
    point = visitor.point if fields.point_kind(box.channel) is not None else None
    owner, point_id = (point.subject_id, point.id) if point else (visitor.subject_id, None)
    series = Series(owner, point_id, purpose.id, box.channel)
    consent_id = ledger.new_consent_id(at)
    kept = evidence.record(
        session, subject_id=owner, consent_id=consent_id, box=box, acts={"preference_centre": act}, at=at
    )
    ledger.append(
        session,
        series=series,
        act=Act(
            kind="renewed" if facts.is_given(session, series=series, at=at) else "given",
            consent_id=consent_id,
            legal_basis=purpose.legal_basis,
            evidence_grade="double_opt_in",
            occurred_at=at,
            reason="preference_centre",
            notice_id=box.notice_id,
            language=language,
            evidence_id=kept.evidence_id,
            evidence_sha256=kept.sha256,
            confirmed_at=at,
            valid_for_months=box.valid_for_months,
            age_at_least=age.declared(session, series),
        ),
        actor=trail.SUBJECT,
        at=at,
    )
    return visitor


def _history(session: Session, visitor: Visitor, language: str) -> tuple[HistoryRow, ...]:
    if visitor.subject_id is None or visitor.point is None or visitor.point.verified_at is None:
        return ()
    titles = choices.titles(session, language=language)
    rows = session.scalars(
        select(LedgerEntry)
        .where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id.in_(members.ids_of(session, visitor.subject_id)),
        )
        .order_by(LedgerEntry.recorded_at.desc(), LedgerEntry.seq.desc())
        .limit(HISTORY_ROWS)
    )
    return tuple(
        HistoryRow(row.effective_at, row.kind, titles.get(row.purpose_id, ""), row.channel, row.consent_id)
        for row in rows
    )
