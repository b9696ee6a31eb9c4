"""Builds what an operator, or a trigger, can ask of a process; a part of the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from generation_service.database import Database
from generation_service.jobs.model import Backend
from generation_service.jobs.moving import Mover
from generation_service.jobs.ports import Delivery, DeliveryBackend, JobKind
from generation_service.jobs.service import Jobs
from generation_service.jobs.signs import Signs
from generation_service.settings import Settings
from generation_service.switching.canary import Canary
from generation_service.switching.gates import Gates
from generation_service.switching.ledger import Ledger
from generation_service.switching.migration import Migration
from generation_service.switching.mode import Flag
from generation_service.switching.notify import Notifier
from generation_service.switching.observations import RedisWatch
from generation_service.switching.operations import Operations
from generation_service.switching.parts import Parts
from generation_service.switching.ports import RqView
from generation_service.switching.processes import Processes
from generation_service.switching.rehearsal import rehearse
from generation_service.switching.restarts import Restarts
from generation_service.switching.supervision import supervision
from generation_service.switching.switchover import Switchover
from generation_service.switching.sync import StatusSync
from generation_service.switching.triggers import Triggers
from generation_service.telemetry import JobTelemetry
from generation_service.telemetry.memory import system_memory
from generation_service.wakeups import Fanout
from workers.background_adapter import BackgroundRunner
from workers.probe import write_and_read_back

Role = Literal["api", "worker", "scheduler", "tool"]
"""What a process is: who has a role other than `tool` may run jobs, or tick schedules."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What those who run jobs and those who rescue them have in common."""

    settings: Settings
    role: Role
    process: str
    database: Database
    kinds: Mapping[str, JobKind]
    wakeups: Fanout
    signs: Signs


@dataclass(frozen=True)
class Trial:
    """What RQ is tried out with."""

    jobs: Jobs
    delivery: Delivery
    ping: Callable[[], bool]


def build_operations(
    shared: Shared,
    backends: Mapping[Backend, DeliveryBackend],
    view: RqView,
    *,
    processes: Processes,
    flag: Flag,
    trial: Trial,
) -> Operations:
    """The operations of a process with the parts that `shared` names; nothing is started."""
    database = shared.database
    mover = Mover(database=database, backends=backends, wakeups=shared.wakeups)
    migration = Migration(process=shared.process, database=database, mover=mover, view=view)
    sync, ledger = StatusSync(database=database, view=view), Ledger(database=database, view=view)
    gates = _gates(shared, trial, ledger)
    parts = Parts(database=database, migration=migration, sync=sync, ledger=ledger, gates=gates)
    switchover = Switchover(process=shared.process, parts=parts, notify=Notifier(shared.settings).tell)
    return Operations(
        settings=shared.settings,
        database=database,
        process=shared.process,
        migration=migration,
        sync=sync,
        ledger=ledger,
        switchover=switchover,
        triggers=Triggers(
            process=shared.process,
            settings=shared.settings,
            database=database,
            switchover=switchover,
            ledger=ledger,
            redis=RedisWatch(database=database, ping=trial.ping),
            memory_percent=_memory_percent,
            signs=shared.signs,
        ),
        processes=processes,
        restarts=Restarts(
            database=database,
            supervision=supervision(),
            rehearse=rehearse,
            environment=flag,
            grace_seconds=shared.settings.shutdown_grace_seconds,
            signs=shared.signs,
        ),
    )


def _gates(shared: Shared, trial: Trial, ledger: Ledger) -> Gates:
    settings = shared.settings
    patience = settings.rollforward_gate_seconds
    return Gates(
        database=shared.database,
        probe=partial(write_and_read_back, settings.redis_address, timeout_seconds=settings.redis_timeout_seconds),
        canary=Canary(jobs=trial.jobs, delivery=trial.delivery, patience_seconds=patience),
        ledger=ledger,
        patience_seconds=patience,
    )


def _memory_percent() -> float:
    return system_memory().percent


def build_processes(shared: Shared, background: BackgroundRunner, telemetry: JobTelemetry) -> Processes:
    """The row of this process, with the figures that its role can give."""
    keeper = supervision()
    supervisor = str(keeper.identity) if keeper else None
    processes = Processes(
        database=shared.database,
        name=shared.process,
        role=shared.role,
        supervisor=supervisor,
        signs=None if shared.role == "tool" else shared.signs,
    )
    processes.report(lambda: {"memory_percent": round(_memory_percent(), 1)})
    if shared.role == "api":
        capacity = shared.settings.background_max_concurrency
        processes.report(lambda: {"active": background.active, "capacity": capacity})
        processes.report(lambda: _answers(telemetry))
    return processes


def _answers(telemetry: JobTelemetry) -> dict[str, float]:
    recent = telemetry.answers.recent()
    return {"answers": recent.count, "answer_seconds": recent.seconds}
