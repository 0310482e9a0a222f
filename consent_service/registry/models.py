"""Rows of the registry: controllers and what they may ask for.

Notice versions, publications and form versions are added and never changed; what was shown stays as it was.
"""

import uuid
from datetime import date

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Json, Moment, Words


class ControllerDirectory(Base):
    """Which controllers exist: key and tag, readable before a controller is known. No personal data, no secret."""

    __tablename__ = "controller_directory"

    controller_id: Mapped[ControllerId]
    key: Mapped[str] = mapped_column(unique=True)
    tag: Mapped[int] = mapped_column(unique=True)


class RegistryVersion(Base):
    """Changes with whatever the registry says, so that a process knows whether what it keeps still stands.

    Triggers write it. It is a random value: a number could come again after a restore.
    """

    __tablename__ = "registry_version"

    controller_id: Mapped[ControllerId]
    version: Mapped[uuid.UUID]


class Controller(Base):
    """The company that decides why data is used (GDPR Art. 4(7)), with its own settings."""

    __tablename__ = "controller"

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller_directory.controller_id"))
    legal_name: Mapped[str]
    display_name: Mapped[str]
    organisation_number: Mapped[str]
    postal_address: Mapped[str]
    privacy_contact: Mapped[str]
    phone: Mapped[str | None]
    country: Mapped[str]
    timezone: Mapped[str]
    decision_lifetime_seconds: Mapped[int]
    keeps_traces: Mapped[bool]
    allows_company_addresses: Mapped[bool] = mapped_column(server_default=text("false"))
    is_charity: Mapped[bool] = mapped_column(server_default=text("false"))
    signs_decisions: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Moment]


class Purpose(Base):
    """Why data is used; its texts live in notice versions."""

    __tablename__ = "purpose"
    __table_args__ = (
        UniqueConstraint("controller_id", "key"),
        CheckConstraint(
            "legal_basis IN ('consent', 'explicit_consent', 'contract', 'legal_obligation', 'legitimate_interest')",
            name="legal_basis",
        ),
        CheckConstraint("legal_basis <> 'legitimate_interest' OR balancing IS NOT NULL", name="interest_is_balanced"),
        CheckConstraint("NOT reservation_enabled OR balancing IS NOT NULL", name="reservation_has_basis"),
        CheckConstraint("(balancing IS NULL) = (balanced_on IS NULL)", name="balancing_has_date"),
        CheckConstraint(
            "NOT existing_customer OR cardinality(product_categories) > 0", name="existing_customer_has_products"
        ),
        CheckConstraint("NOT special_category OR legal_basis = 'explicit_consent'", name="special_is_explicit"),
        CheckConstraint("NOT special_category OR double_opt_in", name="special_is_confirmed"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("pur"), primary_key=True)
    key: Mapped[str]
    legal_basis: Mapped[str]
    double_opt_in: Mapped[bool]
    special_category: Mapped[bool]
    valid_for_months: Mapped[int | None]
    age_condition: Mapped[bool] = mapped_column(server_default=text("false"))
    existing_customer: Mapped[bool] = mapped_column(server_default=text("false"))
    product_categories: Mapped[Words] = mapped_column(server_default=text("'{}'"))
    reservation_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    balancing: Mapped[str | None]
    balanced_on: Mapped[date | None]
    created_at: Mapped[Moment]
    retired_at: Mapped[Moment | None]


class FormerPurposeSettings(Base):
    """What a purpose admitted beside consent until its settings were changed; a question about the past needs it."""

    __tablename__ = "former_purpose_settings"
    __table_args__ = (ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),)

    controller_id: Mapped[ControllerId]
    purpose_id: Mapped[str] = mapped_column(Identifier("pur"), primary_key=True)
    held_until: Mapped[Moment] = mapped_column(primary_key=True)
    age_condition: Mapped[bool]
    existing_customer: Mapped[bool]
    product_categories: Mapped[Words]
    reservation_enabled: Mapped[bool]
    balancing: Mapped[str | None]
    balanced_on: Mapped[date | None]
    audit_entry_id: Mapped[str] = mapped_column(Identifier("aud"))


class Recipient(Base):
    """A processor or partner who gets data, named to the person (CJEU C-154/21)."""

    __tablename__ = "recipient"
    __table_args__ = (
        UniqueConstraint("controller_id", "key"),
        CheckConstraint("role IN ('processor', 'partner')", name="role"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("rcp"), primary_key=True)
    key: Mapped[str]
    legal_name: Mapped[str]
    role: Mapped[str]
    country: Mapped[str]
    agreement: Mapped[str]
    created_at: Mapped[Moment]


class NoticeVersion(Base):
    """What the person is told, in every language; a row is never changed, another draft is another number."""

    __tablename__ = "notice_version"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),
        UniqueConstraint("controller_id", "purpose_id", "number"),
        UniqueConstraint("controller_id", "id", "purpose_id", "number"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("ntc"), primary_key=True)
    purpose_id: Mapped[str] = mapped_column(Identifier("pur"))
    number: Mapped[int]
    content: Mapped[Json]
    created_at: Mapped[Moment]


class NoticePublication(Base):
    """The act that puts a notice version in force, from a moment on, and says whether people must consent anew."""

    __tablename__ = "notice_publication"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "notice_id", "purpose_id", "number"],
            [
                "notice_version.controller_id",
                "notice_version.id",
                "notice_version.purpose_id",
                "notice_version.number",
            ],
        ),
        CheckConstraint("material OR reason <> ''", name="immaterial_has_reason"),
        CheckConstraint("effective_at >= published_at", name="not_backdated"),
    )

    controller_id: Mapped[ControllerId]
    notice_id: Mapped[str] = mapped_column(Identifier("ntc"), primary_key=True)
    purpose_id: Mapped[str] = mapped_column(Identifier("pur"))
    number: Mapped[int]
    material: Mapped[bool]
    reason: Mapped[str]
    published_at: Mapped[Moment]
    effective_at: Mapped[Moment]


class Form(Base):
    """Where consent is asked for. Its id carries the controller's tag, for it is met before the controller is known."""

    __tablename__ = "form"
    __table_args__ = (UniqueConstraint("controller_id", "key"),)

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("frm"), primary_key=True)
    key: Mapped[str]
    created_at: Mapped[Moment]


class FormVersion(Base):
    """One edition of a form: what it offers, which fields, languages and origins it has."""

    __tablename__ = "form_version"
    __table_args__ = (ForeignKeyConstraint(["controller_id", "form_id"], ["form.controller_id", "form.id"]),)

    controller_id: Mapped[ControllerId]
    form_id: Mapped[str] = mapped_column(Identifier("frm"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[Json]
    effective_at: Mapped[Moment]
    created_at: Mapped[Moment]
