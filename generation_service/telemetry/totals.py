"""Running totals of one process, waiting to be added to those of the whole service in the database.

A job's steps may run in another process, or on another host, than the one that is scraped. So each
process adds what it counted to rows that all share, every few seconds; a scrape reads those rows.
A killed process takes at most the last few seconds of its counts with it.
"""

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]

BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)


class Totals:
    """Counts since they were last taken; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[Series, float] = defaultdict(float)

    def count(self, name: str, labels: Mapping[str, str], amount: float = 1.0) -> None:
        """Raise the counter `name` under these labels."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, labels: Mapping[str, str], seconds: float) -> None:
        """Put one duration into the histogram `name`: its bucket (not cumulative yet), its count and its sum."""
        bound = next((str(limit) for limit in BUCKETS if seconds <= limit), "+Inf")
        self.count(f"{name}_bucket", {**labels, "le": bound})
        self.count(f"{name}_sum", labels, seconds)

    def take(self) -> dict[Series, float]:
        """Return what was counted and begin again at nothing."""
        with self._lock:
            taken = dict(self._counts)
            self._counts.clear()
        return taken

    def give_back(self, taken: Mapping[Series, float]) -> None:
        """Add again what was taken but could not be stored."""
        with self._lock:
            for series, amount in taken.items():
                self._counts[series] += amount
