"""Alembic's entry: migrates over the connection that `generation_service.database.schema` hands in."""

from alembic import context

from generation_service.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
