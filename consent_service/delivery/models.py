"""The outbox: what must leave after commit. Ids only, no address; a row is claimed, handled and settled."""

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Moment


class OutboxMessage(Base):
    """One message that waits, was sent, was not to be sent after all, or is dead and needs somebody's eyes."""

    __tablename__ = "outbox_message"
    __table_args__ = (
        CheckConstraint("state IN ('ready', 'sent', 'cancelled', 'dead')", name="state"),
        Index("ix_outbox_message_due", "state", "due_at"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("obx"), primary_key=True)
    kind: Mapped[str]
    reference: Mapped[str]
    state: Mapped[str]
    due_at: Mapped[Moment]
    attempts: Mapped[int]
    locked_until: Mapped[Moment | None]
    created_at: Mapped[Moment]
    settled_at: Mapped[Moment | None]
    last_error: Mapped[str]
