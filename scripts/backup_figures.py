"""What a backup is compared by: counts of what a database holds, and the keys of objects that its rows name."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, inspect, select, text

from generation_service.database.programs import program_files, programs
from generation_service.database.tables import chunks, counters, documents, episodes, jobs

_BY_STATUS = (jobs, documents, program_files)
_WHOLE = (programs, episodes, chunks)
_PAGE = 1000


def figures(connection: Connection) -> dict[str, Any]:
    """Counts by table, by status where there is one, and the ledger's counters; no table: nothing in it."""
    there = set(inspect(connection).get_table_names())
    found: dict[str, Any] = {table.name: _by(connection, table, "status", there) for table in _BY_STATUS}
    for table in _WHOLE:
        found[table.name] = _count(connection, table) if table.name in there else 0
    summed = select(counters.c.name, func.sum(counters.c.value)).group_by(counters.c.name).order_by(counters.c.name)
    found["ledger"] = {name: int(value) for name, value in connection.execute(summed)} if counters.name in there else {}
    return found


def holds_anything(connection: Connection) -> bool:
    """Whether there is a table with something in it; a database that was only migrated holds nothing."""
    there = inspect(connection).get_table_names()
    if there and "alembic_version" not in there:
        return True  # somebody else's
    ours = (table.name for table in (*_BY_STATUS, *_WHOLE) if table.name in there)
    return any(connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {name})")).scalar_one() for name in ours)


def named_objects(connection: Connection) -> Iterator[str]:
    """The keys of the objects that a row needs: the sources of documents."""
    after = ""
    while page := _sources_after(connection, after):
        yield from (key for _, key in page)
        after = page[-1][0]


def _sources_after(connection: Connection, after: str) -> list[tuple[str, str]]:
    page = select(documents.c.id, documents.c.object_key).where(documents.c.id > after).order_by(documents.c.id)
    return [(row.id, row.object_key) for row in connection.execute(page.limit(_PAGE))]


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _by(connection: Connection, table: Table, column: str, there: set[str]) -> dict[str, int]:
    if table.name not in there:
        return {}
    names = {one["name"] for one in inspect(connection).get_columns(table.name)}
    # A schema from before a column was renamed still has its former name.
    name = table.c[column].name if table.c[column].name in names else column
    rows = connection.execute(text(f"SELECT {name}, count(*) FROM {table.name} GROUP BY {name} ORDER BY {name}"))
    return {status: int(count) for status, count in rows}
