"""Fills the service's own tables with people by COPY, as their sign-ups would have left them.

Real are every row and every index, the blind indexes and suppression hashes (under the company's own keys), the
people's keys, and the sealed addresses: a check, a withdrawal or a reveal cannot tell such a person from one who
signed up. Filled with noise of one length are the sealed bodies that no measured act reads: the evidence and the
payloads of the audit log. Triggers and foreign keys rest while rows are copied (`session_replication_role`), and the
queue of the audit log stays empty, as if all of it were in the tree.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import psycopg

from bench.rows import COLUMNS, CompanyKeys, Rows
from bench.world import World
from consent_service.crypto import keyring
from consent_service.db.session import Database, make_engine
from consent_service.vault import keys

CHUNK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Job:
    """A range of people for one process to write."""

    superuser_url: str = field(repr=False)
    app_url: str = field(repr=False)
    keys_dir: Path
    company: World
    total: int
    first: int
    beyond: int


def fill(job: Job, *, say: Callable[[str], None]) -> float:
    """Write everybody with one process a core, gather the planner's statistics; return the seconds that took."""
    begun = time.monotonic()
    ranges = [
        Job(job.superuser_url, job.app_url, job.keys_dir, job.company, job.total, first, min(first + CHUNK, job.beyond))
        for first in range(job.first, job.beyond, CHUNK)
    ]
    done = 0
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(write, each) for each in ranges]):
            done += future.result()
            say(f"  {done:,} of {job.total:,} people")
    with psycopg.connect(job.superuser_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
    return time.monotonic() - begun


def write(job: Job) -> int:
    """Write one range of people in one transaction and return how many they are."""
    rows = Rows(job.company, _open_keys(job), total=job.total, seed=job.first)
    for number in range(job.first, job.beyond):
        rows.add(number)
    if job.first == 0:
        rows.add_recall(job.company.first_sign_up + timedelta(days=30))
    with psycopg.connect(job.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for table, columns in COLUMNS.items():
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                copy.write("".join(rows.of_table[table]))
    return job.beyond - job.first


def _open_keys(job: Job) -> CompanyKeys:
    engine = make_engine(job.app_url)
    try:
        database = Database(engine, keyring.load_keyring(job.keys_dir))
        with database.transaction(job.company.controller_id) as session:
            # The vault gives nobody a raw key; a million of its inserts would take an hour.
            kek, index, suppression = (
                keys._controller_key(session, kind)  # noqa: SLF001
                for kind in ("kek", "index", "suppression")
            )
    finally:
        engine.dispose()
    return CompanyKeys(kek=kek, index=index.secret, suppression=suppression.secret)
