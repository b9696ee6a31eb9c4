"""Turns between processes: one advisory lock on a file, taken by one thread of one process at a time."""

import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from generation_service.errors import DatabaseUnavailable

_SHORTEST_NAP_SECONDS = 0.000_2
_LONGEST_NAP_SECONDS = 0.004


class FileLock:
    """A context manager around `flock`; waits at most `timeout_seconds`, then DatabaseUnavailable.

    The kernel drops the lock of a process that dies. It naps between tries rather than blocking in
    `flock`, because a holder that was frozen (SIGSTOP) must not freeze everyone else for ever.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._timeout_seconds = timeout_seconds
        self._within = threading.Lock()

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        if not self._within.acquire(timeout=self._timeout_seconds):
            raise DatabaseUnavailable("another thread of this process has held the write lock too long")
        try:
            self._wait_for_processes(deadline)
        except BaseException:
            self._within.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._within.release()

    def close(self) -> None:
        """Close the file; the lock must not be held."""
        os.close(self._descriptor)

    def _wait_for_processes(self, deadline: float) -> None:
        nap = _SHORTEST_NAP_SECONDS
        while not self._taken():
            if time.monotonic() > deadline:
                raise DatabaseUnavailable("another process has held the write lock of the database too long")
            time.sleep(nap)
            nap = min(nap * 2, _LONGEST_NAP_SECONDS)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
