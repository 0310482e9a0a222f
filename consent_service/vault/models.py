"""Rows of wrapped keys, in a schema of their own so that they can be backed up, and forgotten, on their own."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Moment, Sealed


class ControllerKey(Base):
    """A key of a controller, wrapped by the root key: `kek` wraps, `index` finds, `suppression` remembers.

    `signing` signs statements about decisions, and is there only where the controller asked for them.
    """

    __tablename__ = "controller_key"
    __table_args__ = (
        CheckConstraint("kind IN ('kek', 'index', 'suppression', 'signing')", name="kind"),
        {"schema": "vault"},
    )

    controller_id: Mapped[ControllerId]
    kind: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    wrapped: Mapped[Sealed]
    created_at: Mapped[Moment]


class SubjectKey(Base):
    """The key of one person, wrapped by the controller's; destroying it makes all that it sealed unreadable."""

    __tablename__ = "subject_key"
    __table_args__ = ({"schema": "vault"},)

    controller_id: Mapped[ControllerId]
    subject_id: Mapped[str] = mapped_column(Identifier("sub"), primary_key=True)
    wrapped: Mapped[Sealed]
    created_at: Mapped[Moment]


class RequestKey(Base):
    """The key of one sign-up or preference request, gone when the request is."""

    __tablename__ = "request_key"
    __table_args__ = ({"schema": "vault"},)

    controller_id: Mapped[ControllerId]
    request_id: Mapped[str] = mapped_column(Identifier("req"), primary_key=True)
    wrapped: Mapped[Sealed]
    created_at: Mapped[Moment]


class KeyFingerprint(Base):
    """What each key file must look like; a mismatch refuses to start."""

    __tablename__ = "key_fingerprint"

    name: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]


class Installation(Base):
    """What this database was made for, said once at its birth: a demo never becomes anything else, nor the reverse."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("kind IN ('live', 'demo')", name="kind"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[Moment]
