"""The end of this process, announced: from here on it is not ready, and its event streams end in peace."""

import asyncio
import threading
from collections.abc import Callable


class Drain:
    """Begins once and for good; any thread or signal handler may begin it. Listeners are told on their own loop."""

    def __init__(self) -> None:
        self._begun = False
        self._lock = threading.RLock()  # a signal handler may interrupt a holder in its own thread
        self._listeners: dict[object, tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = {}

    @property
    def begun(self) -> bool:
        """Whether the drain has begun."""
        return self._begun

    def begin(self) -> None:
        """Begin the drain; again is harmless."""
        self._begun = True
        with self._lock:
            told, self._listeners = self._listeners, {}
        for loop, tell in told.values():
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell)

    def listen(self, tell: Callable[[], object]) -> Callable[[], None]:
        """Have `tell` called on this event loop when the drain begins, soon where it has; return what forgets it."""
        mark = object()
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._begun:
                loop.call_soon(tell)
            else:
                self._listeners[mark] = (loop, tell)
        return lambda: self._forget(mark)

    def _forget(self, mark: object) -> None:
        with self._lock:
            self._listeners.pop(mark, None)
