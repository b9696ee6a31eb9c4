"""How long the API's answers took of late, in one process."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 300.0
"""How far back `recent` looks."""

_BUCKET_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """How many answers there were in the last five minutes, and how many seconds they took together."""

    count: int
    seconds: float


@dataclass(slots=True)
class _Bucket:
    number: int
    count: int = 0
    seconds: float = 0.0


class AnswerTimes:
    """A window that slides by ten seconds; safe from any thread, and never larger than its thirty buckets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: deque[_Bucket] = deque()

    def add(self, seconds: float) -> None:
        """Count one answer."""
        with self._lock:
            newest = self._slide()
            if not self._buckets or self._buckets[-1].number != newest:
                self._buckets.append(_Bucket(newest))
            self._buckets[-1].count += 1
            self._buckets[-1].seconds += seconds

    def recent(self) -> Recent:
        """The answers of the window."""
        with self._lock:
            self._slide()
            return Recent(
                count=sum(one.count for one in self._buckets), seconds=sum(one.seconds for one in self._buckets)
            )

    def _slide(self) -> int:
        newest = int(self._clock() / _BUCKET_SECONDS)
        oldest = newest - int(WINDOW_SECONDS / _BUCKET_SECONDS)
        while self._buckets and self._buckets[0].number <= oldest:
            self._buckets.popleft()
        return newest
