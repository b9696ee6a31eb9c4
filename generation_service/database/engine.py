"""Units of work: functions of a connection, each run as one transaction off the event loop.

SQLite is written through one thread a process, from BEGIN IMMEDIATE to COMMIT without a pause, and
processes take turns by one file lock, checkpoints included (before 3.51.3 a WAL can be reset
wrongly, and without turns the tail of the waiting times grows a hundredfold).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from generation_service.database.filelock import FileLock
from generation_service.database.grouping import Grouped
from generation_service.errors import DatabaseUnavailable

T = TypeVar("T")
K = TypeVar("K")
Unit = Callable[[Connection], T]
Find = Callable[[Connection, Sequence[K]], Mapping[K, T]]

# What PostgreSQL rolled back for reasons of timing alone: the unit may simply run again.
_RERUN_SQLSTATES = frozenset({"55P03", "40P01", "40001"})  # lock timeout, deadlock, serialisation
_MOST_RERUNS = 8
_SQLITE_UNREACHABLE = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_PROTOCOL",
)
_SQLITE_BUSY_SECONDS = 15.0
_CONNECT_SECONDS = 3


class Database:
    """One database, shared by a whole process; safe to use from any thread.

    `write` and `read` run a unit on a thread and await it; `write_now` and `read_now` run it in the
    calling thread. A unit may run more than once (after a deadlock), so it must touch nothing but
    its connection. Raises DatabaseUnavailable where the database does not answer; after that it is
    unknown whether a commit happened, and who must know looks up a row of its own.
    """

    def __init__(self, url: str, *, pool_size: int = 8, idle_seconds: float = 10.0) -> None:
        self.url = _with_driver(url)
        self.dialect = self.url.get_backend_name()
        self._turns: contextlib.AbstractContextManager[None]
        if self.dialect == "sqlite":
            self._lock: FileLock | None = FileLock(_lock_path(self.url), _SQLITE_BUSY_SECONDS)
            self._turns = self._lock
            # Who writes has the turn already, and it cannot be taken twice.
            self._writing = _sqlite_engine(self.url, contextlib.nullcontext(), writer=True)
            self._reading = _sqlite_engine(self.url, self._lock, writer=False)
        else:
            self._lock = None
            self._turns = contextlib.nullcontext()
            self._writing = self._reading = _postgresql_engine(self.url, pool_size, idle_seconds)
        self._writers = ThreadPoolExecutor(1 if self._lock else pool_size, thread_name_prefix="db-write")
        self._readers = ThreadPoolExecutor(pool_size, thread_name_prefix="db-read")
        self._look_ups: Grouped[_LookUp, Any] = Grouped(_Reads(self, self._readers), _look_up_all)
        self._upkeep: Grouped[_Upkeep, Any] = Grouped(self, _keep_up)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` as one transaction on a thread and commit it; return what it returned."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, self.write_now, unit)

    async def keep_up(self, unit: Unit[T], *, of: str) -> T:
        """Run `unit` as `write` does, in one transaction with the upkeep of this process that comes due just now.

        For a write of one row that is repeated while nothing happens: it takes no time, waits for no row that
        anybody holds for longer than such a write takes, and locks one row, that of `of`. They are locked in the
        order of these names: so two processes never wait for each other. What has to be done at once does
        not ride, for a row that a frozen process holds would keep it waiting; nor what waits for jobs.
        """
        kept: T = await self._upkeep.add(_Upkeep(of, unit))
        return kept

    async def look_up(self, find: Find[K, T], key: K) -> T:
        """What `find`, a short read, has for `key`; it has something for each key that it is given.

        Whoever looks something up just now is answered by the same transaction, and by the same call of `find`.
        """
        found: T = await self._look_ups.add(_LookUp(find, key))
        return found

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit`, which must not write, on a thread; return what it returned."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, unit)

    def write_now(self, unit: Unit[T]) -> T:
        """Run `unit` as one transaction in this thread and commit it."""
        for rerun in range(_MOST_RERUNS):
            try:
                return self.write_once_now(unit)
            except DBAPIError as error:
                if _sqlstate(error) not in _RERUN_SQLSTATES:
                    raise
                if rerun == _MOST_RERUNS - 1:  # whoever holds the rows may be frozen: that passes
                    raise DatabaseUnavailable("rows of the database were locked for too long") from error
                time.sleep(random.uniform(0, 0.01 * 2**rerun))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    def write_once_now(self, unit: Unit[T]) -> T:
        """As `write_now`, but what was rolled back for reasons of timing alone is raised, not run again."""
        with _translated(), self._turns, self._writing.begin() as connection:
            return unit(connection)

    def begin_write(self, call: Callable[..., object], *arguments: Any) -> None:
        """Run `call`, which opens its own transactions, on a thread that writes, and wait for nothing."""
        self._writers.submit(call, *arguments)

    def read_now(self, unit: Unit[T]) -> T:
        """Run `unit`, which must not write, in this thread."""
        with _translated(), self._reading.connect() as connection:
            return unit(connection)

    @contextmanager
    def exclusive_connection(self) -> Iterator[Connection]:
        """A connection outside any transaction, held in this process's turn: for migrations and maintenance."""
        with _translated(), self._turns, self._writing.connect() as connection:
            yield connection

    def close(self) -> None:
        """Wait for the units that were begun and close every connection."""
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        with self._turns:  # the last connection to close may checkpoint, and a process may never have written
            self._reading.dispose()
            self._writing.dispose()
        if self._lock:
            self._lock.close()


@dataclass(frozen=True, slots=True)
class _Reads:
    """`grouping.Transactions` of a database, for units that must not write."""

    database: Database
    readers: ThreadPoolExecutor

    def write_now(self, unit: Unit[T]) -> T:
        return self.database.read_now(unit)

    def write_once_now(self, unit: Unit[T]) -> T:
        return self.database.read_now(unit)

    def begin_write(self, call: Callable[..., object], *arguments: Any) -> None:
        self.readers.submit(call, *arguments)


@dataclass(frozen=True, slots=True)
class _LookUp:
    find: Find[Any, Any]
    key: Any


def _look_up_all(connection: Connection, wanted: Sequence[_LookUp]) -> list[Any]:
    keys: dict[Find[Any, Any], list[Any]] = {}
    for one in wanted:
        keys.setdefault(one.find, []).append(one.key)
    found = {find: find(connection, list(dict.fromkeys(mine))) for find, mine in keys.items()}
    return [found[one.find][one.key] for one in wanted]


@dataclass(frozen=True, slots=True, eq=False)
class _Upkeep:
    of: str
    unit: Unit[Any]


def _keep_up(connection: Connection, upkeep: Sequence[_Upkeep]) -> list[Any]:
    """What each has returned, in the order given; they run in that of what they lock."""
    kept = {one: one.unit(connection) for one in sorted(upkeep, key=attrgetter("of"))}
    return [kept[one] for one in upkeep]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailable("no connection to the database came free in time") from error
    except DBAPIError as error:
        if _is_unreachable(error):
            raise DatabaseUnavailable(f"the database did not answer: {type(error.orig).__name__}") from error
        raise


def _is_unreachable(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    sqlite_name: str | None = getattr(error.orig, "sqlite_errorname", None)
    if sqlite_name is not None:
        return sqlite_name.startswith(_SQLITE_UNREACHABLE)
    state = _sqlstate(error)
    if state is None:  # PostgreSQL: it never got as far as a state
        return True
    # connection exceptions, no resources (a full disk, too many connections), shutdown and start-up, idle time-out
    return state.startswith(("08", "53", "57P")) or state == "25P03"


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed.set(drivername="sqlite+pysqlite")


def _lock_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise ValueError("an SQLite database in memory cannot be shared by processes; give it a file")
    path = Path(url.database)
    return path.with_name(path.name + ".lock")


def _json(value: object) -> str:
    """As `json.dumps`, a third of its time and half the length where it is Korean: letters stay letters."""
    return to_json(value).decode()


def _sqlite_engine(url: URL, turns: contextlib.AbstractContextManager[None], *, writer: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=2 if writer else 8,
        max_overflow=16,
        json_serializer=_json,
        connect_args={"check_same_thread": False, "timeout": _SQLITE_BUSY_SECONDS, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            with turns:  # of two that switch a new file over, SQLite refuses one without any time-out
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not writer:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _postgresql_engine(url: URL, pool_size: int, idle_seconds: float) -> Engine:
    # A frozen process must hold no row for long, and nobody waits long for one that is held.
    options = f"-c idle_in_transaction_session_timeout={int(idle_seconds * 1000)} -c lock_timeout=1000 -c timezone=UTC"
    return create_engine(
        url,
        pool_size=pool_size * 2 + 2,
        max_overflow=4,
        pool_timeout=10,
        pool_pre_ping=False,
        pool_recycle=1800,
        json_serializer=_json,
        connect_args={
            "options": options,
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "generation-service",
        },
    )
