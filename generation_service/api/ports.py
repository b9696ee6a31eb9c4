"""What the API asks of the process it runs in; the composition root builds it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.requests import Request

from generation_service.database import Database
from generation_service.documents import Documents
from generation_service.jobs.model import Job
from generation_service.jobs.ports import Delivery
from generation_service.jobs.service import Jobs
from generation_service.objects import ObjectStore
from generation_service.programs.service import Programs
from generation_service.settings import Settings
from generation_service.switching.operations import Operations
from generation_service.telemetry import JobTelemetry
from generation_service.wakeups import Fanout


class RedisBackend(Protocol):
    """What health and the operators' figures ask of the RQ part."""

    def ping(self) -> bool:
        """Whether Redis answers within its time-out; blocking, never raises."""

    def queue_depths(self) -> Mapping[str, int]:
        """How many ids wait in each queue, by its name; blocking. Raises ConnectionError."""


class Runtime(Protocol):
    """The parts of one API process (`generation_service.bootstrap.Runtime` has them)."""

    @property
    def settings(self) -> Settings: ...

    @property
    def database(self) -> Database: ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def programs(self) -> Programs: ...

    @property
    def objects(self) -> ObjectStore: ...

    @property
    def wakeups(self) -> Fanout: ...

    @property
    def adapter(self) -> Delivery: ...

    @property
    def telemetry(self) -> JobTelemetry: ...

    @property
    def operations(self) -> Operations: ...

    @property
    def rq(self) -> RedisBackend: ...

    def begin_drain(self) -> None:
        """Take no new jobs; what runs goes on until `running` ends."""

    def running(self) -> AbstractAsyncContextManager[object]:
        """Start what this process runs besides answering; stop it at the end."""


def runtime_of(request: Request) -> Runtime:
    """The runtime of the application that answers this request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def deliver(runtime: Runtime, job: Job) -> None:
    """Tell the job's backend, after the commit: a hint, which recovery repeats where it got lost.

    A coroutine, though it waits for nothing: a plain function would be given a thread as a background task.
    """
    await deliver_all(runtime, [job])


async def deliver_all(runtime: Runtime, jobs: Sequence[Job]) -> None:
    """As `deliver`, for several jobs."""
    runtime.adapter.deliver(jobs)
