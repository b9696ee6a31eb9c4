"""The route that Prometheus scrapes."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, get_args

from fastapi import APIRouter
from sqlalchemy import Connection, func, select, text
from starlette.requests import Request
from starlette.responses import Response

from generation_service.api.health import VERSION, Dependencies
from generation_service.api.ports import Runtime, runtime_of
from generation_service.api.stream import Streams
from generation_service.database import db_now, totals
from generation_service.database.programs import program_files, program_retry_files, programs
from generation_service.database.tables import jobs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import counters
from generation_service.jobs.alerts import AlertType
from generation_service.jobs.model import BACKENDS, LIVE, PRIORITIES
from generation_service.switching.alerting import ALERTS_TOTAL
from generation_service.switching.figures import rollback_figures
from generation_service.telemetry.metrics import CONTENT_TYPE, Snapshot, exposition
from generation_service.telemetry.totals import Labels

router = APIRouter(tags=["Health"])

_LEDGER_SECONDS = 15.0

# Shown from the beginning, at nothing: a series that begins with 1 is no rise to Prometheus.
_ALERTS: tuple[Labels, ...] = tuple((("type", name),) for name in get_args(AlertType))
_UNFINISHED = ("pending", "processing", "failed")
_OUTCOMES = ("success", "failed", "skipped")

Gauges = dict[str, Mapping[Labels, float]]
"""Values by name, then by labels."""


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Totals of the whole service (any process may be scraped for them) and gauges of this process."""
    runtime = runtime_of(request)
    streams: Streams = request.app.state.streams
    gauges: Gauges = {
        "background_tasks_active": {(): runtime.telemetry.background_tasks_active},
        "background_tasks_capacity": {(): runtime.settings.background_max_concurrency},
        "generation_streams_open": {(): streams.slots.taken},
        "generation_service_build_info": {(("version", VERSION),): 1},
        **await _redis(request.app.state.dependencies),
    }
    shown = exposition(await _snapshot(runtime, {**gauges, **await _ledger(runtime)}))
    return Response(shown, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


async def _snapshot(runtime: Runtime, own: Gauges) -> Snapshot:
    try:
        await totals.flush(runtime.database, runtime.telemetry.totals)
        stored = await runtime.database.read(partial(_stored, runtime.settings.rollback_baseline_seconds))
    except DatabaseUnavailable:  # a gauge says so; what this process knows by itself is still told
        return Snapshot(gauges={**own, "generation_service_up": {(): 0}})
    return Snapshot(
        totals=stored.totals, counts=stored.counts, gauges={**own, **stored.gauges, "generation_service_up": {(): 1}}
    )


async def _ledger(runtime: Runtime) -> Gauges:
    """What the ledger has found, which is counted anew every now and then, not with each scrape."""
    try:
        report = await runtime.operations.ledger.recent(_LEDGER_SECONDS)
    except DatabaseUnavailable:
        return {}
    found = {"lost": report.lost, "duplicated": report.duplicated, "unexplained": report.unexplained}
    return {f"generation_ledger_{name}": {(): number} for name, number in found.items()}


async def _redis(dependencies: Dependencies) -> Gauges:
    await dependencies.look()
    answers = {"ok": 1.0, "unreachable": 0.0}
    return {"generation_redis_up": {(): answers[dependencies.redis]}} if dependencies.redis in answers else {}


def _stored(baseline_seconds: float, connection: Connection) -> Snapshot:
    rollback = rollback_figures(connection)
    stored = totals.read(connection)
    counts: Gauges = {
        "generation_jobs_accepted_total": {(): float(counters.total(connection, "accepted"))},
        "generation_jobs_ended_total": {(): float(counters.total(connection, "ended"))},
        "rollback_errors_total": {(): float(rollback.failed_switches)},
        ALERTS_TOTAL: {mark: stored.get((ALERTS_TOTAL, mark), 0.0) for mark in _ALERTS},
        "program_retries_total": _retries(connection),
    }
    gauges: Gauges = {
        "system_rollback_active": {(): float(rollback.active)},
        "rollback_performance_ratio": {(): rollback.performance_ratio(baseline_seconds)},
        "generation_workers_alive": {(): float(rollback.workers_alive)},
        "program_files": _program_files(connection),
    }
    return Snapshot(totals=stored, counts=counts, gauges={**gauges, **_queues(connection)})


def _queues(connection: Connection) -> Gauges:
    """How much waits and runs: two counts over partial indexes, however many jobs there ever were."""
    ready_at = func.min(func.coalesce(jobs.c.due_at, jobs.c.created_at))
    waiting = connection.execute(
        select(jobs.c.backend, jobs.c.priority, func.count(), ready_at)
        .where(jobs.c.status == "pending")
        .group_by(jobs.c.backend, jobs.c.priority)
    ).all()
    running = connection.execute(
        select(jobs.c.backend, func.count()).where(jobs.c.status == "running").group_by(jobs.c.backend)
    ).all()
    now: datetime = connection.execute(select(db_now())).scalar_one()
    depth = {_labels(backend=backend, priority=priority): 0.0 for backend in BACKENDS for priority in PRIORITIES}
    oldest = {_labels(backend=backend): 0.0 for backend in BACKENDS}
    live = {_labels(backend=backend, status=status): 0.0 for backend in BACKENDS for status in sorted(LIVE)}
    for backend, number, count, since in waiting:
        depth[_labels(backend=backend, priority=PRIORITIES[number])] = count
        live[_labels(backend=backend, status="pending")] += count
        mark = _labels(backend=backend)
        oldest[mark] = max(oldest[mark], (now - since).total_seconds())
    for backend, count in running:
        live[_labels(backend=backend, status="running")] = count
    return {
        "generation_queue_depth": depth,
        "generation_queue_oldest_seconds": oldest,
        "generation_jobs_live": live,
    }


def _program_files(connection: Connection) -> Mapping[Labels, float]:
    """The files that somebody waits for, or looks after: a count over a partial index."""
    unfinished = select(program_files.c.status, func.count()).where(text("program_files.status <> 'completed'"))
    seen = unfinished.join(programs, programs.c.id == program_files.c.program_id).where(programs.c.deleted_at.is_(None))
    found = {(("status", status),): float(count) for status, count in connection.execute(seen.group_by("status"))}
    return {(("status", status),): found.get((("status", status),), 0.0) for status in _UNFINISHED}


def _retries(connection: Connection) -> Mapping[Labels, float]:
    outcome = program_retry_files.c.outcome
    ended = select(outcome, func.count()).where(outcome.is_not(None)).group_by(outcome)
    found = {name: float(count) for name, count in connection.execute(ended)}
    return {(("outcome", name),): found.get(name, 0.0) for name in _OUTCOMES}


def _labels(**given: Any) -> Labels:
    return tuple((name, str(value)) for name, value in given.items())
