"""Writes every decision down before it is answered: as lines of JSON in this process's spool.

A line is an array and not an object, and holds ids, words and times alone: no address and no external id. Ids may be
UUIDs or their texts; orjson writes them, and times, as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import orjson

from consent_service.consent.spool import Spool

Id = UUID | str
#: What was answered about one person of many: number of the item, subject, allowed, status, reason, legal basis,
#: declaration, ledger entry, notice version, obligations, valid until, next allowed at.
Answer = tuple[
    int,
    Id,
    bool,
    str,
    str,
    str | None,
    Id | None,
    Id | None,
    int | None,
    Sequence[str],
    datetime | None,
    datetime | None,
]

SINGLE: Final = "s1"
MANY: Final = "m1"

_dumps = orjson.dumps
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE


def record_single(  # noqa: PLR0913 - each is one thing that was asked or answered
    spool: Spool,
    *,
    controller_id: Id,
    decision_id: Id,
    api_key_id: Id,
    purpose: str,
    channel: str,
    evaluated_at: datetime,
    as_of: datetime | None,
    known_at: datetime | None,
    recipient: str | None,
    min_evidence: str | None,
    subject_id: Id | None,
    allowed: bool,
    status: str,
    reason: str,
    legal_basis: str | None,
    consent_id: Id | None,
    ledger_entry_id: Id | None,
    notice_version: int | None,
    obligations: Sequence[str],
    valid_until: datetime | None,
    next_allowed_at: datetime | None,
) -> None:
    """Write down one question and its answer (GDPR Art. 5(2)); raises SpoolUnavailableError.

    When this returns the answer may be sent: it survives the death of this process.
    """
    spool.append(
        _dumps(
            (
                SINGLE,
                controller_id,
                decision_id,
                api_key_id,
                purpose,
                channel,
                evaluated_at,
                as_of,
                known_at,
                recipient,
                min_evidence,
                subject_id,
                allowed,
                status,
                reason,
                legal_basis,
                consent_id,
                ledger_entry_id,
                notice_version,
                obligations,
                valid_until,
                next_allowed_at,
            ),
            option=_OPTIONS,
        )
    )


def record_many(  # noqa: PLR0913 - each is one thing that was asked or answered
    spool: Spool,
    *,
    kind: Literal["batch", "stream"],
    controller_id: Id,
    decision_id: Id,
    api_key_id: Id,
    purpose: str,
    channel: str,
    started_at: datetime,
    evaluated_at: datetime,
    as_of: datetime | None,
    known_at: datetime | None,
    recipient: str | None,
    min_evidence: str | None,
    allowed: int,
    denied: int,
    invalid: int,
    answers: Sequence[Answer],
) -> None:
    """Write down one chunk of a batch or stream; raises SpoolUnavailableError.

    `started_at` is the same in every chunk of a call, `evaluated_at` the chunk's own. `allowed`, `denied` and `invalid`
    count the call from its beginning up to and with this chunk, so that a chunk that is read twice counts once.
    `answers` are those about people who are known; the others are only counted.
    """
    spool.append(
        _dumps(
            (
                MANY,
                controller_id,
                decision_id,
                api_key_id,
                purpose,
                channel,
                started_at,
                as_of,
                known_at,
                recipient,
                min_evidence,
                kind,
                evaluated_at,
                allowed,
                denied,
                invalid,
                answers,
            ),
            option=_OPTIONS,
        )
    )
