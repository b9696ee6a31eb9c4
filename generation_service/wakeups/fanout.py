"""All wakeup channels that are configured, as one: what the rest of the service holds."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from generation_service.database import Database
from generation_service.wakeups.hub import InProcessWakeups, Subscription
from generation_service.wakeups.redis_channel import Connect, RedisWakeups
from generation_service.wakeups.sqlite_watch import SqliteWatch


class Channel(Protocol):
    """What every implementation has."""

    def wake(self, job_ids: Iterable[str]) -> None:
        """Tell that these jobs have events that are committed; returns at once, never raises."""

    def start(self) -> None:
        """Begin to send and to listen."""

    def stop(self) -> None:
        """End; what was not sent is lost, which harms nobody."""


class Fanout:
    """Wakes the readers of this process at once, and those of others through every channel there is."""

    def __init__(self, local: InProcessWakeups, channels: Sequence[Channel] = ()) -> None:
        self._local = local
        self._channels = tuple(channels)

    def listen(self, job_id: str, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """Have `tell` called on the running event loop when there is news of `job_id`, wherever it is written."""
        return self._local.listen(job_id, tell)

    def subscribe(self, job_id: str) -> AbstractContextManager[Subscription]:
        """Be told of news of `job_id`, wherever it is written; a context manager, on the running event loop."""
        return self._local.subscribe(job_id)

    def watched(self) -> set[str]:
        """The jobs that have readers in this process."""
        return self._local.watched()

    def wake(self, job_ids: Iterable[str]) -> None:
        """Tell that these jobs have events that are committed; returns at once, never raises."""
        known = list(job_ids)
        self._local.wake(known)
        for channel in self._channels:
            channel.wake(known)

    def start(self) -> None:
        """Start every channel."""
        for channel in self._channels:
            channel.start()

    def stop(self) -> None:
        """Stop every channel."""
        for channel in self._channels:
            channel.stop()


def open_wakeups(database: Database, connect_redis: Connect | None, *, listens: bool) -> Fanout:
    """The channels that this configuration has, not started yet.

    `connect_redis` makes a new client (None: no Redis). `listens` False, for a process that has no
    readers of event logs (a worker): it sends only.
    """
    local = InProcessWakeups()
    hear = local.wake if listens else None
    channels: list[Channel] = []
    redis = RedisWakeups(connect_redis, hear) if connect_redis is not None else None
    if redis is not None:
        channels.append(redis)
    if database.dialect == "postgresql":
        from generation_service.wakeups.postgres_channel import PostgresWakeups  # noqa: PLC0415 - only who needs its driver loads it

        channels.append(PostgresWakeups(database.url, hear))
    elif listens:
        channels.append(SqliteWatch(database, local.wake, local.watched, lambda: redis is not None and redis.listening))
    return Fanout(local, channels)
