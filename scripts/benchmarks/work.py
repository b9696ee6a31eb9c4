"""Jobs for a benchmark: submitted and delivered before anybody works, then followed in the database to their end."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from generation_service.bootstrap import Runtime
from generation_service.database import Database
from generation_service.database.tables import jobs
from generation_service.jobs.model import Json, NewJob
from scripts.benchmarks.running import Running
from scripts.benchmarks.service import NotReady, Service

PROJECTS = 50
_AT_ONCE = 32
_LOOK_SECONDS = 0.2  # looking costs the processors something too
_ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What became of all jobs: how many completed, and the seconds from the first claim to the last ending."""

    completed: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.completed / self.seconds


def script_job(number: int, *, recipe: str = "script") -> NewJob:
    """One job as a caller asks for it: the recipe `script`, without documents, one of fifty projects."""
    project = f"benchmark-{number % PROJECTS}"
    request: Mapping[str, Json] = {"project_id": project, "episode_data": {"title": f"하나 {number}"}}
    return NewJob(
        kind="generation", recipe=recipe, project_id=project, user_id="benchmark", request=request, priority="default"
    )


def submit(service: Service, count: int, *, in_all: bool = False) -> None:
    """Have `count` jobs accepted and delivered, as an API would; returns once each is in Redis or has been claimed.

    `in_all`: so many that `count` wait, with those that wait already.
    """
    asyncio.run(_submit(service, count, in_all=in_all))


def wait_until_ended(service: Service, worker: Running, count: int, *, seconds: float) -> Span:
    """Wait until `count` jobs have ended. Raises NotReady where the worker dies first, or it takes too long."""
    database = Database(service.settings().database_url)
    deadline = time.monotonic() + seconds
    try:
        while (ended := database.read_now(_ended)) < count:
            if not worker.alive or time.monotonic() > deadline:
                raise NotReady(f"{ended} of {count} jobs ended\n{worker.last_lines()}")
            time.sleep(_LOOK_SECONDS)
        return database.read_now(_span)
    finally:
        database.close()


async def _submit(service: Service, count: int, *, in_all: bool) -> None:
    async with service.runtime() as runtime:
        gate = asyncio.Semaphore(_AT_ONCE)
        waiting = await runtime.database.read(_waiting) if in_all else 0
        await asyncio.gather(*(_accept(runtime, gate, number) for number in range(count - waiting)))
        deadline = time.monotonic() + 60.0
        while sum(runtime.rq.queue_depths().values()) < await runtime.database.read(_waiting):
            if time.monotonic() > deadline:
                raise NotReady("the deliveries did not come to Redis")
            await asyncio.sleep(_LOOK_SECONDS)


async def _accept(runtime: Runtime, gate: asyncio.Semaphore, number: int) -> None:
    async with gate:
        accepted = await runtime.jobs.submit(script_job(number))
        if accepted.job.backend != "rq":
            raise NotReady(f"a job was accepted for {accepted.job.backend}")
        runtime.adapter.deliver([accepted.job])


def _waiting(connection: Connection) -> int:
    waiting = select(func.count()).where(jobs.c.kind == "generation", jobs.c.status == "pending")
    return int(connection.execute(waiting).scalar_one())


def _ended(connection: Connection) -> int:
    ended = select(func.count()).where(jobs.c.kind == "generation", jobs.c.status.in_(_ENDED))
    return int(connection.execute(ended).scalar_one())


def _span(connection: Connection) -> Span:
    first, last = connection.execute(
        select(func.min(jobs.c.started_at), func.max(jobs.c.completed_at)).where(jobs.c.kind == "generation")
    ).one()
    completed = select(func.count()).where(jobs.c.kind == "generation", jobs.c.status == "completed")
    seconds = (last - first).total_seconds()
    return Span(completed=int(connection.execute(completed).scalar_one()), seconds=seconds)
