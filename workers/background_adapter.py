"""In-process execution: this process's runner pulls what waits, as much at once as its bound allows.

When to use it: small installations, development, and the night when Redis is gone. A delivery is
only a nudge; what does not fit waits in the database, where the runner of any process finds it.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable

from generation_service.jobs.execution import Executor
from generation_service.jobs.heartbeat import Heartbeat
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Backend, Claim
from generation_service.jobs.ports import Deliverable, HasArrived
from generation_service.jobs.signs import Sign

_POLL_SECONDS = 1.0
_RESERVED_SECONDS = 10.0  # jobs of the reserved project that were delivered elsewhere are looked for this often

VERIFICATION_PROJECT = "rollback-verification"
"""Jobs of this project find a slot of their own in each API process, so that no backlog holds up a verification."""


class BackgroundRunner:
    """Runs jobs of the backend `background_tasks` on the event loop that started it.

    At most `capacity` at once, and one more where that one is a job of the project `reserved_for`.
    """

    backend: Backend = "background_tasks"

    def __init__(
        self,
        *,
        executor: Executor,
        heartbeat: Heartbeat,
        capacity: int,
        reserved_for: str | None = None,
        waiting: Sign | None = None,
    ) -> None:
        self._executor = executor
        self._heartbeat = heartbeat
        self._capacity = capacity
        self._reserved_for = reserved_for
        self._waiting = waiting
        self._told = True  # that something may wait, or that there is room for it
        self._reserved_look_at = 0.0  # monotonic
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

    def deliver(self, jobs: Iterable[Deliverable]) -> None:
        """Pull at once; returns at once, from any thread. What waits is pulled by urgency, whichever is delivered."""
        if any(job.project_id == self._reserved_for for job in jobs):
            self._reserved_look_at = 0.0
        if self._event_loop is not None and not self._draining:
            self._told = True
            with contextlib.suppress(RuntimeError):  # the event loop has just been closed
                self._event_loop.call_soon_threadsafe(self._loop.nudge)

    def look(self) -> HasArrived:
        """Nothing is ever missing: what waits is pulled."""
        return lambda _job_id, _delivery: True

    def drain(self) -> None:
        """Pull nothing more; what runs is given back before its next step, so that a successor goes on soon."""
        self._draining = True
        self._heartbeat.hand_over_all()

    async def stop(self, grace_seconds: float) -> None:
        """Pull nothing more, let steps that run go on for `grace_seconds`, then give their jobs back as they are."""
        self.drain()
        await self._loop.stop()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_seconds)
        if self._running:
            self._heartbeat.release_all()
            await asyncio.wait(self._running)

    async def _pull(self) -> None:
        free = self._capacity - len(self._running)
        if free > 0 and await self._is_worthwhile():
            await self._claim(free)
        if self._reserved_for is not None and len(self._running) == self._capacity:
            await self._use_reserved_slot(self._reserved_for)

    async def _is_worthwhile(self) -> bool:
        """Whether to claim: a claim is a write, and mostly nobody has told of anything, and nothing waits."""
        told, self._told = self._told, False
        return told or self._waiting is None or bool(await self._waiting.look())

    async def _use_reserved_slot(self, project_id: str) -> None:
        # Not at each pull: while all slots are taken that is at each job's end, and finds a backlog to search.
        now = time.monotonic()
        if now < self._reserved_look_at:
            return
        self._reserved_look_at = now + _RESERVED_SECONDS
        if await self._claim(1, project_id):
            self._reserved_look_at = 0.0  # there may be more

    async def _claim(self, limit: int, project_id: str | None = None) -> int:
        if self._draining:
            return 0
        began = time.monotonic()
        claimed = await self._executor.claim_waiting(self.backend, limit, project_id=project_id)
        for claim in claimed:
            self._start(claim, began)
        return len(claimed)

    def _start(self, claim: Claim, began: float) -> None:
        task = asyncio.create_task(self._executor.run(claim, began), name=f"job-{claim.id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._told = True
        self._loop.nudge()  # a slot is free
