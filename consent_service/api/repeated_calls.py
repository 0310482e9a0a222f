"""Gives a repeated call its first answer again (draft-ietf-httpapi-idempotency-key-header).

Key and body are kept as keyed hashes and the answer sealed, for callers put addresses in all three.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from flask import Request, Response
from sqlalchemy.orm import Session

from consent_service.admission import idempotency
from consent_service.vault import keys
from consent_service.web.problems import ProblemError

HEADER: Final = "Idempotency-Key"
REPLAY_HEADER: Final = "Idempotent-Replay"

_LONGEST: Final = 255
# As `_QUOTED` and `_BARE` below, in the dialect of JSON Schema.
_PATTERN: Final = r'^([!#-~][!-~]*|"([ !#-[\]-~]|\\["\\])+")$'

#: How the header stands in the description of the API.
DESCRIPTION: Final = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": _LONGEST, "pattern": _PATTERN},
    "description": "Repeat a call safely: the same key and body within 30 days gets the first answer again.",
}
# A String of RFC 9651 §3.3.3, and the bare word that most clients send instead.
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"', re.ASCII)
_BARE: Final = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]*", re.ASCII)
_ESCAPED: Final = re.compile(r'\\(["\\])')


def once(
    session: Session,
    request: Request,
    *,
    api_key_id: str,
    at: datetime,
    act: Callable[[], tuple[Response, bytes]],
) -> Response:
    """Act, or answer as the first time.

    `act` returns the answer and what is kept of it, in the same transaction as its effects. Raises ProblemError for a
    key that cannot be used, IdempotencyMismatchError for another body and IdempotencyInFlightError while it runs.
    """
    key = read_key(request)
    if key is None:
        return act()[0]
    # The path holds ids alone, and the same key on another route is another call.
    scope = f"{request.method} {request.path}"
    key_hash = keys.request_hash(session, key.encode())
    body_hash = keys.request_hash(session, request.get_data(cache=True))
    row_id = f"{api_key_id} {scope} {key_hash.hex()}"
    stored = idempotency.begin(
        session, api_key_id=api_key_id, scope=scope, key_hash=key_hash, body_hash=body_hash, at=at
    )
    if stored is not None:
        body = keys.unseal_for_controller(
            session, stored.sealed, table="idempotency_record", column="sealed", row_id=row_id
        )
        headers = {REPLAY_HEADER: "true"}
        return Response(body, status=stored.status, mimetype="application/json", headers=headers)
    answer, kept = act()
    idempotency.store(
        session,
        api_key_id=api_key_id,
        scope=scope,
        key_hash=key_hash,
        body_hash=body_hash,
        status=answer.status_code,
        sealed=keys.seal_for_controller(session, kept, table="idempotency_record", column="sealed", row_id=row_id),
        at=at,
    )
    return answer


def read_key(request: Request) -> str | None:
    """Read the key of a call, or None where there is none; raises ProblemError where it cannot be used."""
    sent = request.headers.get(HEADER)
    if sent is None:
        return None
    text = sent.strip()
    quoted = _QUOTED.fullmatch(text)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE.fullmatch(text)) or not 0 < len(key) <= _LONGEST:
        raise ProblemError("idempotency_key_invalid")
    return key
