"""Rows of those who may call: API keys and operators."""

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed, Words


class ApiKey(Base):
    """A controller's system and what it may do; only a keyed hash of the secret is kept."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("environment IN ('live', 'demo')", name="environment"),)

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("key"), primary_key=True)
    name: Mapped[str]
    system: Mapped[str]
    environment: Mapped[str]
    scopes: Mapped[Words]
    purposes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    forms: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    secret_hash: Mapped[Keyed]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]


class Operator(Base):
    """A person who works in the console; the address is sealed, the password an Argon2id hash."""

    __tablename__ = "operator"
    __table_args__ = (
        UniqueConstraint("controller_id", "email_index"),
        CheckConstraint("role IN ('admin', 'dpo', 'auditor', 'support')", name="role"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("opr"), primary_key=True)
    role: Mapped[str]
    email_index: Mapped[Keyed]
    email_sealed: Mapped[Sealed]
    password_hash: Mapped[str]
    created_at: Mapped[Moment]
    disabled_at: Mapped[Moment | None]
