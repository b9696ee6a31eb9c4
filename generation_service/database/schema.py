"""The schema's version: bring a database to this code's version, back again, or say why it does not fit."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from generation_service.database.engine import Database
from generation_service.errors import ConfigurationError

_MIGRATION_LOCK = 4_771_203  # an arbitrary number that all processes of this service agree on


def migrate(database: Database, revision: str = "head") -> str:
    """Bring the schema to `revision` (up); return the version it has then. Safe to run twice, and at once."""
    return _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revisions: int) -> str:
    """Take `revisions` migrations back; return the version the schema has then, '' for an empty database."""
    return _run(database, lambda config: command.downgrade(config, f"-{revisions}"))


def current_version(database: Database) -> str:
    """The version of the database's schema; '' where it has none."""
    return database.read_now(_version)


def newest_version() -> str:
    """The version that this code needs."""
    return _scripts().get_current_head() or ""


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
    known = {script.revision for script in _scripts().walk_revisions()}
    if found in known:
        raise ConfigurationError(
            f"the database schema is at {found}, this version needs {needed}: run generation-service migrate"
        )
    raise ConfigurationError(
        f"the database schema is at {found or 'no version'}, which this version ({needed}) does not know: "
        "run the newer version of the service, or restore a backup"
    )


def _run(database: Database, change: Callable[[Config], None]) -> str:
    with database.exclusive_connection() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        change(config)
        return _version(connection)


def _version(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
