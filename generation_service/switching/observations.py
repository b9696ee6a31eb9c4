"""Observations: what processes have seen of Redis, in a row that any of them writes, so that one's view is not all.

A series of failures counts from its first one, and is broken by any process that reaches Redis; and by
a gap in which nobody tried, as when the service was down: a row from before says nothing of now.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from generation_service.database import Database, db_now
from generation_service.database.tables import service_state
from generation_service.database.upsert import upsert

REDIS_SEEN = "redis_seen"

GAP_SECONDS = 10.0
"""So long without a try, and a series of failures begins anew."""

_REFRESH_SECONDS = 4.0  # a try that changes nothing is written down this often only


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSeen:
    """What is known of Redis at `now`, in database time; None: never."""

    now: datetime
    reached_at: datetime | None = None
    failing_since: datetime | None = None
    tried_at: datetime | None = None

    @property
    def failing(self) -> timedelta:
        """For how long every try of every process has failed; zero where one has not, or nobody has tried of late."""
        if self.failing_since is None or self._is_old:
            return timedelta(0)
        return self.now - self.failing_since

    @property
    def _is_old(self) -> bool:
        return self.tried_at is None or self.now - self.tried_at > timedelta(seconds=GAP_SECONDS)

    def needs(self, *, reached: bool) -> bool:
        """Whether a try with this result is worth a write."""
        if self._is_old or reached == (self.failing_since is not None) or self.tried_at is None:
            return True
        return self.now - self.tried_at > timedelta(seconds=_REFRESH_SECONDS)

    def after(self, *, reached: bool) -> dict[str, str | None]:
        """The row after a try with this result."""
        since = self.failing_since if not self._is_old else None
        return {
            "reached_at": _text(self.now if reached else self.reached_at),
            "failing_since": None if reached else _text(since or self.now),
            "tried_at": _text(self.now),
        }


def redis_seen(connection: Connection, *, lock: bool = False) -> RedisSeen:
    """What is known of Redis."""
    value: dict[str, Any] | None = connection.execute(_LOCKED if lock else _SEEN).scalar_one_or_none()
    return redis_seen_in(value, connection.execute(_NOW).scalar_one())


def redis_seen_in(value: Mapping[str, Any] | None, now: datetime) -> RedisSeen:
    """What the value of the row says, as of `now`; None: there is no row."""
    said = (value or {}).items()
    return RedisSeen(now=now, **{name: datetime.fromisoformat(at) if at else None for name, at in said})


_SEEN = select(service_state.c.value).where(service_state.c.name == REDIS_SEEN)
_LOCKED = _SEEN.with_for_update()
SEEN = _SEEN.scalar_subquery()
"""The value of the row, as an expression."""
_NOW = select(db_now())


def note(connection: Connection, *, reached: bool) -> None:
    """Write down a try."""
    value = redis_seen(connection, lock=True).after(reached=reached)
    row = {"value": value, "updated_at": db_now()}
    statement = upsert(connection, service_state).values(name=REDIS_SEEN, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


class RedisWatch:
    """Tries to reach Redis, and writes down what comes of it. `ping` is blocking; one that takes long has failed."""

    def __init__(self, *, database: Database, ping: Callable[[], bool]) -> None:
        self._database = database
        self._ping = ping
        self._trying: asyncio.Future[bool] | None = None
        self._well_until = 0.0  # monotonic: until then a try that succeeds need not look into the database

    async def look(self) -> None:
        """Try once. Raises DatabaseUnavailable."""
        reached = await self._reaches()
        if reached and time.monotonic() < self._well_until:
            return  # as it was a moment ago: a series of failures that somebody else began since is broken soon
        seen = await self._database.read(redis_seen)
        if seen.needs(reached=reached):
            await self._database.write(partial(note, reached=reached))
        self._well_until = time.monotonic() + _REFRESH_SECONDS if reached else 0.0

    async def _reaches(self) -> bool:
        """Whether a try succeeds soon enough for no gap; one that hangs on is not joined by another thread."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.ensure_future(asyncio.to_thread(self._ping))
        try:
            return await asyncio.wait_for(asyncio.shield(self._trying), GAP_SECONDS / 2)
        except TimeoutError:
            return False


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
