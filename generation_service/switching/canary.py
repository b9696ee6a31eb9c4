"""The canary: a job that does nothing but go the whole way through RQ, and the trial that sends one."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.jobs.model import Job, Json, NewJob, Submitted
from generation_service.jobs.ports import Delivery, Ending, Step, StepOutcome, StepRun
from generation_service.jobs.service import Jobs
from generation_service.switching.outcome import SYSTEM_USER

CANARY = "canary"

_LOOK_SECONDS = 0.05


class CanaryKind:
    """The kind of job that tries a backend: one step, which returns. It is never moved off what it tries."""

    kind = CANARY
    shares_commits = True

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return [_Song()]

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Nothing belongs to it."""

    def on_ended(
        self,
        connection: Connection,  # noqa: ARG002 - the port's signature
        endings: Sequence[Ending],
    ) -> Sequence[Mapping[str, Json] | None]:
        return [None for _ in endings]

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing belongs to it."""


class _Song:
    name = CANARY

    async def run(self, run: StepRun) -> StepOutcome:
        return StepOutcome(output={"backend": run.job.backend})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a canary fared; `status` is the job's when the time was over, or when it had ended."""

    job_id: str
    status: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.status == "completed"


class Canary:
    """Sends a canary through RQ and waits for it, `patience_seconds` at most."""

    def __init__(self, *, jobs: Jobs, delivery: Delivery, patience_seconds: float) -> None:
        self._jobs = jobs
        self._delivery = delivery
        self._patience_seconds = patience_seconds

    async def send(self) -> Trial:
        """Submit it, deliver it, wait for its end; one that has not ended in time is cancelled.

        So is one that is not waited for any more because this call is cancelled: nobody else would end it.
        """
        began, job = time.monotonic(), None
        wanted = NewJob(kind=CANARY, user_id=SYSTEM_USER, request={}, priority="high", backend="rq", max_attempts=1)
        submitting = asyncio.create_task(self._jobs.submit(wanted), name="canary")
        try:
            job = (await asyncio.shield(submitting)).job
            self._delivery.deliver([job])
            while not job.ended and time.monotonic() - began < self._patience_seconds:
                await asyncio.sleep(_LOOK_SECONDS)
                job = await self._jobs.get(job.id)
        finally:
            if job is None or not job.ended:
                await asyncio.shield(self._end(submitting))
        return Trial(job_id=job.id, status=job.status, seconds=round(time.monotonic() - began, 3))

    async def _end(self, submitting: asyncio.Task[Submitted]) -> None:
        await self._jobs.cancel((await submitting).job.id)  # its number is known once it is submitted, and not before
