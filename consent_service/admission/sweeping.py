"""Deletes rows that have served their time, a bounded number at once, so that no lock is held for long."""

from sqlalchemy import ColumnElement, CursorResult, delete, select, tuple_
from sqlalchemy.orm import Session, class_mapper

from consent_service.admission.models import AdmittedMail, IdempotencyRecord, MailRefusal, ThrottleCounter
from consent_service.db.session import controller_of

Sweepable = type[AdmittedMail] | type[IdempotencyRecord] | type[MailRefusal] | type[ThrottleCounter]


def delete_some(session: Session, model: Sweepable, condition: ColumnElement[bool], *, limit: int) -> int:
    """Delete up to `limit` rows of this transaction's controller that meet the condition; return how many."""
    key = class_mapper(model).primary_key
    some = (
        select(*key)
        .where(model.controller_id == controller_of(session), condition)
        .order_by(*key)
        .limit(limit)
        .cte("some")
        # A plan that ran the subquery once for each row would delete more than was asked for.
        .prefix_with("MATERIALIZED")
    )
    result = session.execute(
        delete(model).where(tuple_(*key).in_(select(*some.c))).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - a DELETE has no other result
    return result.rowcount
