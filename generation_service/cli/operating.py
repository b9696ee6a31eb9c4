"""What commands of operators share: who is at the terminal, and a database whose schema fits."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from generation_service.cli.terminal import missing_sqlite_file, open_database, say
from generation_service.database import Database, schema
from generation_service.errors import ConfigurationError
from generation_service.settings import Settings


def actor() -> str:
    """Whoever runs this command, as the audit names them: the account, not what the environment says of it."""
    user = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user).pw_name}"
    except KeyError:  # an account without a name, as containers have them
        return f"cli:{user}"


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The database of these settings, closed at the end.

    Raises ConfigurationError: there is none, or its schema does not fit.
    """
    if missing_sqlite_file(settings):
        raise ConfigurationError(say("status.no_tables"))
    database = open_database(settings)
    try:
        if not schema.current_version(database):
            raise ConfigurationError(say("status.no_tables"))
        schema.prepare(database)
        yield database
    finally:
        database.close()
