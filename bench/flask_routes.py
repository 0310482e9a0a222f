"""Two Flask routes to measure against, served exactly as the service is: the ceiling and the floor of the work.

`/empty` does nothing. `/latest/<subject>` is what a check cannot do without: one look-up of the latest ledger entry by
the index that the service uses, over one connection per thread, in autocommit, prepared; no key, no tenant, no
validation, no purpose, no decision, no log, and the person's id given instead of found.
"""

import os
import threading
from typing import Any

import orjson
import psycopg
from flask import Flask, Response

_LATEST = (
    "SELECT kind, consent_id, effective_at, expires_at FROM ledger_entry"
    " WHERE controller_id = %s AND subject_id = %s AND purpose_id = %s AND channel = 'email'"
    " ORDER BY effective_at DESC, seq DESC LIMIT 1"
)

app = Flask("bench")
_of_thread = threading.local()


@app.get("/empty")
def empty() -> Response:
    """Answer without looking at anything."""
    return Response(b"{}", mimetype="application/json")


@app.get("/latest/<subject>")
def latest(subject: str) -> Response:
    """Answer with the latest entry about the newsletter; 404 tells the load generator that it asks about nobody."""
    place = os.environ["BENCH_CONTROLLER"], subject, os.environ["BENCH_PURPOSE"]
    row = _connection().execute(_LATEST, place, prepare=True).fetchone()
    if row is None:
        return Response(status=404)
    answer = {"kind": row[0], "consent_id": row[1], "effective_at": row[2], "expires_at": row[3]}
    return Response(orjson.dumps(answer), mimetype="application/json")


def _connection() -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] | None = getattr(_of_thread, "connection", None)
    if connection is None:
        connection = psycopg.connect(os.environ["BENCH_DATABASE"], autocommit=True)
        _of_thread.connection = connection
    return connection
