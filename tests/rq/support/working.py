"""A worker inside the test's own process, and workers in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from generation_service.jobs.model import Backend, JobId
from tests.rq.support.deliveries import DEADLINE_SECONDS, eventually
from workers.concurrent_worker import Callbacks, ConcurrentWorker, WorkerOptions
from workers.payload import ForeignEntry

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Seen:
    """Callbacks that remember what they were called with; `body` is what a job does."""

    body: Callable[[JobId], Awaitable[None]] | None = None
    ran: list[str] = field(default_factory=list)
    foreign: list[ForeignEntry] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    ticks: int = 0
    releases: int = 0

    def callbacks(self, **others: Any) -> Callbacks:
        own: dict[str, Any] = {
            "execute": self._execute,
            "on_foreign": self._on_foreign,
            "on_stop": self._on_stop,
            "on_tick": self._on_tick,
            "release_all": self._release_all,
        }
        return Callbacks(**(own | others))

    async def _execute(self, job_id: JobId, backend: Backend) -> None:
        assert backend == "rq"
        self.ran.append(job_id)
        if self.body:
            await self.body(job_id)

    async def _on_foreign(self, entry: ForeignEntry) -> None:
        self.foreign.append(entry)

    async def _on_stop(self, job_id: JobId) -> None:
        self.stopped.append(job_id)

    async def _on_tick(self) -> None:
        self.ticks += 1

    async def _release_all(self) -> None:
        self.releases += 1


@asynccontextmanager
async def working(url: str, callbacks: Callbacks, **options: Any) -> AsyncIterator[ConcurrentWorker]:
    """A worker that runs on this event loop until the block ends."""
    given = {"heartbeat_seconds": 0.3, "shutdown_grace_seconds": 1.0} | options
    worker = ConcurrentWorker(url, callbacks, WorkerOptions(**given))
    task = asyncio.create_task(worker.run(handle_signals=False))
    try:
        yield worker
    finally:
        worker.ask_to_stop()
        await asyncio.wait_for(task, DEADLINE_SECONDS)


async def until(condition: Callable[[], Any], what: str = "it never came true") -> None:
    """Wait for `condition`, which may ask Redis, without holding up the event loop; fail at the deadline."""
    await asyncio.to_thread(eventually, condition, what)


class WorkerProcess:
    """`tests.rq.support.worker_process` in a process of its own; ends with the block."""

    def __init__(self, url: str, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.rq.support.worker_process", url, str(log), *options]
        self._output = log.with_suffix(".out").open("ab")
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self._output, stderr=self._output)
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._output.close()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(DEADLINE_SECONDS)

    def wait_until_up(self) -> None:
        """Wait until it handles signals."""
        mark = f".{self.process.pid}."
        lines = self._log.with_suffix(".out").read_text
        eventually(lambda: any(mark in line and "worker_started" in line for line in lines().splitlines()))

    def wait_for(self, word: str, count: int = 1) -> None:
        """Wait until the workers that share the log have written `word` this often."""
        eventually(lambda: len(wrote(self._log, word)) >= count, f"{word} was not written {count} times")


def wrote(log: Path, word: str) -> list[str]:
    """What was written down after `word`, in order."""
    if not log.exists():
        return []
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    return [what for said, what in lines if said == word]
