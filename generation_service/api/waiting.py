"""Holding an answer until a job has ended, for callers that prefer to wait."""

import time

from generation_service.api.drain import Drain
from generation_service.api.ports import Runtime
from generation_service.jobs.model import Job

_LOOK_SECONDS = 1.0


async def until_ended(runtime: Runtime, drain: Drain, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it stands after `seconds`, or when this process is about to end."""
    deadline = time.monotonic() + seconds
    with runtime.wakeups.subscribe(job.id) as news:
        while not job.ended and not drain.begun and (left := deadline - time.monotonic()) > 0:
            await news.wait(min(left, _LOOK_SECONDS))
            job = await runtime.jobs.get(job.id)
    return job
