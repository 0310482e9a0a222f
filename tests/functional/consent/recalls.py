"""What tests of recalls do: report with a key, recall a source, and look at what became of it."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import func, select

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.consent import preferences, records, reporting, revocation
from consent_service.consent.models import LedgerEntry
from consent_service.consent.preference_links import Visitor
from consent_service.consent.reporting import ReportedAct, ReportedDecision
from consent_service.consent.revocation import Extent, Recall
from consent_service.consent.sources import Source
from consent_service.registry.forms import FormVersion
from tests.acts import KARI, Stage, an_act, contact, refer
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
YES = ("club", "email", True)


def report(
    stage: Stage,
    form: FormVersion,
    key_id: str,
    *,
    who: str = KARI,
    decision: tuple[str, str, bool] = YES,
    at: datetime = NOON,
    **said: Any,  # noqa: ANN401 - passed on to ReportedAct
) -> None:
    """Let the system of a key report an answer of a person."""
    whole: dict[str, Any] = {"additional": (), "form_version": None, "language": "nb", **said}
    with stage.act() as session:
        reporting.record_reported(
            session,
            report=ReportedAct(
                reference=refer(who),
                form_id=form.form_id,
                decisions=(ReportedDecision(*decision),),
                evidence=an_act("button_pressed", at=at),
                **whole,
            ),
            actor=trail.Actor("api_key", key_id),
            at=at,
        )


def recall(
    stage: Stage,
    *,
    at: datetime = NOON + MINUTE,
    period: tuple[Any, Any] = (None, None),
    **source: Any,  # noqa: ANN401 - fields of a Source
) -> Recall:
    """Recall a source."""
    with stage.act() as session:
        recorded, _ = revocation.record(
            session,
            extent=Extent(Source(**source), *period),
            reason="the page had ticked the box",
            actor=trail.SYSTEM,
            at=at,
        )
    return recorded


def status(stage: Stage, purpose: str = "club", *, who: str = KARI, at: datetime = NOON + HOUR) -> str:
    """Return how a person's consent stands, as systems are shown it."""
    subject_id = stage.check(purpose, who=who, at=at).subject_id
    assert subject_id is not None
    with stage.act() as session:
        found = records.current(session, subject_id=subject_id, at=at)
    return next(each.status for each in found if (each.purpose, each.channel) == (purpose, "email"))


def entries(stage: Stage, kind: str = "revoked") -> int:
    """Count the entries of a kind in the ledger."""
    with stage.act() as session:
        return (
            session.scalar(
                select(func.count()).where(LedgerEntry.controller_id == stage.controller_id, LedgerEntry.kind == kind)
            )
            or 0
        )


def a_report(form: FormVersion) -> ReportedAct:
    """Return the report of a yes."""
    return ReportedAct(
        reference=refer(KARI),
        additional=(),
        form_id=form.form_id,
        form_version=None,
        language="nb",
        decisions=(ReportedDecision(*YES),),
        evidence=an_act("button_pressed"),
    )


def visit(stage: Stage, *, at: datetime) -> None:
    """Let Kari tick the newsletter in the preference centre."""
    wanted = frozenset({NEWS})
    visitor = Visitor(contact=contact(KARI), masked="", subject_id=None, point=None, can_give=True)
    with stage.act() as session:
        preferences.save(session, visitor=visitor, wanted=wanted, shown=wanted, language="nb", act=an_act(at=at), at=at)


def multiply(superuser_url: str, controller_id: str, number: int) -> None:
    """Let as many people have what the only person of a controller has, without going through the door each time."""
    controller = identifiers.to_uuid(controller_id, "ctl")
    with psycopg.connect(superuser_url) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'ledger_entry'"
                " AND column_name NOT IN ('id', 'seq', 'subject_id')"
            )
        ]
        connection.execute(
            "CREATE TEMPORARY TABLE more AS SELECT gen_random_uuid() AS subject FROM generate_series(2, %s)", (number,)
        )
        connection.execute(
            "INSERT INTO subject (controller_id, id, created_at)"
            " SELECT controller_id, subject, created_at FROM subject, more WHERE controller_id = %s",
            (controller,),
        )
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        connection.execute(
            sql.SQL(
                "INSERT INTO ledger_entry (id, subject_id, {0}) SELECT gen_random_uuid(), subject, {0}"
                " FROM ledger_entry, more WHERE controller_id = %s"
            ).format(columns),
            (controller,),
        )
