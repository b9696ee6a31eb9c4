"""A kind of job whose steps a test writes as functions, and a core around it, in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs.event_log import EventLogs
from generation_service.jobs.execution import Executor, Limits
from generation_service.jobs.heartbeat import Heartbeat
from generation_service.jobs.model import Backend, Job, JobEvent, JobId, Json, NewJob
from generation_service.jobs.ports import DeliveryBackend, Ending, StepOutcome, StepRun
from generation_service.jobs.recovery import Pace, Recovery
from generation_service.jobs.retries import RetryPolicy
from generation_service.jobs.service import Jobs
from generation_service.jobs.submission import Admission
from generation_service.telemetry import JobTelemetry
from generation_service.wakeups import InProcessWakeups

Body = Callable[[StepRun], Awaitable[StepOutcome]]


async def nothing(run: StepRun) -> StepOutcome:
    """A step that ends at once."""
    return StepOutcome(output={"ran": run.step})


@dataclass
class ToyStep:
    name: str
    body: Body
    runs: int = 0

    async def run(self, run: StepRun) -> StepOutcome:
        self.runs += 1
        return await self.body(run)


@dataclass
class ToyKind:
    """Steps in order; `endings` collects what its hook was told."""

    bodies: Mapping[str, Body]
    kind: str = "toy"
    shares_commits: bool = True
    endings: list[Ending] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.toy_steps = {name: ToyStep(name, body) for name, body in self.bodies.items()}

    def steps(self, job: Job) -> Sequence[ToyStep]:
        return list(self.toy_steps.values())

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None: ...

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        self.endings.extend(endings)
        return [{"steps": sorted(one.outputs)} if one.status == "completed" else None for one in endings]

    def on_reopened(self, connection: Connection, job: Job) -> None: ...


class Core:
    """Everything that runs toy jobs on one database; `lease_seconds` may be short."""

    def __init__(
        self,
        database: Database,
        kind: ToyKind,
        *,
        lease_seconds: float = 30.0,
        name: str = "here",
        backends: Mapping[Backend, DeliveryBackend] = MappingProxyType({}),
    ) -> None:
        kinds = {kind.kind: kind}
        policy = RetryPolicy(base_seconds=0.0, max_seconds=0.0)
        wakeups = self.wakeups = InProcessWakeups()
        self.database, self.kind, self.kinds, self.policy = database, kind, kinds, policy
        self.telemetry = JobTelemetry()
        self.heartbeat = Heartbeat(database=database, lease_seconds=lease_seconds)
        self.jobs = Jobs(
            database=database,
            kinds=kinds,
            admission=Admission(max_live=10_000, max_live_per_user=10_000, max_attempts=4),
            wakeups=wakeups,
        )
        self.executor = Executor(
            process=name,
            database=database,
            kinds=kinds,
            heartbeat=self.heartbeat,
            limits=Limits(lease_seconds=lease_seconds, run_seconds=60.0, step_seconds=30.0),
            policy=policy,
            wakeups=wakeups,
            listener=self.telemetry,
        )
        self.recovery = Recovery(
            process=name,
            database=database,
            kinds=kinds,
            policy=policy,
            backends=backends,
            wakeups=wakeups,
            pace=Pace(interval_seconds=0.05, redelivery_seconds=0.1, lease_seconds=lease_seconds),
        )

    async def submit(self, **changes: Json) -> Job:
        wanted = {"kind": self.kind.kind, "user_id": "ana", "request": {}, **changes}
        return (await self.jobs.submit(NewJob(**wanted))).job

    async def run(self, job: Job) -> Job:
        await self.executor.execute(job.id, "background_tasks")
        return await self.jobs.get(job.id)

    async def recover(self) -> None:
        """Take one turn of a recovery that has led for a while: no quiet time is left."""
        self.recovery._leads = True
        self.recovery._quiet_until = 0
        await self.recovery.turn()
        await self.recovery.redeliver()

    async def events(self, job_id: JobId) -> list[tuple[str, Mapping[str, Json]]]:
        return [(event.type, event.data) for event in await self.log(job_id)]

    async def log(self, job_id: JobId, after: int = 0) -> Sequence[JobEvent]:
        page = (await EventLogs(self.database).read([(job_id, after)]))[job_id, after]
        assert page.whole
        return page.events

    @asynccontextmanager
    async def beating(self) -> AsyncIterator["Core"]:
        self.heartbeat.start()
        try:
            yield self
        finally:
            await self.heartbeat.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; it is asked again and again, a breath apart."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for is a row in a database
            await asyncio.sleep(0.01)
