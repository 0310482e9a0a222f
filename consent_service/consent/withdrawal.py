"""Taking consent back: at once, for every basis, whether or not there was a consent to end (GDPR Art. 7(3)).

A withdrawal is appended to each series that it is meant for, cancels what waits for confirmation, and for an address
that nobody is known under leaves a suppression.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.consent import evidence, facts, ledger, signup_requests
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import LedgerEntry
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError, SubjectUnknownError
from consent_service.registry import notices, purposes
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, locks, members, suppression
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundSubject, SubjectReference
from consent_service.vault import keys


@dataclass(frozen=True, slots=True)
class EndedConsent:
    """One series that is withdrawn now, and since when."""

    consent_id: str
    purpose: str
    channel: str
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawalOutcome:
    """What was withdrawn by this act, and what had been withdrawn before it."""

    subject_id: str | None
    withdrawn: tuple[EndedConsent, ...]
    unchanged: tuple[EndedConsent, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a withdrawal is meant for: a purpose and a channel, or all where None.

    With a contact point it is meant for that one alone, which is the person's own.
    """

    purpose: str | None
    channel: str | None
    contact_point_id: str | None = None


def withdraw(
    session: Session,
    *,
    reference: SubjectReference,
    scope: Scope,
    reason: str,
    act: ActEvidence | None,
    actor: Actor,
    at: datetime,
) -> WithdrawalOutcome:
    """Withdraw for the person that a reference means; what the scope leaves open means all.

    `reason` is a short code of where it came from. Raises PurposeUnknownError or InvalidInputError for a purpose or
    channel that does not exist (a misspelt one must never mean *all*), and SubjectUnknownError for an id of
    nobody, or another system's without an address; an address is suppressed instead.
    """
    purpose = purposes.get(session, key=scope.purpose) if scope.purpose is not None else None
    demand_channel(scope.channel)
    found = hold(session, reference)
    cancel_requests(session, reference=reference, found=found, purpose=purpose, scope=scope, at=at)
    if found is None:
        suppress(session, address_of_unknown(reference), purpose=purpose, channel=scope.channel, actor=actor, at=at)
        return WithdrawalOutcome(None, (), ())
    targets = _targets(session, found.subject_id, purpose, scope.channel, at)
    ended = [
        _end(session, series, key, reason=reason, act=act, actor=actor, at=at)
        for series, key in targets
        if scope.contact_point_id in {None, series.contact_point_id}
    ]
    if reference.contact_point is not None and found.point is None:
        # The address is not theirs, or no longer: the no still means that nothing is sent there.
        suppress(session, reference.contact_point, purpose=purpose, channel=scope.channel, actor=actor, at=at)
    return WithdrawalOutcome(
        subject_id=found.subject_id,
        withdrawn=tuple(each for each, was_withdrawn in ended if not was_withdrawn),
        unchanged=tuple(each for each, was_withdrawn in ended if was_withdrawn),
    )


def address_of_unknown(reference: SubjectReference) -> ContactValue:
    """Return the address for which a no of somebody unknown is heard; raises SubjectUnknownError where there is none.

    Another system's number may be new to us; an id of ours that nobody has is a mistake, and the caller is told.
    """
    if reference.id is not None or reference.named_point is None:
        raise SubjectUnknownError
    return reference.named_point


def hold(session: Session, reference: SubjectReference) -> FoundSubject | None:
    """Find who is meant, and hold until commit every lock that a no of theirs needs: all their addresses, then them.

    Whoever gives takes the same locks in the same order, so a yes that is under way is either seen or cancelled.
    """
    found = identity.find_subject(session, reference)
    held = _indexes(session, reference, found)
    locks.lock_indexes(session, held)
    # Who holds the address may have changed while this waited, and so may which records are one person.
    found = identity.find_subject(session, reference)
    locks.lock_indexes(session, _indexes(session, reference, found) - held)
    if found is not None:
        locks.lock_subject(session, found.subject_id)
    return found


def cancel_requests(
    session: Session,
    *,
    reference: SubjectReference,
    found: FoundSubject | None,
    purpose: Purpose | None,
    scope: Scope,
    at: datetime,
) -> None:
    """Cancel what waits for the address that is named, and for the person that is meant, within a scope."""
    one = scope.contact_point_id
    contacts = [] if one is not None or reference.named_point is None else [reference.named_point]
    if found is not None:
        own = identity.list_points(session, subject_id=found.subject_id)
        contacts += [identity.open_point(session, point) for point in own if one in {None, point.id}]
    signup_requests.cancel_for(
        session,
        contacts=contacts,
        subject_id=found.subject_id if found and one is None else None,
        purpose_id=purpose.id if purpose else None,
        channel=scope.channel,
        at=at,
    )


def demand_channel(channel: str | None) -> None:
    """Raise InvalidInputError unless this is a channel of ours, or none is named."""
    if channel is not None and channel not in fields.POINT_OF_CHANNEL:
        raise InvalidInputError((FieldProblem("/channel", "channel_unknown", "There is no such channel."),))


def _end(
    session: Session,
    series: Series,
    purpose: str,
    *,
    reason: str,
    act: ActEvidence | None,
    actor: Actor,
    at: datetime,
) -> tuple[EndedConsent, bool]:
    # Appended also where the series is withdrawn already: a yes that is reported late must not slip in between two.
    latest = facts.latest_entry(session, where=facts.in_series(series))
    consent_id = latest.consent_id if latest is not None else ledger.new_consent_id(at)
    kept = None
    if act is not None:
        kept = evidence.record(
            session,
            subject_id=series.subject_id,
            consent_id=consent_id,
            box=None,
            acts={"withdrawal": act},
            at=at,
        )
    effective_at = ledger.append(
        session,
        series=series,
        act=Act(
            kind="withdrawn",
            consent_id=consent_id,
            legal_basis=latest.legal_basis if latest is not None else "consent",
            evidence_grade="single_opt_in",
            occurred_at=act.occurred_at if act is not None else at,
            reason=reason,
            evidence_id=None if kept is None else kept.evidence_id,
            evidence_sha256=None if kept is None else kept.sha256,
        ),
        actor=actor,
        at=at,
    )
    was_withdrawn = latest is not None and latest.kind == "withdrawn"
    since = latest.effective_at if latest is not None and was_withdrawn else effective_at
    return EndedConsent(consent_id, purpose, series.channel, since), was_withdrawn


def _targets(
    session: Session, subject_id: str, purpose: Purpose | None, channel: str | None, at: datetime
) -> list[tuple[Series, str]]:
    """List every series that is meant: what was ever acted on, and all that is offered at the person's points."""
    keys = {each.id: each.key for each in ([purpose] if purpose else purposes.list_all(session))}
    points = identity.list_points(session, subject_id=subject_id)
    series = set(_acted_on(session, subject_id))
    for purpose_id, key in keys.items():
        notice = notices.current(session, purpose_key=key, at=at)
        for offered in notice.content.channels if notice is not None else ():
            kind = fields.point_kind(offered)
            if kind is None:
                series.add(Series(subject_id, None, purpose_id, offered))
            series |= {
                Series(point.subject_id, point.id, purpose_id, offered) for point in points if point.kind == kind
            }
    meant = (each for each in series if each.purpose_id in keys and channel in {None, each.channel})
    ordered = sorted(
        meant, key=lambda each: (keys[each.purpose_id], each.channel, each.contact_point_id or each.subject_id)
    )
    return [(each, keys[each.purpose_id]) for each in ordered]


def _acted_on(session: Session, subject_id: str) -> Iterable[Series]:
    rows = session.execute(
        select(LedgerEntry.subject_id, LedgerEntry.contact_point_id, LedgerEntry.purpose_id, LedgerEntry.channel)
        .where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id.in_(members.ids_of(session, subject_id)),
        )
        .distinct()
    )
    return (Series(row.subject_id, row.contact_point_id, row.purpose_id, row.channel) for row in rows)


def _indexes(session: Session, reference: SubjectReference, found: FoundSubject | None) -> set[bytes]:
    indexes = set()
    if reference.named_point is not None:
        indexes.add(keys.index(session, kind=reference.named_point.kind, value=reference.named_point.normal))
    if found is not None:
        indexes |= identity.indexes_of(session, subject_id=found.subject_id)
        indexes |= signup_requests.indexes_of(session, subject_id=found.subject_id)
    return indexes


def suppress(
    session: Session,
    contact: ContactValue,
    *,
    purpose: Purpose | None,
    channel: str | None,
    actor: Actor,
    at: datetime,
) -> str:
    """Stop an address and return the id of the stop; it counts from after every act of whoever holds the address."""
    holders = identity.list_holders(session, contact)
    moments = (ledger.moment_after(session, subject_id=holder.subject_id, at=at) for holder in holders)
    return suppression.suppress(
        session,
        hashed=suppression.address_hash(session, contact),
        purpose_id=purpose.id if purpose else None,
        channel=channel,
        kind="objected",
        actor=actor,
        at=max(moments, default=at),
    )
