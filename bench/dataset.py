"""Fills the service's own tables with people by COPY, as their sign-ups would have left them.

Real are every row and every index, the blind indexes and suppression hashes (under the company's own keys), the
people's keys, and the sealed addresses: a check, a withdrawal or a reveal cannot tell such a person from one who
signed up. Filled with noise of one length are the sealed bodies that no measured act reads: the evidence and the
payloads of the audit log. Triggers and foreign keys rest while rows are copied (`session_replication_role`), and the
queue of the audit log stays empty, as if all of it were in the tree.
"""

import os
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import psycopg

from bench import people, world
from bench.people import Story
from bench.world import World
from consent_service import identifiers
from consent_service.crypto import blind_index, keyring, sealing
from consent_service.crypto.keyring import Key
from consent_service.crypto.sealing import Context
from consent_service.db.session import Database, make_engine
from consent_service.vault import keys

CHUNK: Final = 10_000
#: What the shortest sealed text takes, in bytes.
NOISE_BYTES: Final = 162
COLUMNS: Final = {
    "subject": "controller_id, id, created_at",
    "vault.subject_key": "controller_id, subject_id, wrapped, created_at",
    "contact_point": "controller_id, id, subject_id, kind, blind_index, sealed, verified_at, holder_from",
    "external_id": "controller_id, system, blind_index, subject_id, sealed, created_at",
    "audit.entry": "controller_id, id, version, type, occurred_at, commit, sealed_for, sealed",
    "audit.entry_subject": "controller_id, entry_id, subject_id",
    "audit.stream_head": "controller_id, stream, number, commit",
    "evidence": "controller_id, id, subject_id, consent_id, recorded_at",
    "evidence_part": "controller_id, evidence_id, part, sealed",
    "ledger_entry": (
        "controller_id, id, consent_id, subject_id, contact_point_id, purpose_id, channel, kind, legal_basis,"
        " notice_id, language, evidence_id, evidence_grade, occurred_at, confirmed_at, effective_at, recorded_at,"
        " expires_at, reason, actor, audit_entry_id"
    ),
    "objection": "controller_id, id, subject_id, recorded_at, audit_entry_id",
    "suppression": "controller_id, id, address_hash, kind, recorded_at, audit_entry_id",
    "restriction_fact": "controller_id, subject_id, recorded_at, kind, audit_entry_id",
}
_NONE: Final = r"\N"
_VALID_FOR: Final = timedelta(days=730)


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


@dataclass(frozen=True, slots=True)
class CompanyKeys:
    """The opened keys of the company, under which the rows are real."""

    kek: Key = field(repr=False)
    index: bytes = field(repr=False)
    suppression: bytes = field(repr=False)


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
    chunk = _Chunk(job, _open_keys(job))
    for number in range(job.first, job.beyond):
        chunk.add(number)
    with psycopg.connect(job.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for table, columns in COLUMNS.items():
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                copy.write("".join(chunk.rows[table]))
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


class _Chunk:
    """Rows in COPY's text format, by table."""

    def __init__(self, job: Job, company_keys: CompanyKeys) -> None:
        self.rows: dict[str, list[str]] = {table: [] for table in COLUMNS}
        self._company = job.company
        self._keys = company_keys
        self._controller = identifiers.to_uuid(job.company.controller_id, "ctl").hex
        self._purposes = {key: identifiers.to_uuid(value, "pur").hex for key, value in job.company.purpose_ids.items()}
        self._notices = {key: identifiers.to_uuid(value, "ntc").hex for key, value in job.company.notice_ids.items()}
        days = world.FIRST_SIGN_UP_DAYS_AGO - 1 - world.LAST_SIGN_UP_DAYS_AGO
        self._step = timedelta(days=days) / job.total
        self._random = random.Random(job.first)  # noqa: S311 - repeatable rows; what must be secret is not drawn here.
        noise = self._random.randbytes(1 << 16)
        self._noise = (noise + noise).hex()

    def add(self, number: int) -> None:
        """Add everything that is known of one person."""
        at = self._company.first_sign_up + number * self._step
        subject = people.subject_hex(number)
        public_id = identifiers.from_uuid(uuid.UUID(subject), "sub")
        own_key = sealing.random_key()
        self._row("subject", subject, at)
        place = Context(self._company.controller_id, "vault.subject_key", "wrapped", public_id)
        wrapped = sealing.wrap_key(self._keys.kek, own_key, context=place)
        self._row("vault.subject_key", subject, _bytes(wrapped), at)
        point = self._add_points(number, subject, public_id, own_key, at)
        self._audit("subject.created", subject, at)
        given = [
            self._add_entry("given", self._id(at), *each, subject=subject, point=point, at=at)
            for each in world.CONSENTS
        ]
        count = 4 + self._add_story(number, given[0], subject=subject, point=point, at=at + timedelta(days=10))
        self._row("audit.stream_head", f"subject:{public_id}", count, self._commitment())

    def _add_points(self, number: int, subject: str, public_id: str, own_key: bytes, at: datetime) -> str:
        address, outside = people.email(number), people.external_id(number)
        point = self._id(at)
        point_id = identifiers.from_uuid(uuid.UUID(point), "cpt")
        blind = blind_index.blind_index(self._keys.index, kind="email", value=address)
        place = Context(self._company.controller_id, "contact_point", "sealed", point_id)
        sealed = sealing.seal(own_key, address.encode(), context=place)
        self._row("contact_point", point, subject, "email", _bytes(blind), _bytes(sealed), at, at)
        blind = blind_index.blind_index(self._keys.index, kind="external_id:crm", value=outside)
        place = Context(self._company.controller_id, "external_id", "sealed", f"crm:{public_id}")
        sealed = sealing.seal(own_key, outside.encode(), context=place)
        self._row("external_id", "crm", _bytes(blind), subject, _bytes(sealed), at)
        return point

    def _add_story(self, number: int, consent: str, *, subject: str, point: str, at: datetime) -> int:
        """Add what came later and return how many audit entries it has in the person's stream."""
        match people.story(number):
            case Story.STAYED:
                return 0
            case Story.WITHDREW:
                self._add_entry("withdrawn", consent, *world.CONSENTS[0], subject=subject, point=point, at=at)
            case Story.OBJECTED:
                entry = self._audit("objection.recorded", subject, at)
                self._row("objection", self._id(at), subject, at, entry)
            case Story.RESTRICTED:
                entry = self._audit("subject.restricted", subject, at)
                self._row("restriction_fact", subject, at, "restricted", entry)
            case Story.SUPPRESSED:
                hashed = blind_index.suppression_hash(self._keys.suppression, kind="email", value=people.email(number))
                entry = self._audit("suppression.recorded", None, at)
                self._row("suppression", self._id(at), _bytes(hashed), "objected", at, entry)
                return 0
        return 1

    def _add_entry(
        self, kind: str, consent: str, purpose: str, channel: str, *, subject: str, point: str, at: datetime
    ) -> str:
        """Add an act to the ledger and return the declaration's id."""
        is_given, is_confirmed = kind == "given", purpose == "newsletter"
        evidence = self._id(at) if is_given else _NONE
        if is_given:
            self._row("evidence", evidence, subject, consent, at)
            self._row("evidence_part", evidence, "statement", self._sealed())
        self._row(
            "ledger_entry",
            self._id(at),
            consent,
            subject,
            _NONE if channel == "web" else point,
            self._purposes[purpose],
            channel,
            kind,
            "consent",
            self._notices[purpose] if is_given else _NONE,
            "nb" if is_given else _NONE,
            evidence,
            "double_opt_in" if is_given and is_confirmed else "single_opt_in",
            at - timedelta(minutes=5) if is_given else at,
            at if is_given and is_confirmed else _NONE,
            at,
            at,
            at + _VALID_FOR if is_given else _NONE,
            "confirmed" if is_given else "api",
            "subject" if is_given else "system",
            self._audit(f"consent.{kind}", subject, at),
        )
        return consent

    def _audit(self, kind: str, subject: str | None, at: datetime) -> str:
        entry = self._id(at)
        owner = "controller" if subject is None else "subject"
        self._row("audit.entry", entry, 1, kind, at, self._commitment(), owner, self._sealed())
        if subject is not None:
            self._row("audit.entry_subject", entry, subject)
        return entry

    def _row(self, table: str, *values: object) -> None:
        self.rows[table].append(self._controller + "\t" + "\t".join(map(str, values)) + "\n")

    def _id(self, at: datetime) -> str:
        """Return a UUIDv7 in hex (RFC 9562 §5.7)."""
        milliseconds = int(at.timestamp() * 1000)
        drawn = self._random.getrandbits(74)
        return f"{milliseconds << 80 | 7 << 76 | drawn >> 62 << 64 | 2 << 62 | drawn & (1 << 62) - 1:032x}"

    def _sealed(self) -> str:
        begin = self._random.randrange(1 << 17)
        return rf"\\x{self._noise[begin : begin + NOISE_BYTES * 2]}"

    def _commitment(self) -> str:
        return rf"\\x{self._random.getrandbits(256):064x}"


def _bytes(value: bytes) -> str:
    return rf"\\x{value.hex()}"
