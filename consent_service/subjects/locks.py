"""The order of acts: who acts on an address, or on a person, holds its lock until commit, so two acts cannot cross.

Locks are PostgreSQL's transaction-level advisory locks: an address that nobody is known under can be locked too.
Always take the addresses first (in sorted order), then the subject, and what every act shares last.
"""

import hashlib
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from consent_service.db.session import controller_of
from consent_service.subjects import members
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys


def lock_addresses(session: Session, contacts: Iterable[ContactValue]) -> None:
    """Wait until no other act on any of these addresses runs."""
    lock_indexes(session, (keys.index(session, kind=contact.kind, value=contact.normal) for contact in contacts))


def lock_indexes(session: Session, indexes: Iterable[bytes]) -> None:
    """Wait until no other act on the addresses with these blind indexes runs."""
    for blind in sorted(set(indexes)):
        _lock(session, b"address" + blind)


def lock_subject(session: Session, subject_id: str) -> str:
    """Wait until no other act on this person runs, under whichever of their ids; return the one they go by.

    The lock of the record that goes on is the lock of the person.
    """
    known = members.survivor_of(session, subject_id)
    _lock(session, b"subject" + known.encode())
    # A merge holds the locks of both records, and may have been what this waited for.
    survivor = members.survivor_of(session, subject_id)
    if survivor != known:
        _lock(session, b"subject" + survivor.encode())
    return survivor


def lock_records(session: Session, subject_ids: Iterable[str]) -> None:
    """Wait until no other act on any of these records runs; taken in the order of their ids."""
    for subject_id in sorted(set(subject_ids)):
        _lock(session, b"subject" + subject_id.encode())


def join_acts(session: Session) -> None:
    """Act beside all others, and let whoever stops them all wait for the end of this act; waits while they do."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:number)"), {"number": _number(session, b"acts")})


def stop_acts(session: Session) -> None:
    """Wait until every act that joined has ended, and hold back new ones until commit.

    The caller holds no other lock and takes none afterwards that an act may hold.
    """
    _lock(session, b"acts")


def _lock(session: Session, what: bytes) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _number(session, what)})


def _number(session: Session, what: bytes) -> int:
    digest = hashlib.sha256(controller_of(session).encode() + what).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
