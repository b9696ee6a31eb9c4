"""Wakes readers of event logs in any process: through Redis, PostgreSQL, an SQLite file, or within the process."""

from generation_service.wakeups.fanout import Channel, Fanout, open_wakeups
from generation_service.wakeups.hub import InProcessWakeups, Subscription
from generation_service.wakeups.redis_channel import RedisWakeups
from generation_service.wakeups.sqlite_watch import SqliteWatch

__all__ = [
    "Channel",
    "Fanout",
    "InProcessWakeups",
    "RedisWakeups",
    "SqliteWatch",
    "Subscription",
    "open_wakeups",
]
