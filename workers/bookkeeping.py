"""The thread that keeps RQ's view of this worker true: registration, what runs, what ended, heartbeats, leftovers.

Nothing waits for it and nothing depends on it. What it could not write because Redis was away it
writes later; of a job that began and ended meanwhile, the ending only.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from redis.exceptions import RedisError

from workers.book import Counts, Ended, Outcome, Page
from workers.payload import Delivery, ForeignEntry
from workers.registration import Registration
from workers.threads import Outage, WorkerThread

_SPACING_SECONDS = 0.02  # what happens within it goes in one round trip
_CLOSING_TRIES = 2


class Bookkeeper:
    """Takes notes from any thread, at once, and writes them in batches."""

    def __init__(
        self,
        registration: Registration,
        *,
        heartbeat_seconds: float,
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self._registration = registration
        self._heartbeat_seconds = heartbeat_seconds
        self._suspended = False
        self._running: dict[str, Delivery] = {}
        self._page = Page()
        self._counts = Counts()
        self._news = threading.Condition()
        self._closing = False
        self._beat_at = float("-inf")
        self._outage = Outage("what it shows of this worker is old")
        self._thread = WorkerThread("rq-book", self._run, on_broken)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Write what is left, sign the worker off, and return within `timeout_seconds`."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(timeout_seconds)

    def started(self, deliveries: Iterable[Delivery]) -> None:
        """Note that these runs have begun."""
        with self._news:
            for one in deliveries:
                self._running[one.execution_id] = self._page.started[one.execution_id] = one
            self._news.notify()

    def ended(self, delivery: Delivery, outcome: Outcome) -> None:
        """Note that a run has ended."""
        ended = Ended(delivery, outcome, datetime.now(UTC))
        with self._news:
            self._running.pop(delivery.execution_id, None)
            self._page.started.pop(delivery.execution_id, None)
            self._page.ended.append(ended)
            self._counts.add(ended)
            self._news.notify()

    def returned(self, deliveries: Sequence[Delivery]) -> None:
        """Note that these, popped but not begun, go back to the front of their queues."""
        with self._news:
            self._page.returned.extend(deliveries)
            self._news.notify()

    def removed(self, entry: ForeignEntry) -> None:
        """Note that a foreign entry is kept as a dead letter, and has to go."""
        with self._news:
            self._page.removed.append(entry)
            self._counts.failed += 1
            self._news.notify()

    def is_suspended(self, suspended: bool) -> None:  # noqa: FBT001 - a fact that is passed on, not a switch
        """Note that all workers were suspended, or may go on."""
        with self._news:
            self._suspended = suspended
            self._beat_at = float("-inf")
            self._news.notify()

    def _run(self) -> None:
        while not self._closing:
            self._wait_for_news()
            pause = self._write()
            with self._news:
                self._news.wait_for(lambda: self._closing, pause)
        for _ in range(_CLOSING_TRIES):
            if self._sign_off():
                return

    def _wait_for_news(self) -> None:
        with self._news:
            due_in = self._beat_at + self._heartbeat_seconds - time.monotonic()
            self._news.wait_for(lambda: self._page or self._closing or self._is_due(), max(0.0, due_in))

    def _is_due(self) -> bool:
        return time.monotonic() >= self._beat_at + self._heartbeat_seconds

    def _write(self) -> float:
        """Write a page; return the seconds to pause before the next."""
        beats = self._is_due()
        with self._news:
            page, self._page = self._page, Page()
            running = list(self._running.values())
        try:
            registered = self._registration.write(page, running, self._counts, beats=beats, suspended=self._suspended)
            if beats:
                self._registration.maintain()
                self._beat_at = time.monotonic()
        except RedisError as error:
            with self._news:
                self._page = page.before(self._page)
            return self._outage.failed(error)
        self._outage.succeeded()
        if not registered:
            self._beat_at = float("-inf")  # Redis came back empty: enter everything again, at once
        return _SPACING_SECONDS

    def _sign_off(self) -> bool:
        with self._news:
            page, self._page = self._page, Page()
        try:
            self._registration.write(page, [], self._counts, beats=False, suspended=False)
            self._registration.sign_off()
        except RedisError as error:
            self._outage.failed(error)
            with self._news:
                self._page = page.before(self._page)
            return False
        return True
