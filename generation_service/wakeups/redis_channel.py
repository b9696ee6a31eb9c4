"""Wakeups through Redis publish/subscribe, for readers in other processes."""

import contextlib
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from generation_service.wakeups.threads import (
    ChannelThread,
    Hear,
    Sender,
    ThreadedChannel,
    decode,
    encode,
    new_origin,
)

CHANNEL = "generation:wakeups"

Connect = Callable[[], Any]
"""Makes a `redis.Redis` (whose type has parameters in some of its type packages, and none in others)."""

_EXPECTED = (RedisError, OSError)
_TURN_SECONDS = 1.0  # so long at most a stop waits for a Redis that is frozen, or being connected to


class RedisWakeups(ThreadedChannel):
    """One channel for all jobs. `connect` makes a client of our own; `hear` None: this process only sends."""

    def __init__(self, connect: Connect, hear: Hear | None = None) -> None:
        origin = new_origin()
        self._hearing = _RedisListener(connect, origin, hear) if hear else None
        super().__init__(_RedisSender(connect, origin), self._hearing)

    @property
    def listening(self) -> bool:
        """Whether what others send arrives here, as far as it is known."""
        return self._hearing is not None and self._hearing.subscribed


class _RedisSender(Sender):
    def __init__(self, connect: Connect, origin: str) -> None:
        super().__init__("wakeups-redis-send", _EXPECTED, spacing_seconds=0.005)
        self._connect, self._origin = connect, origin
        self._client: Any = None

    def send(self, job_ids: list[str]) -> None:
        self._client = self._client or self._connect()
        self._client.publish(CHANNEL, encode(self._origin, job_ids))

    def disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*_EXPECTED):  # it is being thrown away because it does not work
                client.close()


class _RedisListener(ChannelThread):
    def __init__(self, connect: Connect, origin: str, hear: Hear) -> None:
        super().__init__("wakeups-redis-listen", _EXPECTED)
        self._connect, self._origin, self._hear = connect, origin, hear
        self._client: Any = None
        self._channel: Any = None
        self.subscribed = False

    def stop(self) -> None:
        """As ChannelThread, without waiting for news: the answer to the farewell ends the turn."""
        self.stopping.set()
        channel = self._channel
        if self.subscribed and channel is not None:
            # The turn ends by itself, too; what a connection raises that the listener closes at this moment is its own.
            with contextlib.suppress(Exception):
                channel.unsubscribe(CHANNEL)
        super().stop()

    def turn(self) -> None:
        if self._channel is None:
            self._client = self._connect()
            self._channel = self._client.pubsub(ignore_subscribe_messages=True)
            self._channel.subscribe(CHANNEL)
            self.subscribed = True
        message: dict[str, Any] | None = self._channel.get_message(timeout=_TURN_SECONDS)
        if message and isinstance(message.get("data"), (bytes, str)):
            text = message["data"]
            self._hear(decode(text.decode("ascii", "replace") if isinstance(text, bytes) else text, self._origin))

    def disconnect(self) -> None:
        self.subscribed = False
        channel, client = self._channel, self._client
        self._channel = self._client = None
        with contextlib.suppress(*_EXPECTED):  # as above
            if channel is not None:
                channel.close()
            if client is not None:
                client.close()
