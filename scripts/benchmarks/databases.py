"""Databases for a benchmark: fresh and migrated, on servers that really write to the disk."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from generation_service.database import Database
from generation_service.database.schema import migrate
from scripts.embedded.postgresql_programs import find_programs
from scripts.embedded.postgresql_server import EmbeddedPostgres


class Databases:
    """Gives databases of either engine; the PostgreSQL server starts when the first of it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: EmbeddedPostgres | None = None
        self._numbers = itertools.count(1)

    def fresh(self, engine: str) -> AbstractContextManager[str]:
        """The URL of a migrated database that goes away again. Raises ConfigurationError without a server."""
        return self._sqlite() if engine == "sqlite" else self._postgresql(migrated=True)

    def empty_postgresql(self) -> AbstractContextManager[str]:
        """The URL of a PostgreSQL database without any table, for a peer that makes its own."""
        return self._postgresql(migrated=False)

    def postgresql_pid(self) -> int | None:
        """The process of the PostgreSQL server, where one runs."""
        return self._server.pid if self._server else None

    def close(self) -> None:
        if self._server:
            self._server.stop()

    @contextmanager
    def _sqlite(self) -> Iterator[str]:
        folder = self._folder / f"sqlite-{next(self._numbers)}"
        folder.mkdir(parents=True)
        url = f"sqlite:///{folder / 'generation.db'}"
        _migrate(url)
        try:
            yield url
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _postgresql(self, *, migrated: bool) -> Iterator[str]:
        server, name = self._started(), sql.Identifier(f"bench_{next(self._numbers)}")
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
            url = server.url(name.as_string().strip('"'))
            try:
                if migrated:
                    _migrate(url)
                yield url
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _started(self) -> EmbeddedPostgres:
        if self._server is None:
            server = EmbeddedPostgres(find_programs(), durable=True)
            server.start()
            self._server = server
        return self._server


def _migrate(url: str) -> None:
    database = Database(url)
    try:
        migrate(database)
    finally:
        database.close()
