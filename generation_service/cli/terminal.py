"""What every command shares: the language of the terminal, how it says things, and how it prints for programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError, DatabaseUnavailable, Refused, ServiceError
from generation_service.settings import Settings, terminal_locale
from generation_service.texts import Language, has_text, language_of_locale, text

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_ELSEWHERE = 160


def language() -> Language:
    """The language that this terminal's locale asks for."""
    return language_of_locale(terminal_locale())


def say(key: str, **params: object) -> str:
    """The text under `terminal.<key>` in the terminal's language."""
    return text(f"terminal.{key}", language(), **params)


def tell(key: str, **params: object) -> None:
    """Print a text for the person at the terminal, where it does not get into what is piped on."""
    click.echo(say(key, **params), err=True)


def print_json(value: Any) -> None:
    """Print one JSON object for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def console() -> "Console":
    """Standard output for tables: as wide as the terminal, and wide enough for ids where there is none."""
    from rich.console import Console  # noqa: PLC0415 - a process that serves or works draws no tables

    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH_ELSEWHERE)


def explain(error: ServiceError) -> str:
    """The line or lines that a person is shown for an error."""
    key = f"problem.{error.code}"
    if isinstance(error, Refused) and has_text(key):
        return text(key, language(), **error.params)
    return error.message


def open_database(settings: Settings) -> Database:
    """The database that the settings name, for one command; the caller closes it. Raises ConfigurationError."""
    try:
        return Database(settings.database_url, pool_size=settings.database_pool_size)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(say("database.bad_url")) from error
    except OSError as error:
        raise ConfigurationError(say("database.no_file", path=error.filename, reason=error.strerror)) from error


def prepare_database(settings: Settings) -> None:
    """Migrate an empty database. Raises ConfigurationError: it cannot be reached, or its schema does not fit."""
    database = open_database(settings)
    try:
        schema.prepare(database)
    except DatabaseUnavailable as error:
        raise ConfigurationError(say("database.unreachable")) from error
    finally:
        database.close()


def missing_sqlite_file(settings: Settings) -> Path | None:
    """Where the SQLite database would be made; None where it exists, or where it is PostgreSQL."""
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(say("database.bad_url")) from error
    path = Path(url.database or "")
    return path if url.get_backend_name() == "sqlite" and not path.exists() else None
