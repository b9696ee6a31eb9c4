"""A worker process whose jobs are a line in a file each: what the tests of the RQ worker start, stop and kill.

    python -m tests.rq.support.worker_process REDIS_URL LOG_FILE [--seconds S] [--concurrency N] ...

It appends `<word> <id>` to the file: begun, ran, released, foreign, stopped, tick. Appends of a line are
atomic, so that several processes may share a file.
"""

import argparse
import asyncio
import os
from contextlib import suppress
from pathlib import Path

from generation_service.jobs.model import Backend, JobId
from generation_service.telemetry import configure_logging
from workers.concurrent_worker import Callbacks, ConcurrentWorker, WorkerOptions
from workers.payload import ForeignEntry


class Script:
    """Callbacks that write down what happens; a job lasts `seconds`."""

    def __init__(self, log: Path, seconds: float) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._seconds = seconds
        self._cut: dict[str, asyncio.Event] = {}

    def callbacks(self) -> Callbacks:
        return Callbacks(
            execute=self._execute,
            on_foreign=self._on_foreign,
            on_stop=self._on_stop,
            on_tick=self._on_tick,
            release_all=self._release_all,
        )

    async def _execute(self, job_id: JobId, backend: Backend) -> None:
        assert backend == "rq"
        self._write("begun", job_id)
        cut = self._cut[job_id] = asyncio.Event()
        if self._seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(cut.wait(), self._seconds)
        self._write("released" if cut.is_set() else "ran", job_id)
        del self._cut[job_id]

    async def _on_foreign(self, entry: ForeignEntry) -> None:
        self._write("foreign", entry.reason)

    async def _on_stop(self, job_id: JobId) -> None:
        self._write("stopped", job_id)
        self._cut[job_id].set()

    async def _on_tick(self) -> None:
        self._write("tick", "")

    async def _release_all(self) -> None:
        for cut in self._cut.values():
            cut.set()

    def _write(self, word: str, what: str) -> None:
        os.write(self._file, f"{word} {what}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("--heartbeat", type=float, default=0.5)
    parser.add_argument("--stale", type=float, default=20.0)
    parser.add_argument("--burst", action="store_true")
    given = parser.parse_args()
    configure_logging("text", "info")
    options = WorkerOptions(
        concurrency=given.concurrency,
        burst=given.burst,
        shutdown_grace_seconds=given.grace,
        heartbeat_seconds=given.heartbeat,
        stale_seconds=given.stale,
    )
    script = Script(given.log, given.seconds)

    async def work() -> None:
        await ConcurrentWorker(given.url, script.callbacks(), options).run()

    asyncio.run(work())


if __name__ == "__main__":
    main()
