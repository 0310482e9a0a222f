"""Who decides, and the wrapped keys of what they hold."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.execute(f'GRANT USAGE ON SCHEMA public TO "{app}"')
    op.execute("CREATE SCHEMA vault")
    op.execute(f'GRANT USAGE ON SCHEMA vault TO "{app}"')
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION '% never changes', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END $$"
    )
    op.create_table(
        "controller_directory",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("tag", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name=op.f("pk_controller_directory")),
        sa.UniqueConstraint("key", name=op.f("uq_controller_directory_key")),
        sa.UniqueConstraint("tag", name=op.f("uq_controller_directory_tag")),
    )
    op.create_table(
        "controller",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("legal_name", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("organisation_number", sa.String(), nullable=False),
        sa.Column("postal_address", sa.String(), nullable=False),
        sa.Column("privacy_contact", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("decision_lifetime_seconds", sa.Integer(), nullable=False),
        sa.Column("keeps_traces", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller_directory.controller_id"], name=op.f("fk_controller_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", name=op.f("pk_controller")),
    )
    op.create_table(
        "controller_key",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('kek', 'index', 'suppression')", name=op.f("ck_controller_key_kind")),
        sa.PrimaryKeyConstraint("controller_id", "kind", "version", name=op.f("pk_controller_key")),
        schema="vault",
    )
    op.create_table(
        "subject_key",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", name=op.f("pk_subject_key")),
        schema="vault",
    )
    op.create_table(
        "request_key",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "request_id", name=op.f("pk_request_key")),
        schema="vault",
    )
    op.create_table(
        "key_fingerprint",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_key_fingerprint")),
    )
    op.create_table(
        "installation",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('live', 'demo')", name=op.f("ck_installation_kind")),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_installation")),
    )
    connection = op.get_bind()
    tenancy.grant(connection, "controller_directory", to=app, grants="SELECT, INSERT")
    tenancy.grant(connection, "key_fingerprint", to=app, grants="SELECT")
    tenancy.grant(connection, "installation", to=app, grants="SELECT")
    # Readiness compares the schema with the revision that the code was written for.
    tenancy.grant(connection, "alembic_version", to=app, grants="SELECT")
    tenancy.isolate(
        connection,
        "controller",
        to=app,
        grants="SELECT, INSERT, UPDATE (legal_name, display_name, organisation_number, postal_address,"
        " privacy_contact, phone, country, timezone, decision_lifetime_seconds, keeps_traces)",
    )
    tenancy.isolate(connection, "vault.controller_key", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "vault.subject_key", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "vault.request_key", to=app, grants="SELECT, INSERT, DELETE")


def downgrade() -> None:
    op.drop_table("installation")
    op.drop_table("key_fingerprint")
    op.drop_table("request_key", schema="vault")
    op.drop_table("subject_key", schema="vault")
    op.drop_table("controller_key", schema="vault")
    op.drop_table("controller")
    op.drop_table("controller_directory")
