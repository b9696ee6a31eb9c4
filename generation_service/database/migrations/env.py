"""Alembic's entry: migrates over the connection that `generation_service.database.schema` hands in."""

from alembic import context

from generation_service.database import operations

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=operations.worker_mode.metadata,
    render_as_batch=True,
)
context.run_migrations()
