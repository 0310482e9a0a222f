"""Backs up and restores the tables of a log, erases people, and says what was lost, as operators and disasters do."""

from collections.abc import Mapping
from typing import Final

import psycopg
from sqlalchemy import delete

from consent_service import identifiers
from consent_service.audit import logs, trail
from consent_service.audit.models import AuditEntryAbout, AuditStreamHead
from consent_service.db.session import Database
from consent_service.subjects import identity
from tests.builders import NOON
from tests.log_house import House

TABLES: Final = (
    *("audit.entry", "audit.entry_about", "audit.stream_head", "audit.queue", "audit.tree", "audit.leaf", "audit.tile"),
    *("audit.checkpoint", "audit.cosignature", "vault.subject_key"),
)

Backup = Mapping[str, bytes]


def back_up(house: House) -> Backup:
    """Keep the tables of the log as they are."""
    with psycopg.connect(house.superuser_url) as connection, connection.cursor() as cursor:
        return {table: _copy_out(cursor, table) for table in TABLES}


def restore(house: House, backup: Backup) -> None:
    """Bring the tables of the log back to what they were; what lies outside stays."""
    with psycopg.connect(house.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for table, content in backup.items():
            cursor.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - a name of this module
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
                copy.write(content)


def recover(house: House, **wrong: object) -> None:
    """Write down what was lost, as the operator does who brought the backup back."""
    head = house.head(epoch=house.log().epoch)
    with house.database.transaction(house.controller_id) as session:
        log = logs.get(session)
        gap = {"log": log.origin, "size": head.size, "root": head.root.hex(), "kept": log.size, **wrong}
        trail.record(
            session,
            type="log.recovered",
            at=NOON,
            actor=trail.SYSTEM,
            stream="log",
            payload={"reason": "The disk broke."},
            gap=gap,
        )


def a_person(house: House, *, acts: int = 3) -> str:
    """Let somebody become known, and let things happen that are about them."""
    with house.database.transaction(house.controller_id) as session:
        person = identity.create(session, actor=trail.SYSTEM, at=NOON)
    act_about(house, person, times=acts)
    return person


def act_about(house: House, person: str, *, times: int = 1) -> None:
    """Let things happen that are about a person."""
    with house.database.transaction(house.controller_id) as session:
        for _ in range(times):
            trail.record(
                session,
                type="consent.given",
                at=NOON,
                actor=trail.SUBJECT,
                stream=f"subject:{person}",
                payload={"reason": "web_form"},
                subject_id=person,
            )


def erase(house: House, person: str, retention: Database) -> None:
    """Destroy a person's key, and what ties entries to them."""
    house.as_superuser(f"DELETE FROM vault.subject_key WHERE subject_id = '{identifiers.to_uuid(person, 'sub')}'")  # noqa: S608 - an id
    with retention.transaction(house.controller_id) as session:
        session.execute(delete(AuditEntryAbout).where(AuditEntryAbout.subject_id == person))
        session.execute(delete(AuditStreamHead).where(AuditStreamHead.stream == f"subject:{person}"))


def _copy_out(cursor: psycopg.Cursor[tuple[object, ...]], table: str) -> bytes:
    with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copy:
        return b"".join(copy)
