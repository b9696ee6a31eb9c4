"""What the service says of its processes: read from the database and Redis, or from what the admin route tells."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import RedisError
from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.settings import Settings
from generation_service.switching.processes import alive
from scripts.existing_database import close, open_existing
from scripts.verification.findings import Missed
from workers.redis_connection import connect

_WORKERS_KEY = "rq:workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the service that lives."""

    role: str
    state: str
    host: str
    pid: int
    rss_bytes: int | None


class Surroundings(Protocol):
    """Each raises Missed where it cannot tell."""

    def processes(self) -> list[Process]: ...

    def rq_workers(self) -> list[str]:
        """The workers in RQ's own list; none where Redis does not answer."""


class Told:
    """The surroundings as the database and Redis tell them."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def processes(self) -> list[Process]:
        try:
            return self._database.read_now(_living)
        except DatabaseUnavailable as error:
            raise Missed("no_database") from error

    def rq_workers(self) -> list[str]:
        client = connect(self._settings.redis_address, timeout_seconds=self._settings.redis_timeout_seconds)
        try:
            keys = sorted(key.decode() for key in client.smembers(_WORKERS_KEY))
            return [key.rpartition(":")[2] for key in keys if client.exists(key)]
        except RedisError:
            return []
        finally:
            client.close()


class Untold:
    """Nothing is known: no database is to be had from here."""

    def processes(self) -> list[Process]:
        raise Missed("no_database")

    def rq_workers(self) -> list[str]:
        raise Missed("no_database")


@contextmanager
def surroundings(settings: Settings) -> Iterator[Surroundings]:
    """Open what can be had from here."""
    database = open_existing(settings)
    if database is None:
        yield Untold()
        return
    try:
        yield Told(settings, database)
    finally:
        close(database)


def _living(connection: Connection) -> list[Process]:
    return [
        Process(role=one.role, state=one.state, host=one.host, pid=one.pid, rss_bytes=_rss(one.figures))
        for one in alive(connection)
    ]


def processes_in(stats: Mapping[str, Any]) -> list[Process]:
    """The processes that /api/admin/stats tells of."""
    return [
        Process(
            role=str(one["role"]),
            state=str(one["state"]),
            host=str(one["host"]),
            pid=int(one["pid"]),
            rss_bytes=_rss(one["figures"]),
        )
        for one in stats.get("processes", [])
    ]


def _rss(figures: Mapping[str, Any]) -> int | None:
    size = figures.get("rss_bytes")
    return int(size) if size else None
