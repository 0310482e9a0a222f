"""Rows of the heart: sign-up requests that wait, and the ledger with its evidence, which only grow."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from consent_service.db.base import Base
from consent_service.db.types import ControllerId, Identifier, Keyed, Moment, Sealed, Words

CHANNELS = "'email', 'sms', 'phone', 'voice_automated', 'post', 'direct_message', 'push', 'ads', 'web'"


class SignupRequest(Base):
    """A form that was sent and is not confirmed yet: not consent, sealed under its own key, deleted when it expires."""

    __tablename__ = "signup_request"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "form_id", "form_version"],
            ["form_version.controller_id", "form_version.form_id", "form_version.number"],
        ),
        Index("ix_signup_request_email_index", "controller_id", "email_index"),
        Index("ix_signup_request_phone_index", "controller_id", "phone_index"),
        Index("ix_signup_request_expires_at", "controller_id", "expires_at"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("req"), primary_key=True)
    form_id: Mapped[str | None] = mapped_column(Identifier("frm"))
    form_version: Mapped[int | None]
    language: Mapped[str]
    subject_id: Mapped[str | None] = mapped_column(Identifier("sub"))
    email_index: Mapped[Keyed | None]
    phone_index: Mapped[Keyed | None]
    answer_hash: Mapped[Keyed]
    sealed: Mapped[Sealed | None]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    mail_accepted_at: Mapped[Moment | None]
    confirmed_at: Mapped[Moment | None]
    rejected_at: Mapped[Moment | None]
    replaced_at: Mapped[Moment | None]


class RequestedConsent(Base):
    """One box of a sign-up request: the declaration that becomes consent when its contact point is confirmed."""

    __tablename__ = "requested_consent"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),
        ForeignKeyConstraint(["controller_id", "notice_id"], ["notice_version.controller_id", "notice_version.id"]),
        CheckConstraint("confirmation IN ('email', 'sms')", name="confirmation"),
        CheckConstraint(f"channel IN ({CHANNELS})", name="channel"),
        Index("ix_requested_consent_request_id", "controller_id", "request_id"),
    )

    controller_id: Mapped[ControllerId]
    consent_id: Mapped[str] = mapped_column(Identifier("con"), primary_key=True)
    request_id: Mapped[str] = mapped_column(Identifier("req"))
    purpose_id: Mapped[str] = mapped_column(Identifier("pur"))
    channel: Mapped[str]
    notice_id: Mapped[str] = mapped_column(Identifier("ntc"))
    confirmation: Mapped[str]
    completed_at: Mapped[Moment | None]
    cancelled_at: Mapped[Moment | None]


class ConfirmationLink(Base):
    """A link that was mailed: only the hash of its secret, the hash of the typed code, and how often that was tried."""

    __tablename__ = "confirmation_link"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            ondelete="CASCADE",
        ),
        Index("ix_confirmation_link_request_id", "controller_id", "request_id"),
    )

    controller_id: Mapped[ControllerId]
    secret_hash: Mapped[Keyed] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(Identifier("req"))
    code_hash: Mapped[Keyed]
    tries: Mapped[int]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]


class SmsCode(Base):
    """The newest code that was sent to the phone number of a request: only its hash, and how often it was tried."""

    __tablename__ = "sms_code"
    __table_args__ = (
        ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            ondelete="CASCADE",
        ),
        Index("ix_sms_code_phone_index", "controller_id", "phone_index"),
    )

    controller_id: Mapped[ControllerId]
    request_id: Mapped[str] = mapped_column(Identifier("req"), primary_key=True)
    phone_index: Mapped[Keyed]
    code_hash: Mapped[Keyed]
    tries: Mapped[int]
    expires_at: Mapped[Moment]
    accepted_at: Mapped[Moment | None]
    used_at: Mapped[Moment | None]


class PreferenceRequest(Base):
    """Somebody asked for a link to the preference centre: the address, sealed, until the link has expired."""

    __tablename__ = "preference_request"
    __table_args__ = (Index("ix_preference_request_expires_at", "controller_id", "expires_at"),)

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("req"), primary_key=True)
    secret_hash: Mapped[Keyed | None] = mapped_column(unique=True)
    email_index: Mapped[Keyed]
    sealed: Mapped[Sealed]
    language: Mapped[str]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class Evidence(Base):
    """That evidence exists for a declaration; its sealed parts can go while this and the ledger stay."""

    __tablename__ = "evidence"
    __table_args__ = (ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),)

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("evd"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    consent_id: Mapped[str] = mapped_column(Identifier("con"))
    recorded_at: Mapped[Moment]


class EvidencePart(Base):
    """A sealed part of the evidence: the `statement` (what was shown and answered) or the `trace` (IP, user agent)."""

    __tablename__ = "evidence_part"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "evidence_id"], ["evidence.controller_id", "evidence.id"]),
        CheckConstraint("part IN ('statement', 'trace')", name="part"),
    )

    controller_id: Mapped[ControllerId]
    evidence_id: Mapped[str] = mapped_column(Identifier("evd"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[Sealed]
    delete_after: Mapped[Moment | None]


class LedgerEntry(Base):
    """One act, never changed. The latest of a series by (effective_at, seq) is its state; there is no other state."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        UniqueConstraint("seq"),
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        ForeignKeyConstraint(
            ["controller_id", "contact_point_id"], ["contact_point.controller_id", "contact_point.id"]
        ),
        ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),
        ForeignKeyConstraint(["controller_id", "notice_id"], ["notice_version.controller_id", "notice_version.id"]),
        ForeignKeyConstraint(["controller_id", "evidence_id"], ["evidence.controller_id", "evidence.id"]),
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        CheckConstraint("kind IN ('given', 'renewed', 'refused', 'withdrawn', 'revoked')", name="kind"),
        CheckConstraint(f"channel IN ({CHANNELS})", name="channel"),
        CheckConstraint(
            "evidence_grade IN ('double_opt_in', 'single_opt_in', 'signed_paper', 'witnessed', 'claimed')",
            name="evidence_grade",
        ),
        CheckConstraint(
            "kind NOT IN ('given', 'renewed')"
            " OR (evidence_id IS NOT NULL AND notice_id IS NOT NULL AND language IS NOT NULL)",
            name="given_is_proved",
        ),
        CheckConstraint("contact_point_id IS NOT NULL OR channel IN ('web', 'push')", name="contact_channel_has_point"),
        Index("ix_ledger_entry_series", "controller_id", "subject_id", "purpose_id", "channel", "effective_at", "seq"),
        Index("ix_ledger_entry_point", "controller_id", "contact_point_id", "purpose_id", "channel"),
        Index("ix_ledger_entry_consent_id", "controller_id", "consent_id"),
        Index("ix_ledger_entry_recorded_at", "controller_id", "recorded_at"),
        *(
            Index(f"ix_ledger_entry_{name}", "controller_id", column, "recorded_at", postgresql_where=text(present))
            for name, column, present in (
                ("form", "form_id", "form_id IS NOT NULL"),
                ("api_key", "api_key_id", "api_key_id IS NOT NULL"),
                ("import_label", "import_label", "import_label IS NOT NULL"),
            )
        ),
        Index("ix_ledger_entry_revoked", "controller_id", "reason", postgresql_where=text("kind = 'revoked'")),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("led"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    consent_id: Mapped[str] = mapped_column(Identifier("con"))
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    contact_point_id: Mapped[str | None] = mapped_column(Identifier("cpt"))
    purpose_id: Mapped[str] = mapped_column(Identifier("pur"))
    channel: Mapped[str]
    kind: Mapped[str]
    legal_basis: Mapped[str]
    notice_id: Mapped[str | None] = mapped_column(Identifier("ntc"))
    language: Mapped[str | None]
    evidence_id: Mapped[str | None] = mapped_column(Identifier("evd"))
    evidence_grade: Mapped[str]
    occurred_at: Mapped[Moment]
    confirmed_at: Mapped[Moment | None]
    effective_at: Mapped[Moment]
    recorded_at: Mapped[Moment]
    expires_at: Mapped[Moment | None]
    reason: Mapped[str]
    actor: Mapped[str]
    form_id: Mapped[str | None] = mapped_column(Identifier("frm"))
    form_version: Mapped[int | None]
    api_key_id: Mapped[str | None] = mapped_column(Identifier("key"))
    import_label: Mapped[str | None]
    age_at_least: Mapped[int | None] = mapped_column(SmallInteger)
    by_guardian: Mapped[bool] = mapped_column(server_default=text("false"))
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class Objection(Base):
    """The subject wants no direct marketing, at all, on a channel, or for a purpose (GDPR Art. 21(2))."""

    __tablename__ = "objection"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        ForeignKeyConstraint(["controller_id", "purpose_id"], ["purpose.controller_id", "purpose.id"]),
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        Index("ix_objection_subject_id", "controller_id", "subject_id"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("obj"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    purpose_id: Mapped[str | None] = mapped_column(Identifier("pur"))
    channel: Mapped[str | None]
    recorded_at: Mapped[Moment]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class CustomerRelation(Base):
    """The facts of a sale on which the existing-customer exception rests (markedsføringsloven § 15 third paragraph)."""

    __tablename__ = "customer_relation"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        ForeignKeyConstraint(
            ["controller_id", "contact_point_id"], ["contact_point.controller_id", "contact_point.id"]
        ),
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        CheckConstraint(
            "relation IN ('subscription', 'membership', 'repeated_purchases', 'single_purchase')", name="relation"
        ),
        Index("ix_customer_relation_point", "controller_id", "contact_point_id", "product_category", "recorded_at"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("rel"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    contact_point_id: Mapped[str] = mapped_column(Identifier("cpt"))
    relation: Mapped[str]
    sold_at: Mapped[Moment]
    product_category: Mapped[str]
    received_at_sale: Mapped[bool]
    opt_out_offered: Mapped[bool]
    active_until: Mapped[Moment | None]
    sale_reference: Mapped[Sealed | None]
    recorded_at: Mapped[Moment]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class NoticeDelivery(Base):
    """A sender told the person of the right to object, or what GDPR Art. 14 demands, and reports it."""

    __tablename__ = "notice_delivery"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "subject_id"], ["subject.controller_id", "subject.id"]),
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        CheckConstraint("notice IN ('objection', 'article_14')", name="notice"),
        Index("ix_notice_delivery_subject_id", "controller_id", "subject_id", "notice"),
    )

    controller_id: Mapped[ControllerId]
    id: Mapped[str] = mapped_column(Identifier("ntd"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Identifier("sub"))
    notice: Mapped[str]
    delivered_at: Mapped[Moment]
    recorded_at: Mapped[Moment]
    audit_entry_id: Mapped[str | None] = mapped_column(Identifier("aud"))


class Revocation(Base):
    """A source of consents proved defective: what it brought up to a moment is no consent, from `recorded_at` on.

    The row alone makes every check say no; `applied_at` is when the ledger had been given an entry for each.
    """

    __tablename__ = "revocation"
    __table_args__ = (
        ForeignKeyConstraint(["controller_id", "audit_entry_id"], ["audit.entry.controller_id", "audit.entry.id"]),
        CheckConstraint("form_version IS NULL OR form_id IS NOT NULL", name="version_of_a_form"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("rvk"), primary_key=True)
    form_id: Mapped[str | None] = mapped_column(Identifier("frm"))
    form_version: Mapped[int | None]
    api_key_id: Mapped[str | None] = mapped_column(Identifier("key"))
    import_label: Mapped[str | None]
    recorded_from: Mapped[Moment | None]
    recorded_until: Mapped[Moment]
    reason: Mapped[str]
    counted: Mapped[int]
    recorded_at: Mapped[Moment]
    applied_at: Mapped[Moment | None]
    audit_entry_id: Mapped[str] = mapped_column(Identifier("aud"))


class Decision(Base):
    """One call of the check, single or many: who asked, for which purpose and channel, and how many were allowed."""

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint("kind IN ('single', 'batch', 'stream')", name="kind"),
        Index("ix_decision_evaluated_at", "controller_id", "evaluated_at"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    id: Mapped[str] = mapped_column(Identifier("dec"), primary_key=True)
    kind: Mapped[str]
    api_key_id: Mapped[str] = mapped_column(Identifier("key"))
    purpose: Mapped[str]
    channel: Mapped[str]
    evaluated_at: Mapped[Moment]
    as_of: Mapped[Moment | None]
    known_at: Mapped[Moment | None]
    recipient: Mapped[str | None]
    min_evidence: Mapped[str | None]
    allowed: Mapped[int]
    denied: Mapped[int]
    invalid: Mapped[int]


class DecisionAnswer(Base):
    """What a decision answered about one person, and the entry and notice that it rested on. Holds no address."""

    __tablename__ = "decision_answer"
    __table_args__ = (
        Index("ix_decision_answer_subject_id", "controller_id", "subject_id", "evaluated_at"),
        Index("ix_decision_answer_evaluated_at", "controller_id", "evaluated_at"),
    )

    controller_id: Mapped[ControllerId] = mapped_column(ForeignKey("controller.controller_id"))
    decision_id: Mapped[str] = mapped_column(Identifier("dec"), primary_key=True)
    item: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[str | None] = mapped_column(Identifier("sub"))
    allowed: Mapped[bool]
    status: Mapped[str]
    reason: Mapped[str]
    legal_basis: Mapped[str | None]
    consent_id: Mapped[str | None] = mapped_column(Identifier("con"))
    ledger_entry_id: Mapped[str | None] = mapped_column(Identifier("led"))
    notice_version: Mapped[int | None]
    obligations: Mapped[Words]
    valid_until: Mapped[Moment | None]
    next_allowed_at: Mapped[Moment | None]
    evaluated_at: Mapped[Moment]
