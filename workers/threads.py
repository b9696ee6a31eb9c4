"""The one shape of a worker's threads: named, ended by an event, and never silently dead."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0  # between tries while Redis is away


class WorkerThread:
    """Runs `target` until it returns; where it breaks, `on_broken` is told, since a deaf worker helps nobody."""

    def __init__(self, name: str, target: Callable[[], None], on_broken: Callable[[BaseException], None]) -> None:
        self._target = target
        self._on_broken = on_broken
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def join(self, timeout_seconds: float | None = None) -> None:
        """Wait for the end; harmless where it never began."""
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            self._target()
        except Exception as error:  # noqa: BLE001 - the boundary of a thread: it is told, and ends the worker
            _log.exception("A thread of this worker broke", extra={"action": "thread_broken"})
            self._on_broken(error)


class Outage:
    """Says once that Redis is away and once that it is back, and how long to pause between tries."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """Note a failure; return the seconds to pause."""
        self._failures += 1
        if self._failures == 1:
            extra = {"action": "redis_lost", "error_type": type(error).__name__}
            _log.warning("Redis does not answer: %s; running jobs go on", self._what, extra=extra)
        pause: float = FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10)
        return min(pause, LONGEST_PAUSE_SECONDS)

    def succeeded(self) -> None:
        """Note that a call was answered."""
        if self._failures:
            _log.info("Redis answers again: %s", self._what, extra={"action": "redis_restored"})
        self._failures = 0
