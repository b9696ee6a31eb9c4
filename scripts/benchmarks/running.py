"""A process under measurement: what it and its children use of the processors and of memory."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from scripts.embedded.children import Child, Program, tail

_MEGABYTE = 1_000_000
_GRACE_SECONDS = 40.0  # beyond what a stopping service gives its jobs


class Running:
    """One process that was started to be measured, with all its descendants."""

    def __init__(self, program: Program, name: str) -> None:
        self.name = name
        self.log: Path | None = program.log
        self.child = Child(program)

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.alive

    def family(self) -> list[psutil.Process]:
        """Its process and every descendant that lives."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """The processor time so far, user and system, of the family and of children that were waited for."""
        used = 0.0
        for one in self._each():
            times = one.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
        return used

    def rss_mb(self) -> float:
        """The resident memory of the family in MB (10**6 bytes); pages that several share count for each."""
        return float(sum(one.memory_info().rss for one in self._each())) / _MEGABYTE

    def pss_mb(self) -> float:
        """The proportional memory of the family in MB: pages that several share are divided among them."""
        return float(sum(one.memory_full_info().pss for one in self._each())) / _MEGABYTE

    def last_lines(self) -> str:
        """The end of its log."""
        return tail(self.log) if self.log else ""

    def stop(self) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit code; one that does not end is killed."""
        return self.child.stop(with_signal=signal.SIGTERM, grace_seconds=_GRACE_SECONDS)

    def kill(self) -> None:
        """End it and its children at once."""
        family = self.family()
        self.child.kill()
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def _each(self) -> Iterator[psutil.Process]:
        for one in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.status()
                yield one
