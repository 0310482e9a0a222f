"""Rows of the audit log: entries with a commitment, what they are about, the queue, and the tree made of them."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed

SCHEMA = "audit"


class AuditEntry(Base):
    """One change or one look; `commit` binds the sealed payload, and no value repeats between a person's entries.

    `gap` says in clear what a restored database has lost (`log.recovered`).
    """

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("sealed_for IN ('subject', 'controller')", name="sealed_for"),
        CheckConstraint("(gap IS NOT NULL) = (type = 'log.recovered')", name="gap"),
        Index("ix_entry_type", "controller_id", "type", "id"),
        Index("ix_entry_gap", "controller_id", "id", postgresql_where=text("gap IS NOT NULL")),
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
    gap: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class AuditEntryAbout(Base):
    """What an entry is about, for whoever searches the log; it can be deleted while the entry stays."""

    __tablename__ = "entry_about"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "entry_id"], [f"{SCHEMA}.entry.controller_id", f"{SCHEMA}.entry.id"]),
        Index("ix_entry_about_subject_id", "controller_id", "subject_id", "entry_id"),
        Index("ix_entry_about_actor", "controller_id", "actor", "entry_id"),
        Index("ix_entry_about_purpose_id", "controller_id", "purpose_id", "entry_id"),
        Index("ix_entry_about_request_id", "controller_id", "request_id"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    entry_id: Mapped[str] = mapped_column(Identifier("aud"), primary_key=True)
    subject_id: Mapped[str | None] = mapped_column(Identifier("sub"))
    actor: Mapped[str | None]
    purpose_id: Mapped[str | None] = mapped_column(Identifier("pur"))
    channel: Mapped[str | None]
    request_id: Mapped[str | None]


class AuditStreamHead(Base):
    """The last number and commitment of a stream (a subject, a purpose, a form …), moved on under its lock."""

    __tablename__ = "stream_head"
    __table_args__ = ({"schema": SCHEMA},)

    controller_id: Mapped[ControllerId]
    stream: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    commit: Mapped[Keyed]


class AuditQueue(Base):
    """Entries that wait for their place in the tree; filled by a trigger, emptied by the sequencer.

    `seq` keeps the entries of one stream in their order: whoever writes the next holds the stream's lock.
    """

    __tablename__ = "queue"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "entry_id"], [f"{SCHEMA}.entry.controller_id", f"{SCHEMA}.entry.id"]),
        Index("ix_queue_seq", "controller_id", "seq"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    entry_id: Mapped[str] = mapped_column(Identifier("aud"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))


class AuditTree(Base):
    """The head of one log: how large it is and what it hashes to. A restored database goes on in a new epoch.

    `edge` holds, per level, the hashes of the tile that is not full yet. `refused` says why the publisher will not
    sign, and since when.
    """

    __tablename__ = "tree"
    __table_args__ = (
        CheckConstraint("epoch >= 1 AND size >= 0 AND octet_length(root) = 32", name="head"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    epoch: Mapped[int] = mapped_column(primary_key=True)
    origin: Mapped[str]
    vkey: Mapped[str]
    opened_at: Mapped[Moment]
    size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    edge: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    refused: Mapped[str | None]
    refused_at: Mapped[Moment | None]


class AuditLeaf(Base):
    """The place of an entry in its log: the order of the log, and of the change feed."""

    __tablename__ = "leaf"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "entry_id"], [f"{SCHEMA}.entry.controller_id", f"{SCHEMA}.entry.id"]),
        UniqueConstraint("controller_id", "entry_id"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    epoch: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    entry_id: Mapped[str] = mapped_column(Identifier("aud"))


class AuditTile(Base):
    """256 hashes of one level of the tree that will never change (C2SP tlog-tiles)."""

    __tablename__ = "tile"
    __table_args__ = (
        CheckConstraint("octet_length(hashes) = 8192", name="full"),
        {"schema": SCHEMA},
    )

    controller_id: Mapped[ControllerId]
    epoch: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)


class AuditCheckpoint(Base):
    """A head that was signed, and lies outside this database too (C2SP tlog-checkpoint)."""

    __tablename__ = "checkpoint"
    __table_args__ = ({"schema": SCHEMA},)

    controller_id: Mapped[ControllerId]
    epoch: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    note: Mapped[str]
    signed_at: Mapped[Moment]


class AuditCosignature(Base):
    """A witness saw the same head and says so (C2SP tlog-cosignature)."""

    __tablename__ = "cosignature"
    __table_args__ = ({"schema": SCHEMA},)

    controller_id: Mapped[ControllerId]
    epoch: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    witness: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[str]
    signed_at: Mapped[Moment]
