"""The service's database, where there is one: a script that only looks must not make an empty one."""

from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from generation_service.bootstrap import open_database
from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError, DatabaseUnavailable, ServiceError
from generation_service.settings import Settings, say_of_setting


def open_existing(settings: Settings) -> Database | None:
    """The database, for the caller to close; None where it cannot be reached, or has no tables of ours.

    Raises ConfigurationError where DATABASE_URL is no URL.
    """
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"DATABASE_URL: {say_of_setting('takes.database_url')}") from error
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None
    database = open_database(settings)
    if _has_tables(database):
        return database
    close(database)
    return None


def close(database: Database) -> None:
    """Close it; on SQLite a process that was stopped in the midst of a write can keep it from being closed in order."""
    with suppress(DatabaseUnavailable):
        database.close()


def _has_tables(database: Database) -> bool:
    try:
        return bool(schema.current_version(database))
    except ServiceError:
        return False
