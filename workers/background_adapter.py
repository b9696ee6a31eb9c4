"""In-process execution: this process's runner pulls what waits, as much at once as its bound allows.

When to use it: small installations, development, and the night when Redis is gone. A delivery is
only a nudge; what does not fit waits in the database, where the runner of any process finds it.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

from generation_service.jobs.execution import Executor
from generation_service.jobs.heartbeat import Heartbeat
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Backend, Claim, Job, JobId

_POLL_SECONDS = 1.0


class BackgroundRunner:
    """Runs jobs of the backend `background_tasks` on the event loop that started it."""

    backend: Backend = "background_tasks"

    def __init__(self, *, executor: Executor, heartbeat: Heartbeat, capacity: int) -> None:
        self._executor = executor
        self._heartbeat = heartbeat
        self._capacity = capacity
        self._running: set[asyncio.Task[None]] = set()
        self._draining = False
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._loop = Loop(name="background-runner", turn=self._pull, pause_seconds=_POLL_SECONDS)

    @property
    def active(self) -> int:
        """How many jobs run in this process right now."""
        return len(self._running)

    def start(self) -> None:
        """Begin to pull, on the running event loop."""
        self._event_loop = asyncio.get_running_loop()
        self._loop.start()

    def deliver(self, jobs: Iterable[Job]) -> None:  # noqa: ARG002 - the port's signature: what waits is pulled by urgency
        """Pull at once; returns at once, from any thread."""
        if self._event_loop is not None and not self._draining:
            with contextlib.suppress(RuntimeError):  # the event loop has just been closed
                self._event_loop.call_soon_threadsafe(self._loop.nudge)

    def missing(self, jobs: Sequence[Job]) -> set[JobId]:  # noqa: ARG002 - the port's signature
        """Nothing is ever missing: what waits is pulled."""
        return set()

    def drain(self) -> None:
        """Pull nothing more; what runs goes on."""
        self._draining = True

    async def stop(self, grace_seconds: float) -> None:
        """Pull nothing more, let what runs go on for `grace_seconds`, then give it back at its last step."""
        self.drain()
        await self._loop.stop()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_seconds)
        if self._running:
            self._heartbeat.release_all()
            await asyncio.wait(self._running)

    async def _pull(self) -> None:
        free = self._capacity - len(self._running)
        if free <= 0 or self._draining:
            return
        began = time.monotonic()
        for claim in await self._executor.claim_waiting(self.backend, free):
            self._start(claim, began)

    def _start(self, claim: Claim, began: float) -> None:
        task = asyncio.create_task(self._executor.run(claim, began), name=f"job-{claim.id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._loop.nudge()  # a slot is free
