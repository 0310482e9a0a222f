"""What a check may rest on beside consent: customer relations, notices that were delivered, kinds of recipients."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "customer_relation",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("contact_point_id", sa.Uuid(), nullable=False),
        sa.Column("relation", sa.String(), nullable=False),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("product_category", sa.String(), nullable=False),
        sa.Column("received_at_sale", sa.Boolean(), nullable=False),
        sa.Column("opt_out_offered", sa.Boolean(), nullable=False),
        sa.Column("active_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sale_reference", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "relation IN ('subscription', 'membership', 'repeated_purchases', 'single_purchase')",
            name=op.f("ck_customer_relation_relation"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_customer_relation_controller_id_audit_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "contact_point_id"],
            ["contact_point.controller_id", "contact_point.id"],
            name=op.f("fk_customer_relation_controller_id_contact_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_customer_relation_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_customer_relation")),
    )
    op.create_index(
        "ix_customer_relation_point",
        "customer_relation",
        ["controller_id", "contact_point_id", "product_category", "recorded_at"],
        unique=False,
    )
    op.create_table(
        "notice_delivery",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("notice", sa.String(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("notice IN ('objection', 'article_14')", name=op.f("ck_notice_delivery_notice")),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_notice_delivery_controller_id_audit_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_notice_delivery_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_notice_delivery")),
    )
    op.create_index(
        "ix_notice_delivery_subject_id", "notice_delivery", ["controller_id", "subject_id", "notice"], unique=False
    )
    op.create_table(
        "recipient_kind_fact",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("contact_point_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('natural_person', 'company')", name=op.f("ck_recipient_kind_fact_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id", "contact_point_id"],
            ["contact_point.controller_id", "contact_point.id"],
            name=op.f("fk_recipient_kind_fact_controller_id_contact_point_id"),
        ),
        sa.PrimaryKeyConstraint(
            "controller_id", "contact_point_id", "recorded_at", name=op.f("pk_recipient_kind_fact")
        ),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "customer_relation", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "notice_delivery", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "recipient_kind_fact", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "customer_relation")
    tenancy.freeze(connection, "notice_delivery")
    tenancy.freeze(connection, "recipient_kind_fact")


def downgrade() -> None:
    op.drop_table("recipient_kind_fact")
    op.drop_table("notice_delivery")
    op.drop_table("customer_relation")
