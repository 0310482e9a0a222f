"""Runs the migrations on a connection that the caller opened, as the owner of the schema.

The caller is consent_service.db.migrate; the application's own login can neither own nor change a table.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], include_schemas=True, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
