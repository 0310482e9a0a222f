"""Rows about people: who they are, how they can be reached, what must not be sent to them."""

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed


class Subject(Base):
    """A person, by an opaque id alone; the row that acts on this person lock first."""

    __tablename__ = "subject"

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("sub"), primary_key=True)
    created_at: Mapped[Moment]


class ContactPoint(Base):
    """One way to reach the subject: sealed value, blind index, when it was verified, and who held it until when."""

    __tablename__ = "contact_point"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        CheckConstraint("kind IN ('email', 'phone', 'post')", name="kind"),
        Index(
            "uq_contact_point_verified",
            "controller_id",
            "kind",
            "blind_index",
            unique=True,
            postgresql_where=text("verified_at IS NOT NULL AND holder_until IS NULL"),
        ),
        Index("ix_contact_point_blind_index", "controller_id", "blind_index"),
        Index("ix_contact_point_subject_id", "controller_id", "subject_id"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("cpt"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    kind: Mapped[str]
    blind_index: Mapped[Keyed]
    sealed: Mapped[Sealed]
    verified_at: Mapped[Moment | None]
    holder_from: Mapped[Moment]
    holder_until: Mapped[Moment | None]


class ExternalId(Base):
    """What another system calls the subject; CRM 123 and till 123 are two people."""

    __tablename__ = "external_id"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        Index("ix_external_id_subject_id", "controller_id", "subject_id"),
    )

    controller_id: Mapped[ControllerId]
    system: Mapped[str] = mapped_column(primary_key=True)
    blind_index: Mapped[Keyed] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    sealed: Mapped[Sealed]
    created_at: Mapped[Moment]


class PersonalField(Base):
    """Something the person told about herself in a form, such as a name: sealed, never searched."""

    __tablename__ = "personal_field"
    __table_args__ = (ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),)

    controller_id: Mapped[ControllerId]
    subject_id: Mapped[str] = mapped_column(Identifier("sub"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[Sealed]
    updated_at: Mapped[Moment]


class RestrictionFact(Base):
    """Processing of a subject's data was restricted or the restriction lifted (GDPR Art. 18); rows are added."""

    __tablename__ = "restriction_fact"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        CheckConstraint("kind IN ('restricted', 'lifted')", name="kind"),
    )

    controller_id: Mapped[ControllerId]
    subject_id: Mapped[str] = mapped_column(Identifier("sub"), primary_key=True)
    recorded_at: Mapped[Moment] = mapped_column(primary_key=True)
    kind: Mapped[str]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class Suppression(Base):
    """A keyed hash of an address that belongs to no subject and outlives erasure (GDPR Art. 17(3)(b), 21(3)).

    `purpose_id` and `channel` are null where the stop holds for all of them.
    """

    __tablename__ = "suppression"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),
        CheckConstraint("kind IN ('objected', 'erased')", name="kind"),
        Index("ix_suppression_address_hash", "controller_id", "address_hash"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("obj"), primary_key=True)
    address_hash: Mapped[Keyed]
    purpose_id: Mapped[str | None] = mapped_column(Identifier("pur"))
    channel: Mapped[str | None]
    kind: Mapped[str]
    recorded_at: Mapped[Moment]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class SubjectMerge(Base):
    """Two records turned out to be one person; the strictest of both holds, and the survivor goes on."""

    __tablename__ = "subject_merge"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "duplicate_id"], ["subject.controller_id", "subject.id"]),
        ForeignKeyConstraint(["controller_id", "survivor_id"], ["subject.controller_id", "subject.id"]),
        CheckConstraint("duplicate_id <> survivor_id", name="two_records"),
        Index("ix_subject_merge_survivor_id", "controller_id", "survivor_id"),
    )

    controller_id: Mapped[ControllerId]
    duplicate_id: Mapped[str] = mapped_column(Identifier("sub"), primary_key=True)
    survivor_id: Mapped[str] = mapped_column(Identifier("sub"))
    merged_at: Mapped[Moment]
    reason: Mapped[str]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class RecipientKindFact(Base):
    """An address was classified as a company's generic one, or as a person's again; the latest fact holds."""

    __tablename__ = "recipient_kind_fact"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "contact_point_id"], ["contact_point.controller_id", "contact_point.id"]
        ),
        CheckConstraint("kind IN ('natural_person', 'company')", name="kind"),
    )

    controller_id: Mapped[ControllerId]
    contact_point_id: Mapped[str] = mapped_column(Identifier("cpt"), primary_key=True)
    recorded_at: Mapped[Moment] = mapped_column(primary_key=True)
    kind: Mapped[str]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class ReservationWash(Base):
    """Contact points of one kind were compared with the register of reservations; the file itself is not kept."""

    __tablename__ = "reservation_wash"
    __table_args__ = (
        CheckConstraint("kind IN ('phone', 'post')", name="kind"),
        Index("ix_reservation_wash_washed_at", "controller_id", "kind", "washed_at"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("wsh"), primary_key=True)
    kind: Mapped[str]
    washed_at: Mapped[Moment]
    recorded_at: Mapped[Moment]
    lines: Mapped[int]
    matches: Mapped[int]
    file_hash: Mapped[Keyed]
    audit_entry_id: Mapped[str] = mapped_column(Identifier("aud"))


class ReservationMatch(Base):
    """What a wash found about a contact point that we hold; the others are not in the register."""

    __tablename__ = "reservation_match"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "wash_id"], ["reservation_wash.controller_id", "reservation_wash.id"]),
        ForeignKeyConstraint(
            ["controller_id", "contact_point_id"], ["contact_point.controller_id", "contact_point.id"]
        ),
    )

    controller_id: Mapped[ControllerId]
    contact_point_id: Mapped[str] = mapped_column(Identifier("cpt"), primary_key=True)
    wash_id: Mapped[str] = mapped_column(Identifier("wsh"), primary_key=True)
    reserved: Mapped[bool]
    reserved_charity: Mapped[bool]
    is_certain: Mapped[bool]
