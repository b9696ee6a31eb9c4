"""What the tests run against: one PostgreSQL and one Redis a session, and a fresh database a test."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from generation_service.database import Database
from generation_service.database.schema import migrate
from scripts.embedded.postgresql_programs import find_programs
from scripts.embedded.postgresql_server import EmbeddedPostgres

_TEMPLATE = "template_of_tests"
_STRATEGY_SINCE = 150000  # the version that made copying files a matter of choice


class PostgresDatabases:
    """Fresh, migrated databases on one server: each a copy of a template that was migrated once."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._admin = psycopg.connect(server.url(), autocommit=True)
        self._admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        _migrate(server.url(_TEMPLATE))

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a migrated database that goes away again, whoever is still connected to it."""
        name = f"test_{next(self._numbers)}"
        strategy = " STRATEGY file_copy" if self._admin.info.server_version >= _STRATEGY_SINCE else ""
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}" + strategy).format(sql.Identifier(name), sql.Identifier(_TEMPLATE))
        )
        try:
            yield self._server.url(name)
        finally:
            self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        self._admin.close()


class SqliteDatabases:
    """Fresh, migrated database files: each a copy of one that was migrated once."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        _migrate(f"sqlite:///{self._template}")

    def fresh(self, folder: Path) -> str:
        """The URL of a migrated database file in `folder`."""
        return f"sqlite:///{shutil.copy(self._template, folder / 'generation.db')}"


@contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    """A PostgreSQL server with its databases, stopped and removed at the end."""
    server = EmbeddedPostgres(find_programs())
    server.start()
    try:
        databases = PostgresDatabases(server)
        try:
            yield databases
        finally:
            databases.close()
    finally:
        server.stop()


def _migrate(url: str) -> None:
    database = Database(url)
    try:
        migrate(database)
    finally:
        database.close()
