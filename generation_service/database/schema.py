"""The schema's version: bring a database to this code's version, back again, or say why it does not fit.

Alembic is loaded by whoever migrates. Each process looks at its start whether the schema fits, and that takes no
more than a name of a file and a row: without alembic a process starts a seventh earlier.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config  # there for type checkers only: see above

from generation_service.database.engine import Database
from generation_service.errors import ConfigurationError
from generation_service.settings import say_of_setting

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 4_771_203  # an arbitrary number that all processes of this service agree on


def migrate(database: Database, revision: str = "head") -> str:
    """Bring the schema to `revision` (up); return the version it has then. Safe to run twice, and at once."""
    return _run(database, lambda config: import_module("alembic.command").upgrade(config, revision))


def downgrade(database: Database, revisions: int) -> str:
    """Take `revisions` migrations back; return the version the schema has then, '' for an empty database."""
    return _run(database, lambda config: import_module("alembic.command").downgrade(config, f"-{revisions}"))


def current_version(database: Database) -> str:
    """The version of the database's schema; '' where it has none."""
    return database.read_now(_version)


def newest_version() -> str:
    """The version that this code needs."""
    return _revisions()[-1]


def prepare(database: Database) -> None:
    """Migrate an empty database; refuse one whose schema is older or newer than this code.

    Raises ConfigurationError with the one line that says what to do.
    """
    found, needed = current_version(database), newest_version()
    if found == needed:
        return
    if not found and not database.read_now(lambda connection: inspect(connection).has_table("jobs")):
        migrate(database)
        return
    if found in _revisions():
        raise ConfigurationError(say_of_setting("schema_older", found=found, needed=needed))
    at = found or say_of_setting("schema_none")
    raise ConfigurationError(say_of_setting("schema_unknown", found=at, needed=needed))


def _run(database: Database, change: Callable[["Config"], None]) -> str:
    with database.exclusive_connection() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        change(config)
        return _version(connection)


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _config() -> "Config":
    config: Config = import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _revisions() -> list[str]:
    """The versions there are, in order: each migration is named by its own, a number, and follows the one before."""
    return sorted(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
