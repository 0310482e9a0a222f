"""Rows that limit repetition: idempotency records, admitted mails, addresses that said no, and counters."""

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed


class IdempotencyRecord(Base):
    """The answer that was given to a key; the body as a keyed hash, the answer sealed."""

    __tablename__ = "idempotency_record"
    __table_args__ = (Index("ix_idempotency_record_created_at", "controller_id", "created_at"),)

    controller_id: Mapped[ControllerId]
    api_key_id: Mapped[str] = mapped_column(Identifier("key"), primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    key_hash: Mapped[Keyed] = mapped_column(primary_key=True)
    body_hash: Mapped[Keyed]
    status: Mapped[int]
    sealed: Mapped[Sealed]
    created_at: Mapped[Moment]


class AdmittedMail(Base):
    """A confirmation or preference mail that a controller was allowed to send to an address."""

    __tablename__ = "admitted_mail"
    __table_args__ = (
        CheckConstraint("kind IN ('confirmation', 'preference')", name="kind"),
        Index("ix_admitted_mail_address", "controller_id", "address_hash", "kind", "admitted_at"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("obx"), primary_key=True)
    kind: Mapped[str]
    address_hash: Mapped[Keyed]
    admitted_at: Mapped[Moment]


class MailRefusal(Base):
    """An address that wants no confirmation mail from this controller: `not_me` for 90 days, or it bounced hard."""

    __tablename__ = "mail_refusal"
    __table_args__ = (CheckConstraint("kind IN ('not_me', 'hard_bounce')", name="kind"),)

    controller_id: Mapped[ControllerId]
    address_hash: Mapped[Keyed] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    recorded_at: Mapped[Moment]
    until_at: Mapped[Moment]


class PlatformMail(Base):
    """A mail to an address under a key of the platform, for the cap that holds across controllers.

    No role of the service may touch this table; a function of the database answers yes or no.
    """

    __tablename__ = "platform_mail"
    __table_args__ = (Index("ix_platform_mail_address", "address_hash", "admitted_at"),)

    id: Mapped[str] = mapped_column(Identifier("obx"), primary_key=True)
    address_hash: Mapped[Keyed]
    admitted_at: Mapped[Moment]


class ThrottleCounter(Base):
    """How often something was tried in a window of time; the key is a keyed hash of who tried."""

    __tablename__ = "throttle_counter"

    controller_id: Mapped[ControllerId]
    name: Mapped[str] = mapped_column(primary_key=True)
    key_hash: Mapped[Keyed] = mapped_column(primary_key=True)
    window_start_at: Mapped[Moment] = mapped_column(primary_key=True)
    count: Mapped[int]
