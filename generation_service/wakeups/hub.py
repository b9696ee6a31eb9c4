"""The readers of event logs in this process, each told of news of one job."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Tell = Callable[[], None]


class Subscription:
    """One wait for news of one job; news that came before the wait counts."""

    def __init__(self) -> None:
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


class _Listener:
    """Who is told of news of one job, and on which event loop."""

    __slots__ = ("loop", "tell")

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
        self.loop = loop
        self.tell: Tell | None = tell


class InProcessWakeups:
    """Wakes the readers in this process; the other implementations end here, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[_Listener]] = {}
        # Who is to be told on a loop that was asked to, and has not got to it: however much comes, it is asked once.
        self._woken: dict[asyncio.AbstractEventLoop, set[_Listener]] = {}

    @contextmanager
    def listen(self, job_id: str, tell: Tell) -> Iterator[None]:
        """Have `tell` called on the running event loop when there is news of `job_id` from now on."""
        listener = _Listener(asyncio.get_running_loop(), tell)
        with self._lock:
            self._listeners.setdefault(job_id, set()).add(listener)
        try:
            yield
        finally:
            listener.tell = None  # news of it may be on the way
            with self._lock:
                remaining = self._listeners[job_id]
                remaining.discard(listener)
                if not remaining:
                    del self._listeners[job_id]

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """Be told of news of `job_id` from now on, on the running event loop."""
        subscription = Subscription()
        with self.listen(job_id, subscription.news.set):
            yield subscription

    def watched(self) -> set[str]:
        """The jobs that have readers here."""
        with self._lock:
            return set(self._listeners)

    def wake(self, job_ids: Iterable[str]) -> None:
        """Tell the readers of these jobs; from any thread, returns at once, never raises."""
        asked: set[asyncio.AbstractEventLoop] = set()
        with self._lock:
            for job_id in job_ids:
                for listener in self._listeners.get(job_id, ()):
                    if listener.loop not in self._woken:
                        self._woken[listener.loop] = set()
                        asked.add(listener.loop)
                    self._woken[listener.loop].add(listener)
        for loop in asked:
            try:
                loop.call_soon_threadsafe(self._tell, loop)
            except RuntimeError:  # it is closed, and nobody on it is left to be told
                self._tell_nobody(loop)

    def start(self) -> None:
        """Nothing to begin: it is there so that all implementations start the same way."""

    def stop(self) -> None:
        """Nothing to end."""

    def _tell_nobody(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._woken.pop(loop, None)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            woken = self._woken.pop(loop, set())
        for listener in woken:
            if listener.tell is not None:
                listener.tell()
