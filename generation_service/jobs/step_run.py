"""One run of one step: what the executor offers to a step, each write guarded by the fence."""

import asyncio
from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from generation_service.jobs import checkpoints, transitions
from generation_service.jobs.checkpoints import StepPlace, Write
from generation_service.jobs.commits import Commits
from generation_service.jobs.heartbeat import Lease
from generation_service.jobs.model import Claim, Job, Json, Usage
from generation_service.jobs.persistence import Persistence
from generation_service.jobs.ports import Effect
from generation_service.jobs.transitions import Draft

GATHER_SECONDS = 0.1
"""Text is gathered this long before it is committed and so can be read."""


class RunningStep:
    """Implements `ports.StepRun`. `wake` tells readers of what was committed."""

    def __init__(
        self,
        *,
        claim: Claim,
        place: StepPlace,
        lease: Lease,
        commits: Commits,
        persistence: Persistence,
        outputs: Mapping[str, Mapping[str, Json]],
        spent_before: int,
        wake: Callable[[], None],
    ) -> None:
        self.claim = claim
        self.place = place
        self._lease = lease
        self._commits = commits
        self._persistence = persistence
        self._outputs = outputs
        self._spent_before = spent_before
        self.wake = wake
        self._text: list[str] = []
        self._fraction: float | None = None
        self._flush: asyncio.Task[None] | None = None
        self._writing = False
        self._written = 0  # events committed in the course of this run
        self.started = 0  # number of the event of its start
        self.spent: list[Usage] = []

    @property
    def job(self) -> Job:
        return self.claim.job

    @property
    def step(self) -> str:
        return self.place.name

    @property
    def attempt(self) -> int:
        return self.claim.job.attempt

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Json]]:
        return self._outputs

    @property
    def tokens_left(self) -> int | None:
        if self.job.budget_tokens is None:
            return None
        spent = self._spent_before + sum(one.tokens for one in self.spent)
        return max(0, self.job.budget_tokens - spent)

    @property
    def hands_over(self) -> bool:
        """Whether the job is to be given back before its next step."""
        return self._lease.hands_over

    def check_lease(self) -> None:
        self._lease.check()

    def spend(self, usage: Usage) -> None:
        self.spent.append(usage)

    async def token(self, text: str) -> None:
        self._lease.check()
        self._text.append(text)
        await self._flush_soon()

    async def progress(self, fraction: float) -> None:
        self._lease.check()
        self._fraction = fraction
        await self._flush_soon()

    async def write(self, unit: Effect) -> None:
        self._lease.check()

        def guarded(connection: Connection) -> None:
            transitions.touch(connection, self.claim.id, self.claim.fence, drafts=0)
            unit(connection)

        await self._persistence.persist(guarded)

    async def finish(self) -> list[Draft]:
        """Wait for what is being committed; return the events that ride with the step's own commit."""
        if self._flush is not None and (self._writing or self._flush.done()):
            await self._flush
        self.abandon()
        return self._take()

    def abandon(self) -> None:
        """Commit nothing more."""
        if self._flush is not None:
            self._flush.cancel()

    async def _flush_soon(self) -> None:
        if self._flush is not None and self._flush.done():
            self._flush.result()  # raises what the last commit raised
            self._flush = None
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_later(), name=f"flush-{self.claim.id}")
            self._flush.add_done_callback(_look_at_result)

    async def _flush_later(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        progress = None if self._fraction is None else self.place.percent(self._fraction)
        drafts = self._take()
        if not drafts:
            return
        self._writing = True
        before, claim = self._written, self.claim
        await self._commits.write(
            Write(claim=claim, drafts=drafts, progress=progress),
            lambda connection: checkpoints.written_at(connection, claim, self.started, before),
        )
        self._written += len(drafts)
        self._writing = False
        self.wake()

    def _take(self) -> list[Draft]:
        drafts: list[Draft] = []
        if self._text:
            drafts.append(("token", {"step": self.step, "text": "".join(self._text)}))
        if self._fraction is not None:
            drafts.append(("progress", {"step": self.step, "progress": self.place.percent(self._fraction)}))
        self._text, self._fraction = [], None
        return drafts


def _look_at_result(flush: asyncio.Task[None]) -> None:
    """What a flush raised is raised again by the step's next call; a step that ends before need not hear of it."""
    if not flush.cancelled():
        flush.exception()
