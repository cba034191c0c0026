"""How alembic runs the revisions: on the connection that it is given, within its transaction."""

from alembic import context

from tokenomics.ledger import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table_schema=context.config.attributes["schema_name"],
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
