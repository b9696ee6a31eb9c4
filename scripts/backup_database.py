"""A database into one file and back, as of one moment, while the service runs: SQLite's online backup, or pg_dump."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.engine import URL

from generation_service.database import Database
from generation_service.database.programs import programs
from generation_service.errors import ConfigurationError
from scripts.backup_figures import figures, named_objects
from scripts.tool import say

_LOCK_WAIT = "30s"
# A backup of a large database is one long transaction that holds no row; the service's own limit is not for it.
_OPTIONS = "-c idle_in_transaction_session_timeout=0 -c timezone=UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """What exactly was written: its counts, the version of its schema, the keys of the objects that it needs."""

    figures: dict[str, Any]
    version: str
    sources: list[str]


@dataclass(frozen=True, slots=True)
class PostgresTools:
    """pg_dump and pg_restore: in `folder`, or on PATH."""

    folder: Path | None = None

    def run(self, url: URL, program: str, *words: str) -> str:
        """Run one of them against the database at `url`; what it printed. Raises ConfigurationError."""
        shown = url.set(drivername="postgresql", password=None).render_as_string()
        secret = {"PGPASSWORD": str(url.password)} if url.password else {}  # an argument could be read by anyone
        command = [self._path(program), *words, "--dbname", shown]
        return _output(command, **secret)

    def contents(self, path: Path) -> list[str]:
        """The entries of a dump, a line each. Raises ConfigurationError where it cannot be read by these tools."""
        return _output([self._path("pg_restore"), "--list", str(path)]).splitlines()

    def check(self, program: str, server: int) -> None:
        """Raises ConfigurationError where it is not there, or older than the server (its major version)."""
        found = re.search(r"(\d+)", _output([self._path(program), "--version"]))
        if found is None or int(found[1]) < server:
            raise ConfigurationError(
                say("backup.tool_too_old", program=program, version=found[1] if found else "?", server=server)
            )

    def _path(self, program: str) -> str:
        path = shutil.which(program, path=str(self.folder) if self.folder else None)
        if path is None:
            raise ConfigurationError(say("backup.no_tool", program=program))
        return path


def _output(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, where the operator says they are
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["?"])[0]
        raise ConfigurationError(say("backup.tool_failed", program=Path(command[0]).name, reason=reason))
    return done.stdout


def server_version(database: Database) -> int:
    """The major version of the PostgreSQL server."""
    number = database.read_now(lambda connection: connection.execute(text("SHOW server_version_num")).scalar_one())
    return int(number) // 10_000


def dump(database: Database, path: Path, tools: PostgresTools) -> Dumped:
    """Write the database, as it is at one moment, to a new file at `path`."""
    if database.dialect == "sqlite":
        return _dump_sqlite(database, path)
    return _dump_postgresql(database, path, tools)


def load(database: Database, path: Path, tools: PostgresTools) -> None:
    """Put the dump at `path` in the place of what the database holds; whole or not at all."""
    if database.dialect == "sqlite":
        _load_sqlite(database, path)
    else:
        _load_postgresql(database, path, tools)


def _dump_sqlite(database: Database, path: Path) -> Dumped:
    def copy(connection: Connection) -> None:
        source: Any = connection.connection.driver_connection
        with closing(sqlite3.connect(path)) as target:
            source.backup(target)  # in one step: in several it would begin anew with each write of the service
            target.execute("PRAGMA journal_mode = DELETE")  # one file, not three

    database.read_now(copy)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        return _seen(connection)


def _dump_postgresql(database: Database, path: Path, tools: PostgresTools) -> Dumped:
    tools.check("pg_dump", server_version(database))
    with _snapshot(database.url) as connection:
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        found = _seen(connection)
        words = ("--format=custom", "--no-owner", "--no-acl", f"--lock-wait-timeout={_LOCK_WAIT}")
        tools.run(database.url, "pg_dump", *words, f"--snapshot={snapshot}", f"--file={path}")
    return found


def _snapshot(url: URL) -> Connection:
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="REPEATABLE READ", connect_args={"options": _OPTIONS}
    )
    return engine.connect()


def _load_sqlite(database: Database, path: Path) -> None:
    place = Path(str(database.url.database)).absolute()
    coming = place.with_name(f"{place.name}.restoring")
    shutil.copyfile(path, coming)
    if place.exists():  # the service's account must still be able to read it, whoever restores
        there = place.stat()
        coming.chmod(there.st_mode)
        os.chown(coming, there.st_uid, there.st_gid)
    _sync(coming)
    for left in ("-wal", "-shm"):  # of the one that is replaced: they would be read into the new one
        place.with_name(place.name + left).unlink(missing_ok=True)
    coming.replace(place)
    _sync(place.parent)


def _load_postgresql(database: Database, path: Path, tools: PostgresTools) -> None:
    tools.check("pg_restore", server_version(database))
    listed = path.with_suffix(".list")
    # Whether an extension is there is the server's business: no table of ours needs one.
    listed.write_text("\n".join(line for line in tools.contents(path) if " EXTENSION " not in line), encoding="utf-8")
    database.write_now(_drop_tables)
    words = ("--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", f"--use-list={listed}")
    tools.run(database.url, "pg_restore", *words, str(path))


def _drop_tables(connection: Connection) -> None:
    ours: Sequence[str] = [*(table.name for table in programs.metadata.sorted_tables), "alembic_version"]
    there = set(inspect(connection).get_table_names())
    for name in ours:
        if name in there:
            connection.execute(text(f'DROP TABLE "{name}" CASCADE'))


def _seen(connection: Connection) -> Dumped:
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return Dumped(figures=figures(connection), version=version, sources=[*named_objects(connection)])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
