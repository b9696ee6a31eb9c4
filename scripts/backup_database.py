"""A database into one file and back, as of one moment, while the service runs: SQLite's online backup, or pg_dump."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from generation_service.database import Database
from generation_service.errors import ConfigurationError, PermanentError
from scripts.backup_aside import ASIDE, replacing
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
        """Run one of them against the database at `url`; what it printed. Raises ConfigurationError, PermanentError."""
        shown = url.set(drivername="postgresql")._replace(password=None).difference_update_query(["password"])
        password = _password(url)
        secret = {"PGPASSWORD": password} if password else {}  # an argument could be read by anyone
        command = [self._path(program), *words, "--dbname", shown.render_as_string()]
        return _output(command, **secret)

    def contents(self, path: Path) -> list[str]:
        """The entries of a dump, a line each. Raises PermanentError where it cannot be read by these tools."""
        return _output([self._path("pg_restore"), "--list", str(path)]).splitlines()

    def check(self, program: str, server: int) -> None:
        """Whether it is of the server's major version, older ones cannot and newer ones send what it does not know.

        Raises ConfigurationError, PermanentError where it is newer.
        """
        found = re.search(r"(\d+)", _output([self._path(program), "--version"]))
        if found is None or int(found[1]) < server:
            raise ConfigurationError(
                say("backup.tool_too_old", program=program, version=found[1] if found else "?", server=server)
            )
        if int(found[1]) > server:
            raise PermanentError(
                "tool_too_new", say("backup.tool_too_new", program=program, version=found[1], server=server)
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
        raise PermanentError("tool_failed", say("backup.tool_failed", program=Path(command[0]).name, reason=reason))
    return done.stdout


def _password(url: URL) -> str | None:
    """The URL's password, wherever it stands; where it stands twice the driver takes that of the query."""
    asked = url.query.get("password", url.password)
    return asked[-1] if isinstance(asked, tuple) else asked


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
        words = ("--format=custom", "--no-owner", "--no-acl", f"--exclude-schema={ASIDE}")
        moment = (f"--lock-wait-timeout={_LOCK_WAIT}", f"--snapshot={snapshot}")
        tools.run(database.url, "pg_dump", *words, *moment, f"--file={path}")
    return found


def _snapshot(url: URL) -> Connection:
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="REPEATABLE READ", connect_args={"options": _OPTIONS}
    )
    return engine.connect()


def _load_sqlite(database: Database, path: Path) -> None:
    place = Path(str(database.url.database)).absolute()
    coming = place.with_name(f"{place.name}.restoring")
    coming.unlink(missing_ok=True)  # of a restoration that was cut off
    _copy(path, coming)
    if place.exists():  # the service's account must still be able to read it, whoever restores
        there = place.stat()
        os.chown(coming, there.st_uid, there.st_gid)
        coming.chmod(there.st_mode & 0o777)
        _empty_log(place)
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
    words = ("--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", f"--use-list={listed}")
    try:
        with replacing(database):
            tools.run(database.url, "pg_restore", *words, str(path))
    except DBAPIError as error:  # such as one whose account may not make a schema
        reason = (str(error.orig).strip().splitlines() or ["?"])[0]
        raise PermanentError("database_refused", say("restore.database_refuses", reason=reason)) from error


def _copy(source: Path, target: Path) -> None:
    """Copy to a new file that nobody else can read, not even while it is copied."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as copied, source.open("rb") as content:
        shutil.copyfileobj(content, copied)


def _empty_log(place: Path) -> None:
    """Move what was committed from the log to the database: cut off from here on, it is still whole without it."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(place)) as connection:  # a broken one is replaced as it is
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _seen(connection: Connection) -> Dumped:
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return Dumped(figures=figures(connection), version=version, sources=[*named_objects(connection)])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
