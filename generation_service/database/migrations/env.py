"""Alembic's entry: migrates over the connection that `generation_service.database.schema` hands in."""

from alembic import context

from generation_service.database import operations, programs, tables

_AREAS = (tables, operations, programs)  # once imported, each has added its tables to the one metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=_AREAS[0].metadata, render_as_batch=True
)
context.run_migrations()
