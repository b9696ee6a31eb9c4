"""Finding the worker processes of this service, and signalling exactly those: never by a name, never a number reused.

Each is found by what it wrote of itself (a pid file, its row, RQ's registry), and counts only if the process with
that number is a worker by its command line and was there already when that was written.
"""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from generation_service.switching.supervision import ProcessIdentity

Source = Literal["pid_file", "row", "rq"]
"""Where a process was found: `var/run/worker*.pid`, the table of processes, RQ's registry."""

_PROGRAMS = (b"generation-service", b"rq")  # rq: a stock worker that somebody started on our queues
_COMMAND = b"worker"
# A process writes of itself once it has started; a clock that was set in between moves one of the two.
_CLOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What says that a worker with this number runs, or ran, on this host; written at `at`."""

    pid: int
    source: Source
    at: datetime


class WorkerProcess:
    """One living worker process, held by a descriptor: whatever takes its number later is not signalled."""

    def __init__(self, trace: Trace, descriptor: int) -> None:
        self.pid = trace.pid
        self.source = trace.source
        self._descriptor = descriptor

    @classmethod
    def of(cls, trace: Trace) -> Self | None:
        """The process that a trace tells of; None where it is gone, or its number is another's by now."""
        try:
            descriptor = os.pidfd_open(trace.pid)
        except (ProcessLookupError, ValueError):
            return None
        # Looked at behind the descriptor's back: as long as it says alive, the number was not given away meanwhile.
        found = cls(trace, descriptor)
        if _is_worker(trace.pid) and _was_there(trace) and found.alive:
            return found
        found.close()
        return None

    @property
    def alive(self) -> bool:
        return not select.select([self._descriptor], [], [], 0)[0]

    def end(self, number: signal.Signals) -> bool:
        """Send a signal; False where the process is gone, or another account's."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)


def find(traces: Iterable[Trace]) -> list[WorkerProcess]:
    """The living workers that these traces tell of, each once; to be closed by the caller."""
    found: dict[int, WorkerProcess] = {}
    for trace in traces:
        if trace.pid not in found and trace.pid != os.getpid():
            process = WorkerProcess.of(trace)
            if process is not None:
                found[trace.pid] = process
    return list(found.values())


def pid_files(folder: Path) -> Iterator[Trace]:
    """What the pid files of workers below `folder` say; one that holds no number says nothing."""
    for path in sorted(folder.glob("worker*.pid")):
        try:
            word, written = path.read_text(encoding="ascii").strip(), path.stat().st_mtime
        except (OSError, ValueError):
            continue
        if word.isdecimal():
            yield Trace(pid=int(word), source="pid_file", at=datetime.fromtimestamp(written, UTC))


def wait(processes: Iterable[WorkerProcess], seconds: float) -> list[WorkerProcess]:
    """Wait for the end of all, at most so long; who is left."""
    deadline = time.monotonic() + seconds
    left = [one for one in processes if one.alive]
    while left and time.monotonic() < deadline:
        select.select([one._descriptor for one in left], [], [], max(0.0, deadline - time.monotonic()))  # noqa: SLF001 - this module's own
        left = [one for one in left if one.alive]
    return left


def _is_worker(pid: int) -> bool:
    """Whether its command line is that of a worker: the program, and behind it the command."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    names = [word.rpartition(b"/")[2] for word in words]
    return any(name in _PROGRAMS and _COMMAND in names[index + 1 :] for index, name in enumerate(names))


def _was_there(trace: Trace) -> bool:
    identity = ProcessIdentity.of(trace.pid)
    if identity is None:
        return False
    since_boot = identity.started / os.sysconf("SC_CLK_TCK")
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
    return started <= trace.at.timestamp() + _CLOCK_SECONDS
