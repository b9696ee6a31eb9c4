"""What a PostgreSQL database holds, set aside while a backup takes its place: gone only once that has come in whole.

It waits in a schema of its own, so a restoration that fails, or is killed, loses nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, text

from generation_service.database import Database
from generation_service.database.partitions import is_partition
from generation_service.database.programs import programs
from generation_service.errors import ConfigurationError
from scripts.tool import say

ASIDE = "before_restore"

_FUNCTIONS = ("tally_jobs", "tally_pruned_jobs")  # of triggers


@contextmanager
def replacing(database: Database) -> Iterator[None]:
    """An empty database inside; after a failure what it held before is back, else gone."""
    database.write_now(_set_aside)
    try:
        yield
    except BaseException:
        database.write_now(bring_back)
        raise
    database.write_now(_drop_aside)


def bring_back(connection: Connection) -> bool:
    """Put what was set aside in its place again; False where there is nothing.

    Raises ConfigurationError where its place is taken: which of the two counts is for a person to say.
    """
    aside, home = _ours(connection, ASIDE), _home(connection)
    if not aside:
        return False
    if aside & _ours(connection, home):
        raise ConfigurationError(say("restore.two_databases", schema=ASIDE))
    _move(connection, aside, ASIDE, home)
    connection.execute(text(f'DROP SCHEMA "{ASIDE}"'))
    return True


def anything_aside(connection: Connection) -> bool:
    """Whether a restoration was cut off before it was through."""
    return bool(_ours(connection, ASIDE))


def _set_aside(connection: Connection) -> None:
    home = _home(connection)
    there = _ours(connection, home)
    if there:
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{ASIDE}"'))
        _move(connection, there, home, ASIDE)


def _drop_aside(connection: Connection) -> None:
    aside = _ours(connection, ASIDE)
    for name in sorted(aside):  # a table goes with its partitions
        connection.execute(text(f'DROP TABLE IF EXISTS "{ASIDE}"."{name}" CASCADE'))
    for name in _functions(connection, ASIDE):
        connection.execute(text(f'DROP FUNCTION "{ASIDE}"."{name}"()'))
    if aside:
        connection.execute(text(f'DROP SCHEMA "{ASIDE}"'))


def _move(connection: Connection, names: set[str], source: str, target: str) -> None:
    for name in sorted(names):  # with its indexes, its constraints and its sequence
        connection.execute(text(f'ALTER TABLE "{source}"."{name}" SET SCHEMA "{target}"'))
    for name in _functions(connection, source):
        connection.execute(text(f'ALTER FUNCTION "{source}"."{name}"() SET SCHEMA "{target}"'))


def _ours(connection: Connection, schema: str) -> set[str]:
    ours = {*(table.name for table in programs.metadata.sorted_tables), "alembic_version"}
    return {name for name in inspect(connection).get_table_names(schema=schema) if name in ours or is_partition(name)}


def _functions(connection: Connection, schema: str) -> list[str]:
    found = text("SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(:schema) AND proname = ANY(:names)")
    asked = {"schema": f'"{schema}"', "names": list(_FUNCTIONS)}
    return list(connection.execute(found, asked).scalars())


def _home(connection: Connection) -> str:
    return str(connection.execute(text("SELECT current_schema()")).scalar_one())
