"""INSERT ... ON CONFLICT for either database."""

from typing import Any, TypeAlias

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def upsert(connection: Connection, table: Table) -> Insert:
    """An INSERT that takes `on_conflict_do_nothing` and `on_conflict_do_update` on this connection's database."""
    return upsert_for(connection.dialect.name, table)


def upsert_for(dialect: str, table: Table) -> Insert:
    """As `upsert`, for a statement that is built before there is a connection."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_if_absent(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert one row unless a unique key of it is there already; whether it was inserted.

    Waits for another transaction that is inserting the same key. (An INSERT's rowcount is not to be
    relied on: drivers may answer -1.)
    """
    keys = list(table.primary_key)
    statement = upsert(connection, table).values(values).on_conflict_do_nothing().returning(*keys)
    return connection.execute(statement).first() is not None
