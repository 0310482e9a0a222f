"""What a purpose and a controller must say before a check may rest on anything but consent."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.add_column("purpose", sa.Column("age_condition", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "purpose", sa.Column("existing_customer", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "purpose", sa.Column("product_categories", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column(
        "purpose", sa.Column("reservation_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("purpose", sa.Column("balancing", sa.String(), nullable=True))
    op.add_column("purpose", sa.Column("balanced_on", sa.Date(), nullable=True))
    op.add_column(
        "controller",
        sa.Column("allows_company_addresses", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("controller", sa.Column("is_charity", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "controller", sa.Column("signs_decisions", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.drop_constraint(op.f("ck_purpose_legal_basis"), "purpose")
    op.create_check_constraint(
        op.f("ck_purpose_legal_basis"),
        "purpose",
        "legal_basis IN ('consent', 'explicit_consent', 'contract', 'legal_obligation', 'legitimate_interest')",
    )
    op.create_check_constraint(
        op.f("ck_purpose_interest_is_balanced"),
        "purpose",
        "legal_basis <> 'legitimate_interest' OR balancing IS NOT NULL",
    )
    op.create_check_constraint(
        op.f("ck_purpose_reservation_has_basis"), "purpose", "NOT reservation_enabled OR balancing IS NOT NULL"
    )
    op.create_check_constraint(
        op.f("ck_purpose_balancing_has_date"), "purpose", "(balancing IS NULL) = (balanced_on IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_purpose_existing_customer_has_products"),
        "purpose",
        "NOT existing_customer OR cardinality(product_categories) > 0",
    )
    connection = op.get_bind()
    tenancy.grant(
        connection, "controller", to=app, grants="UPDATE (allows_company_addresses, is_charity, signs_decisions)"
    )


def downgrade() -> None:
    for name in (
        "existing_customer_has_products",
        "balancing_has_date",
        "reservation_has_basis",
        "interest_is_balanced",
        "legal_basis",
    ):
        op.drop_constraint(op.f(f"ck_purpose_{name}"), "purpose")
    op.create_check_constraint(
        op.f("ck_purpose_legal_basis"),
        "purpose",
        "legal_basis IN ('consent', 'explicit_consent', 'contract', 'legal_obligation')",
    )
    op.drop_column("controller", "signs_decisions")
    op.drop_column("controller", "is_charity")
    op.drop_column("controller", "allows_company_addresses")
    op.drop_column("purpose", "balanced_on")
    op.drop_column("purpose", "balancing")
    op.drop_column("purpose", "reservation_enabled")
    op.drop_column("purpose", "product_categories")
    op.drop_column("purpose", "existing_customer")
    op.drop_column("purpose", "age_condition")
