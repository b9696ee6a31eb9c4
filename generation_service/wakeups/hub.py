"""The readers of event logs in this process, each waiting for news of one job."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Subscription:
    """One reader's wait for news of one job; news that came before the wait counts."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.news = asyncio.Event()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for news; False where none came in time. What came since the last wait is told once."""
        if not self.news.is_set():  # a time-out of nothing would not look
            try:
                await asyncio.wait_for(self.news.wait(), timeout_seconds)
            except TimeoutError:
                return False
        self.news.clear()
        return True


class InProcessWakeups:
    """Wakes the readers in this process; the other implementations end here, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: dict[str, set[Subscription]] = {}

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """Be told of news of `job_id` from now on, on the running event loop."""
        subscription = Subscription(asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.setdefault(job_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            with self._lock:
                remaining = self._subscriptions[job_id]
                remaining.discard(subscription)
                if not remaining:
                    del self._subscriptions[job_id]

    def watched(self) -> set[str]:
        """The jobs that have readers here."""
        with self._lock:
            return set(self._subscriptions)

    def wake(self, job_ids: Iterable[str]) -> None:
        """Tell the readers of these jobs; from any thread, returns at once, never raises."""
        with self._lock:
            found = [one for job_id in set(job_ids) for one in self._subscriptions.get(job_id, ())]
        for subscription in found:
            if not subscription.loop.is_closed():
                subscription.loop.call_soon_threadsafe(subscription.news.set)

    def start(self) -> None:
        """Nothing to begin: it is there so that all implementations start the same way."""

    def stop(self) -> None:
        """Nothing to end."""
