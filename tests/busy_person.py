"""A person about whom everything was written down that can be: one act after the other, at times of their own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.consent import merging, notice_deliveries, preference_links, relations
from consent_service.consent.relations import Sale
from consent_service.db import session as db_session
from consent_service.db.session import Database
from consent_service.exports import jobs
from consent_service.registry.forms import FormVersion
from consent_service.subjects import recipient_kinds, restriction, revealing, suppression
from tests.acts import TILL, Stage, contact, refer
from tests.builders import NOON

NEWS: Final = ("newsletter", "email")
CLUB: Final = ("club", "email")


def a_form(stage: Stage) -> FormVersion:
    """Offer what these people say yes and no to."""
    stage.purpose("newsletter")
    stage.purpose("club", double_opt_in=False)
    return stage.form(NEWS, CLUB)


def live(database: Database, controller: str, form: FormVersion, *, email: str, at: datetime = NOON) -> str:
    """Let a person do and undergo more than twenty acts, a minute and a request each; return the id of the record."""
    stage = Stage(database, controller)
    try:
        return _live(stage, form, email, _minutes(at))
    finally:
        db_session.serve_request(None)


def _live(stage: Stage, form: FormVersion, email: str, minutes: Iterator[datetime]) -> str:
    subject_id = stage.give(form, NEWS, email=email, at=next(minutes)).subject_id
    assert subject_id is not None
    _answer(stage, form, email, minutes)
    _undergo(stage, email, subject_id, minutes)
    _refuse(stage, form, email, subject_id, minutes)
    return subject_id


def _minutes(at: datetime) -> Iterator[datetime]:
    for minute in count():
        db_session.serve_request(identifiers.new_id("req"))
        # Microseconds of their own, as in life.
        yield at + minute * timedelta(minutes=1, microseconds=7_919)


def _answer(stage: Stage, form: FormVersion, email: str, minutes: Iterator[datetime]) -> None:
    for _ in range(3):
        stage.withdraw(email, "newsletter", at=next(minutes))
        stage.report(form, (*CLUB, True), who=email, at=next(minutes))
        stage.report(form, (*CLUB, False), who=email, at=next(minutes))
        stage.give(form, NEWS, email=email, at=next(minutes))
    at = next(minutes)
    with stage.act() as session:
        preference_links.ask(session, contact=contact(email), language="nb", at=at)


def _undergo(stage: Stage, email: str, subject_id: str, minutes: Iterator[datetime]) -> None:
    reference = refer(email)
    at = next(minutes)
    with stage.act() as session:
        sale = Sale("membership", at, "sports_gear", received_at_sale=True, opt_out_offered=True)
        relations.record(session, reference=reference, sale=sale, actor=TILL, at=at)
    at = next(minutes)
    with stage.act() as session:
        notice_deliveries.record(session, reference=reference, notice="objection", delivered_at=at, actor=TILL, at=at)
    at = next(minutes)
    with stage.act() as session:
        recipient_kinds.classify(
            session, reference=reference, recipient_kind="company", reason="A firm.", actor=TILL, at=at
        )
    for change in (restriction.restrict, restriction.lift):
        at = next(minutes)
        with stage.act() as session:
            change(session, subject_id=subject_id, reason="Asked for.", actor=trail.SYSTEM, at=at)
    at = next(minutes)
    with stage.act() as session:
        revealing.reveal(session, subject_id=subject_id, reason="Asked.", actor=trail.SYSTEM, at=at)
    at = next(minutes)
    with stage.act() as session:
        jobs.ask(
            session,
            kind="test",
            parameters={},
            said={},
            media_type="text/plain",
            file_name="all.txt",
            actor=trail.SYSTEM,
            at=at,
            subject_id=subject_id,
        )


def _refuse(stage: Stage, form: FormVersion, email: str, subject_id: str, minutes: Iterator[datetime]) -> None:
    """Turn out to be two records, one of them under another address, object, and stop both addresses."""
    second = stage.give(form, NEWS, email=f"other.{email}", at=next(minutes)).subject_id
    assert second is not None
    at = next(minutes)
    with stage.act() as session:
        merging.merge(
            session,
            survivor_id=subject_id,
            duplicate_id=second,
            source="test",
            reason="One card.",
            actor=trail.SYSTEM,
            at=at,
        )
    stage.object_to(email, "newsletter", at=next(minutes))
    for address in (email, f"other.{email}"):
        at = next(minutes)
        with stage.act() as session:
            suppression.suppress(
                session,
                hashed=suppression.address_hash(session, contact(address)),
                purpose_id=None,
                channel=None,
                kind="objected",
                actor=trail.SUBJECT,
                at=at,
            )
