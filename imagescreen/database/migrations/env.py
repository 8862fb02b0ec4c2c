"""Alembic's entry: `migrate` hands over the connection, so that all steps run in one transaction."""

from alembic import context

from imagescreen.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
