"""People, how they are reached, and what must not be sent to them."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "subject",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["controller_id"], ["controller.controller_id"], name=op.f("fk_subject_controller_id")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_subject")),
    )
    op.create_table(
        "contact_point",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("holder_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('email', 'phone', 'post')", name=op.f("ck_contact_point_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_contact_point_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_contact_point")),
    )
    op.create_index("ix_contact_point_blind_index", "contact_point", ["controller_id", "blind_index"], unique=False)
    op.create_index("ix_contact_point_subject_id", "contact_point", ["controller_id", "subject_id"], unique=False)
    op.create_index(
        "uq_contact_point_verified",
        "contact_point",
        ["controller_id", "kind", "blind_index"],
        unique=True,
        postgresql_where=sa.text("verified_at IS NOT NULL AND holder_until IS NULL"),
    )
    op.create_table(
        "external_id",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_external_id_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "system", "blind_index", name=op.f("pk_external_id")),
    )
    op.create_index("ix_external_id_subject_id", "external_id", ["controller_id", "subject_id"], unique=False)
    op.create_table(
        "personal_field",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_personal_field_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "name", name=op.f("pk_personal_field")),
    )
    op.create_table(
        "restriction_fact",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('restricted', 'lifted')", name=op.f("ck_restriction_fact_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_restriction_fact_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "recorded_at", name=op.f("pk_restriction_fact")),
    )
    op.create_table(
        "suppression",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('objected', 'erased')", name=op.f("ck_suppression_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_suppression_controller_id_purpose_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_suppression")),
    )
    op.create_index("ix_suppression_address_hash", "suppression", ["controller_id", "address_hash"], unique=False)
    connection = op.get_bind()
    tenancy.isolate(connection, "subject", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "contact_point", to=app, grants="SELECT, INSERT, UPDATE (verified_at, holder_until)")
    tenancy.isolate(connection, "external_id", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "personal_field", to=app, grants="SELECT, INSERT, UPDATE (sealed, updated_at)")
    tenancy.isolate(connection, "restriction_fact", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "suppression", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "restriction_fact")
    tenancy.freeze(connection, "suppression")


def downgrade() -> None:
    op.drop_table("suppression")
    op.drop_table("restriction_fact")
    op.drop_table("personal_field")
    op.drop_table("external_id")
    op.drop_table("contact_point")
    op.drop_table("subject")
