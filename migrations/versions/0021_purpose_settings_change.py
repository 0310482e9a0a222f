"""A purpose may admit more or less than before; what it admitted until then is kept, for questions about the past."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_CHANGEABLE = "age_condition, existing_customer, product_categories, reservation_enabled, balancing, balanced_on"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "former_purpose_settings",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("age_condition", sa.Boolean(), nullable=False),
        sa.Column("existing_customer", sa.Boolean(), nullable=False),
        sa.Column("product_categories", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("reservation_enabled", sa.Boolean(), nullable=False),
        sa.Column("balancing", sa.String(), nullable=True),
        sa.Column("balanced_on", sa.Date(), nullable=True),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_former_purpose_settings_controller_id_purpose_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "purpose_id", "held_until", name=op.f("pk_former_purpose_settings")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "former_purpose_settings", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "former_purpose_settings")
    tenancy.grant(connection, "purpose", to=app, grants=f"UPDATE ({_CHANGEABLE})")


def downgrade() -> None:
    app = op.get_context().config.attributes["roles"].app
    op.execute(f'REVOKE UPDATE ({_CHANGEABLE}) ON purpose FROM "{app}"')
    op.drop_table("former_purpose_settings")
