"""What RQ calls by name: the only two functions an entry in our queues may name.

A `ConcurrentWorker` never imports these: it knows the names and acts itself, many jobs at once. A
stock `rq worker --serializer json rag_processing_high rag_processing rag_processing_low` imports
and calls them: slow, since each job builds the whole service in a forked process, but it always
works, and what is delivered twice or late is claimed once all the same. Settings come from the
environment. Neither raises because of a job: RQ must have nothing to retry.
"""

import asyncio

from generation_service.bootstrap import build
from generation_service.jobs.model import JobId
from generation_service.settings import load_settings


def run_job(job_id: str) -> None:
    """Claim this job and run it, unless it is not to be run now, or not by RQ."""
    asyncio.run(_run_job(JobId(job_id)))


def fire_schedules() -> None:
    """Fire the schedules that are due; each due time fires once, whoever else does this."""
    asyncio.run(_fire_schedules())


async def _run_job(job_id: JobId) -> None:
    async with build(load_settings(), "tool").running() as runtime:
        await runtime.executor.execute(job_id, "rq")


async def _fire_schedules() -> None:
    async with build(load_settings(), "tool").running() as runtime:
        await runtime.fire_schedules(at_once=True)
