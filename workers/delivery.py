"""The thread that carries deliveries to Redis, so that nobody who delivers ever waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from generation_service.jobs.model import JobId, Priority

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 500  # deliveries in one round trip
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery: its id in RQ, the job, and the job's priority."""

    rq_id: str
    job_id: JobId
    priority: Priority


class Breaker:
    """Open for a while after each failure, longer each time; while it is open nothing is tried."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._closed_at = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._closed_at

    def failed(self) -> bool:
        """Open it; True for the first failure after a success."""
        first = self._pause == 0.0
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._closed_at = time.monotonic() + self._pause
        return first

    def succeeded(self) -> bool:
        """Close it; True for the first success after a failure."""
        was_failing = self._pause > 0.0
        self._pause = self._closed_at = 0.0
        return was_failing


class DeliveryThread:
    """Sends entries in batches, in the order in which they came.

    What cannot be sent is dropped: recovery looks for what is committed and in no list, and
    delivers it again. `send` does one round trip and raises a RedisError where it fails. The thread
    begins with the first entry, so a process that only forks others has none.
    """

    def __init__(self, send: Callable[[Sequence[Entry]], None], *, most_pending: int) -> None:
        self._send = send
        self._most_pending = most_pending
        self._pending: list[Entry] = []
        self._some = threading.Condition()
        self._breaker = Breaker()
        self._closing = False
        self._thread: threading.Thread | None = None

    def put(self, entries: Sequence[Entry]) -> None:
        """Take over entries and return at once; drops them while Redis is known to be away."""
        with self._some:
            if self._closing or self._breaker.is_open or len(self._pending) + len(entries) > self._most_pending:
                return
            self._pending.extend(entries)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rq-delivery", daemon=True)
                self._thread.start()
            self._some.notify()

    def close(self, timeout_seconds: float) -> None:
        """Send what is pending, take no more, and wait for the end for at most `timeout_seconds`."""
        with self._some:
            self._closing = True
            self._some.notify()
        if self._thread:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._send(batch)
            except RedisError as error:
                self._drop(len(batch), error)
            except Exception:  # noqa: BLE001 - the thread's boundary: nothing this process delivers would ever arrive
                _log.exception("Deliveries failed", extra={"action": "delivery_failed", "count": len(batch)})
            else:
                if self._breaker.succeeded():
                    _log.info("Redis takes deliveries again", extra={"action": "delivery_restored"})

    def _next_batch(self) -> list[Entry]:
        with self._some:
            self._some.wait_for(lambda: self._pending or self._closing)
            batch, self._pending = self._pending[:_MOST_AT_ONCE], self._pending[_MOST_AT_ONCE:]
            return batch

    def _drop(self, count: int, error: RedisError) -> None:
        with self._some:
            first = self._breaker.failed()
            count += len(self._pending)
            self._pending = []  # they would fail the same way, each after a time-out
        extra = {"action": "delivery_dropped", "count": count, "error_type": type(error).__name__}
        level = logging.WARNING if first else logging.DEBUG
        _log.log(level, "Redis did not take deliveries; recovery delivers these jobs again", extra=extra)
