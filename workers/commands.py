"""The thread that listens for commands to this worker (`rq` sends them), and for news of deliveries."""

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from workers.names import WAKE_CHANNEL
from workers.redis_connection import Client
from workers.threads import Outage, WorkerThread

_LISTEN_SECONDS = 5.0


class CommandListener:
    """Calls `on_command` with each command, a JSON object, and `on_wake` with each delivery somewhere."""

    def __init__(
        self,
        client: Client,
        channel: str,
        *,
        on_command: Callable[[dict[str, Any]], None],
        on_wake: Callable[[], None],
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._channel = channel
        self._on_command = on_command
        self._on_wake = on_wake
        self._stopping = threading.Event()
        self._outage = Outage("no command is heard")
        self._thread = WorkerThread("rq-commands", self._run, on_broken)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns within the time that one call to Redis may take."""
        self._stopping.set()
        with contextlib.suppress(RedisError):  # without Redis the thread does not listen, and hears of it at once
            self._client.publish(self._channel, b"")
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            subscription = self._client.pubsub(ignore_subscribe_messages=True)
            try:
                self._listen(subscription)
            except RedisError as error:
                self._stopping.wait(self._outage.failed(error))
            finally:
                with contextlib.suppress(RedisError):  # it is being thrown away, working or not
                    subscription.close()

    def _listen(self, subscription: Any) -> None:
        subscription.subscribe(self._channel, WAKE_CHANNEL)
        self._outage.succeeded()
        self._on_wake()  # what was published meanwhile was not heard
        while not self._stopping.is_set():
            message = subscription.get_message(timeout=_LISTEN_SECONDS)
            if message is None:
                continue
            if message["channel"] == WAKE_CHANNEL.encode():
                self._on_wake()
            elif (command := _parsed(message["data"])) is not None:
                self._on_command(command)


def _parsed(message: bytes) -> dict[str, Any] | None:
    try:
        command = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return command if isinstance(command, dict) else None
