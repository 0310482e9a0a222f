"""Rows of the audit trail: entries with a commitment, what they are about, and the queue that feeds the log's tree."""

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed

SCHEMA = "audit"


class AuditEntry(Base):
    """One change or one look; `commit` binds the sealed payload, and no value repeats between a person's entries."""

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("sealed_for IN ('subject', 'controller')", name="sealed_for"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("aud"), primary_key=True)
    version: Mapped[int]
    type: Mapped[str]
    occurred_at: Mapped[Moment]
    commit: Mapped[Keyed]
    sealed_for: Mapped[str]
    sealed: Mapped[Sealed]


class AuditEntrySubject(Base):
    """The row that ties an entry to a person; it can be deleted while the entry stays."""

    __tablename__ = "entry_subject"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "entry_id"], [f"{SCHEMA}.entry.controller_id", f"{SCHEMA}.entry.id"]),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    entry_id: Mapped[str] = mapped_column(Identifier("aud"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"), index=True)


class AuditStreamHead(Base):
    """The last number and commitment of a stream (a subject, a purpose, a form …), moved on under its lock."""

    __tablename__ = "stream_head"
    __table_args__ = ({"schema": SCHEMA},)

    controller_id: Mapped[ControllerId]
    stream: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    commit: Mapped[Keyed]


class AuditQueue(Base):
    """Entries that wait for their place in the tree; filled by a trigger, emptied by the sequencer."""

    __tablename__ = "queue"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "entry_id"], [f"{SCHEMA}.entry.controller_id", f"{SCHEMA}.entry.id"]),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    entry_id: Mapped[str] = mapped_column(Identifier("aud"), primary_key=True)
