"""Rows of exports: what was asked for, how far it is, and the file in sealed pieces that any machine can serve."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Moment, Sealed


class Export(Base):
    """One file that was asked for.

    `parameters`, `place` (where its making goes on) and `sha256` are sealed for the controller; the file itself is
    sealed under the key of `subject_id` where it is about one person, and goes with that key.
    """

    __tablename__ = "export"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'ready', 'failed', 'expired')", name="status"),
        CheckConstraint(
            "status <> 'ready' OR (finished_at IS NOT NULL AND size IS NOT NULL AND sha256 IS NOT NULL)", name="ready"
        ),
        CheckConstraint("status <> 'failed' OR failure IS NOT NULL", name="failure"),
        CheckConstraint("done >= 0 AND chunks >= 0 AND attempts >= 0", name="counts"),
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        Index("ix_export_status", "controller_id", "status", "created_at"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("exp"), primary_key=True)
    kind: Mapped[str]
    parameters: Mapped[Sealed | None]
    subject_id: Mapped[str | None] = mapped_column(Identifier("sub"))
    requested_by: Mapped[str]
    status: Mapped[str]
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    chunks: Mapped[int]
    place: Mapped[Sealed | None]
    attempts: Mapped[int]
    locked_until: Mapped[Moment | None]
    created_at: Mapped[Moment]
    started_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]
    expires_at: Mapped[Moment]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[Sealed | None]
    media_type: Mapped[str]
    file_name: Mapped[str]
    failure: Mapped[str | None]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class ExportChunk(Base):
    """One piece of a file, numbered from 0 on."""

    __tablename__ = "export_chunk"
    __table_args__ = (ForeignKeyConstraint(["controller_id", "export_id"], ["export.controller_id", "export.id"]),)

    controller_id: Mapped[ControllerId]
    export_id: Mapped[str] = mapped_column(Identifier("exp"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[Sealed]
