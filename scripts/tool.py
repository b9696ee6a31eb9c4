"""What the scripts that work on the database and Redis share: their options, their language, their exit codes."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from generation_service.database import schema
from generation_service.errors import ConfigurationError, DatabaseUnavailable, Refused, ServiceError
from generation_service.settings import Settings, load_settings, terminal_locale
from generation_service.telemetry import configure_logging
from generation_service.telemetry.collector import load
from generation_service.texts import has_text, language_of_locale, text

if TYPE_CHECKING:
    from generation_service.bootstrap import Runtime

DONE, LEFT, WRONG_USE, INTERRUPTED = 0, 1, 2, 130  # 130: 128 + SIGINT, as shells say it

_PARTS = "generation_service.bootstrap"  # loaded when there is work: help is there at once

Body: TypeAlias = "Callable[[Runtime, argparse.Namespace], Awaitable[int]]"


def run(name: str, about: str, body: Body, arguments: Sequence[str] | None, *flags: tuple[str, str]) -> int:
    """Run `body` with the parts of the service and what the command line asks for; the exit code.

    `about` and the texts of `flags` (further options that are there or not) are keys of the catalogue.
    """
    asked = read_arguments(name, about, arguments, flags)
    try:
        return asyncio.run(_run(body, asked))
    except KeyboardInterrupt:
        return INTERRUPTED
    except DatabaseUnavailable:
        tell(say("migration.database_away"))
        return LEFT
    except ServiceError as error:
        tell(_explained(error))
        return WRONG_USE if isinstance(error, ConfigurationError) else LEFT


def read_arguments(
    name: str, about: str, arguments: Sequence[str] | None, flags: Sequence[tuple[str, str]] = ()
) -> argparse.Namespace:
    """Read the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser(name, description=say(about))
    for flag, key in (*flags, ("--dry-run", "migration.help.dry_run"), ("--json", "migration.help.json")):
        parser.add_argument(flag, action="store_true", help=say(key))
    return parser.parse_args(arguments)


def say(key: str, **params: object) -> str:
    """The text under `key` in the terminal's language."""
    return text(key, language_of_locale(terminal_locale()), **params)


def tell(line: str) -> None:
    """Say something to the person at the terminal, where it does not get into what is piped on."""
    sys.stderr.write(line + "\n")


def show(line: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(line + "\n")


def show_json(value: Any) -> None:
    """Print one JSON object for a program."""
    show(json.dumps(value, ensure_ascii=False, default=str))


async def _run(body: Body, asked: argparse.Namespace) -> int:
    settings = load_settings()
    configure_logging(settings.log_format, "warning")
    runtime = _built(settings)
    async with runtime.running():
        return await body(runtime, asked)


def _built(settings: Settings) -> "Runtime":
    """The parts of a tool, on a database that has its tables. Raises ConfigurationError, DatabaseUnavailable."""
    try:
        url = make_url(settings.database_url)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            raise ConfigurationError(say("migration.no_database"))
        runtime: Runtime = load(_PARTS).build(settings, "tool")
    except (ArgumentError, ValueError, OSError) as error:
        raise ConfigurationError(say("migration.bad_database")) from error
    try:
        there = schema.current_version(runtime.database)
    except DatabaseUnavailable:
        runtime.close()
        raise
    if not there:
        runtime.close()
        raise ConfigurationError(say("migration.no_database"))
    return runtime


def _explained(error: ServiceError) -> str:
    key = f"problem.{error.code}"
    return say(key, **error.params) if isinstance(error, Refused) and has_text(key) else error.message
