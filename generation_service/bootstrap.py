"""The composition root: builds every part from the settings, and starts and stops those that a process needs."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from generation_service.bootstrap_documents import Library, build_documents, build_library, build_upkeep
from generation_service.bootstrap_jobs import (
    admission_of,
    build_background,
    build_executor,
    build_kinds,
    build_recovery,
    build_wakeups,
)
from generation_service.bootstrap_operations import Role, Shared, Trial, build_operations, build_processes
from generation_service.database import Database, totals
from generation_service.documents import Documents
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import schedules
from generation_service.jobs.execution import Executor
from generation_service.jobs.heartbeat import Heartbeat
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Backend
from generation_service.jobs.ports import DeliveryBackend
from generation_service.jobs.pruning import PRUNE
from generation_service.jobs.recovery import Recovery
from generation_service.jobs.routing import current_mode
from generation_service.jobs.schedules import Schedule
from generation_service.jobs.service import Jobs
from generation_service.jobs.signs import Sign, Signs
from generation_service.llm import LanguageModel, open_model
from generation_service.objects import ObjectStore
from generation_service.programs import Programs, RetryRules
from generation_service.search import SearchProvider, open_search
from generation_service.settings import Settings
from generation_service.switching import switches
from generation_service.switching.alerting import AlertTeller
from generation_service.switching.mode import environment_says
from generation_service.switching.operations import Operations
from generation_service.switching.processes import name_process
from generation_service.switching.state import StateFollower
from generation_service.switching.switchover import NOTICE_SECONDS
from generation_service.switching.watch import Watch
from generation_service.telemetry import JobTelemetry
from generation_service.wakeups import Fanout
from workers.adapter import WorkerAdapter
from workers.background_adapter import BackgroundRunner
from workers.rq_adapter import RqBackend
from workers.rq_view import RedisView

_TICK_SECONDS = 5.0
_TOTALS_SECONDS = 1.0
_OVERDUE_SECONDS = 60.0  # while RQ's ticker is the one to fire, ours waits this long for it


class _Loop(Protocol):
    """What goes on in the background of a process."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(kw_only=True)
class Runtime:
    """Everything one process has; `running` starts and stops what its role needs."""

    role: Role
    process: str
    settings: Settings
    database: Database
    signs: Signs
    telemetry: JobTelemetry
    wakeups: Fanout
    jobs: Jobs
    documents: Documents
    programs: Programs
    library: Library
    heartbeat: Heartbeat
    executor: Executor
    background: BackgroundRunner
    rq: RqBackend
    adapter: WorkerAdapter
    recovery: Recovery
    model: LanguageModel
    search: SearchProvider
    rq_view: RedisView
    operations: Operations

    @property
    def objects(self) -> ObjectStore:
        """Where files and artefacts are kept."""
        return self.library.objects

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Runtime"]:
        """Start the loops of this role on the running event loop; stop them and close everything at the end.

        What still runs in-process at the end goes on for the grace period, then is given back at its last step.
        Notices of switches are waited for beside it, and NOTICE_SECONDS longer: a supervisor's patience is bounded.
        """
        await self.database.write(self._declare)
        if self._works:
            await self.library.begin_index(self.database, self.jobs.admission)
        if self.role != "tool":
            await self.operations.processes.start()
        self.wakeups.start()
        self.heartbeat.start()
        loops = self._build_loops() if self._works else []
        for loop in loops:
            loop.start()
        if self.role == "api":
            self.background.start()
            self.operations.restarts.start()
        self.operations.processes.enter("serving")
        try:
            yield self
        finally:
            self.operations.processes.enter("draining")
            await self._stop(loops)

    @property
    def _works(self) -> bool:
        """Whether this process runs jobs, and so has its part in the upkeep of all of them."""
        return self.role in {"api", "worker"}

    def _build_loops(self) -> list[_Loop]:
        due, under_way = self.signs.add(schedules.is_any_due()), self.signs.add(switches.is_under_way())
        switchover, triggers = self.operations.switchover, self.operations.triggers
        return [
            self.recovery,
            Loop(name="ticker", turn=partial(self._tick, due), pause_seconds=_TICK_SECONDS),
            Loop(name="totals", turn=self._store_totals, pause_seconds=_TOTALS_SECONDS),
            StateFollower(database=self.database, release_all=self.heartbeat.release_all, signs=self.signs),
            Watch(switchover=switchover, triggers=triggers, under_way=under_way, acts=self.role == "api"),
            self.library.sweeper,
            AlertTeller(database=self.database, webhook_url=self.settings.alert_webhook_url, signs=self.signs),
            build_upkeep(self.settings, self.database, self.jobs, self.adapter, self.signs),
        ]

    async def _stop(self, loops: Sequence[_Loop]) -> None:
        grace_seconds = self.settings.shutdown_grace_seconds
        closed_by = time.monotonic() + grace_seconds + NOTICE_SECONDS
        await self.background.stop(grace_seconds)
        for loop in loops:
            await loop.stop()
        # The last notices come with the loops' end.
        await self.operations.switchover.close(max(closed_by - time.monotonic(), 0.0))
        await self.heartbeat.stop()
        await self.operations.ledger.close()
        with contextlib.suppress(DatabaseUnavailable):  # metrics only
            await self._store_totals()
        for part in (self.model, self.library, self.search):
            await part.aclose()
        if self.role == "api":
            await self.operations.restarts.stop()
        if self.role != "tool":
            await self.operations.processes.stop()
        await asyncio.to_thread(self.close)

    def begin_drain(self) -> None:
        """Take nothing new: this process is about to end."""
        self.background.drain()
        self.operations.processes.enter("draining")

    def close(self) -> None:
        """Close what holds connections."""
        self.wakeups.stop()
        self.rq.close()
        self.rq_view.close()
        self.database.close()

    async def fire_schedules(self, *, at_once: bool = False) -> None:
        """Fire what is due; while jobs go to RQ, only what RQ's ticker has left lying, unless `at_once`."""
        mode = await self.database.read(current_mode)
        late = mode is not None and mode.target == "rq" and not at_once
        fire = partial(
            schedules.fire_due,
            fired_by=self.process,
            admission=self.jobs.admission,
            overdue_seconds=_OVERDUE_SECONDS if late else 0.0,
        )
        self.adapter.deliver(await self.database.write(fire))

    async def _tick(self, due: Sign) -> None:
        if await due.look():
            await self.fire_schedules()

    async def _store_totals(self) -> None:
        await totals.flush(self.database, self.telemetry.totals)

    def _declare(self, connection: Connection) -> None:
        if self.role != "tool":  # what a shell happens to have set is nobody's word
            environment_says(connection, self.adapter.flag, host=socket.gethostname(), role=self.role)
        upkeep = Schedule(
            id=PRUNE, cron=self.settings.prune_cron, timezone=self.settings.timezone, kind=PRUNE, request={}
        )
        retries = RetryRules.of(self.settings).schedules
        schedules.declare(connection, [upkeep, *retries, *self.library.schedules(self.settings.timezone)])


def open_database(settings: Settings) -> Database:
    """The database of these settings; a frozen process holds a row for a third of a lease at most."""
    return Database(
        settings.database_url, pool_size=settings.database_pool_size, idle_seconds=settings.job_lease_seconds / 3
    )


def build(settings: Settings, role: Role, *, process: str | None = None) -> Runtime:
    """Build the parts; nothing is started and, but for the database file's lock, nothing is opened.

    `process` is a name for this process that no other has, where somebody else needs to know it; None: a fresh one.
    """
    database = open_database(settings)
    telemetry = JobTelemetry()
    library = build_library(settings, database)
    model, search = open_model(settings), open_search(settings)
    shared = Shared(
        settings=settings,
        role=role,
        process=process or name_process(role),
        database=database,
        kinds=build_kinds(settings, database, library, model, search),
        wakeups=build_wakeups(settings, database, role),
        signs=Signs(database),
    )
    heartbeat = Heartbeat(database=database, lease_seconds=settings.job_lease_seconds)
    executor = build_executor(shared, heartbeat, telemetry)
    background = build_background(shared, executor, heartbeat)
    # Redis is not asked for anything before a job is sent there: the mode says whether, not this process's settings.
    rq = RqBackend(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    backends: dict[Backend, DeliveryBackend] = {"background_tasks": background, "rq": rq}
    adapter = WorkerAdapter(settings, backends)
    view = RedisView(settings.redis_address, timeout_seconds=settings.redis_timeout_seconds)
    jobs = Jobs(database=database, kinds=shared.kinds, admission=admission_of(settings), wakeups=shared.wakeups)
    return Runtime(
        role=role,
        process=shared.process,
        settings=settings,
        database=database,
        signs=shared.signs,
        telemetry=telemetry,
        wakeups=shared.wakeups,
        jobs=jobs,
        documents=build_documents(settings, database, library, jobs),
        programs=Programs(database=database, objects=library.objects, jobs=jobs, settings=settings),
        library=library,
        heartbeat=heartbeat,
        executor=executor,
        background=background,
        rq=rq,
        adapter=adapter,
        recovery=build_recovery(shared, backends),
        model=model,
        search=search,
        rq_view=view,
        operations=build_operations(
            shared,
            backends,
            view,
            processes=build_processes(shared, background, telemetry),
            flag=adapter.flag,
            trial=Trial(jobs, adapter, rq.ping),
        ),
    )
