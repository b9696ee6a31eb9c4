"""Claims: take a job for this process, by compare-and-set, under a new fence and a lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, String, Update, bindparam, func, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import jobs, service_state, steps
from generation_service.jobs import transitions
from generation_service.jobs.model import Backend, Claim, Job, JobId, Json
from generation_service.jobs.ports import JobKind

PAUSED = "paused"

_KINDS = "kinds"
_DELIVERED: Columns = {"id": String(36), "backend": String(32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims: the holder's name, unique for each claim of one job, and how long its lease is."""

    holder: str
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that was delivered to `backend`, and who would claim it."""

    job_id: JobId
    backend: Backend
    by: Claimant


def claim_all(connection: Connection, wanted: Sequence[Wanted], kinds: Mapping[str, JobKind]) -> list[Claim | None]:
    """Claim jobs that were delivered; None for one that is not to be run now, or not by its backend.

    A delivery that meets a pause is used up: the job counts as not delivered, until it is after the pause.
    """
    rows = [
        {"id": one.job_id, "backend": one.backend, "holder": one.by.holder, "lease_seconds": one.by.lease_seconds}
        for one in wanted
    ]
    claimed = connection.execute(_claim(connection), {ROWS: rows, _KINDS: sorted(kinds)})
    taken = sorted((transitions.job_of(row) for row in claimed), key=lambda job: job.id)  # as everybody locks
    if len(taken) < len(wanted):
        connection.execute(_use_up(connection), {ROWS: rows})
    begun = {claim.job.holder: claim for claim in _begin(connection, taken, kinds)}
    return [begun.get(one.by.holder) for one in wanted]


@built_once
def _claim(dialect: str) -> ReturningUpdate[Any]:
    wanted = rowset(dialect, {**_DELIVERED, "holder": String(200), "lease_seconds": Float()}).c
    due = [jobs.c.kind.in_(bindparam(_KINDS, expanding=True)), is_due(), ~is_paused()]
    changes = _taken(wanted.holder, db_now(wanted.lease_seconds))
    return update(jobs).where(*_waits(wanted), *due).values(**changes).returning(*jobs.c)


@built_once
def _use_up(dialect: str) -> Update:
    return update(jobs).where(*_waits(rowset(dialect, _DELIVERED).c), is_paused()).values(delivered_at=None)


def _waits(delivered: Any) -> list[ColumnElement[bool]]:
    """Whether a job still waits for the backend it was delivered to."""
    return [jobs.c.id == delivered.id, jobs.c.backend == delivered.backend, jobs.c.status == "pending"]


def claim_waiting(
    connection: Connection,
    backend: Backend,
    by: Claimant,
    kinds: Mapping[str, JobKind],
    limit: int,
    *,
    project_id: str | None = None,
) -> list[Claim]:
    """Claim up to `limit` jobs that wait for `backend` (of one project), the most urgent and oldest first."""
    of_project = [] if project_id is None else [jobs.c.project_id == project_id]
    waiting = (
        select(jobs.c.id)
        .where(*_claimable(backend, kinds), *of_project)
        .order_by(jobs.c.priority, jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("waiting")  # evaluated once; a plain subquery may be evaluated again and again, past its limit
    )
    chosen = (jobs.c.status == "pending", jobs.c.id.in_(select(waiting.c.id)))
    statement = update(jobs).where(*chosen).values(**_taken(by.holder, db_now(by.lease_seconds))).returning(*jobs.c)
    taken = [transitions.job_of(row) for row in connection.execute(statement)]
    return _begin(connection, sorted(taken, key=lambda job: job.id), kinds)


def find_claims(connection: Connection, holder: str, job_id: JobId | None = None) -> list[Claim]:
    """The claims that `holder` has made, where they were committed: for a COMMIT whose answer was lost.

    `job_id` is the job it was to claim, where that is known: the server may still be busy with that COMMIT.
    """
    if job_id is not None:
        connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update(key_share=True))
    held = select(jobs).where(jobs.c.status == "running", jobs.c.holder == holder)
    taken = [transitions.job_of(row) for row in connection.execute(held)]
    found = transitions.find_steps_of(connection, [job.id for job in taken])
    return [Claim(job=job, steps=found.get(job.id, {})) for job in taken]


def is_due() -> ColumnElement[bool]:
    """Whether a pending job may run now."""
    return or_(jobs.c.due_at.is_(None), jobs.c.due_at <= db_now())


def is_paused() -> ColumnElement[bool]:
    """Whether nothing is to start now, on either backend."""
    return select(service_state.c.name).where(service_state.c.name == PAUSED).exists()


def _claimable(backend: Backend, kinds: Mapping[str, JobKind]) -> list[ColumnElement[bool]]:
    known = jobs.c.kind.in_(sorted(kinds))  # while versions change, what only the other one can run is left to it
    return [jobs.c.status == "pending", jobs.c.backend == backend, known, is_due(), ~is_paused()]


def _taken(holder: Any, lease_until: Any) -> dict[str, Any]:
    """What a claim changes."""
    saved = (
        select(func.coalesce(func.sum(steps.c.input_tokens + steps.c.output_tokens), 0))
        .where(steps.c.job_id == jobs.c.id, steps.c.status == "completed")
        .scalar_subquery()
    )
    return {
        "status": "running",
        "fence": jobs.c.fence + 1,
        "seq": jobs.c.seq + 1,
        "holder": holder,
        "lease_until": lease_until,
        "claims": jobs.c.claims + 1,
        "steps_since_claim": 0,
        "saved_tokens": jobs.c.saved_tokens + saved,  # what this run need not pay again (I4)
        "started_at": func.coalesce(jobs.c.started_at, db_now()),
        "due_at": None,
    }


def _begin(connection: Connection, taken: Sequence[Job], kinds: Mapping[str, JobKind]) -> list[Claim]:
    """Write the event of each claim, and tell each kind of its jobs."""
    transitions.append_all(connection, [(job.id, job.seq, [("status", _running(job))]) for job in taken])
    for kind in sorted({job.kind for job in taken}):
        kinds[kind].on_started(connection, [job for job in taken if job.kind == kind])
    found = transitions.find_steps_of(connection, [job.id for job in taken if job.claims > 1])
    return [Claim(job=job, steps=found.get(job.id, {})) for job in taken]


def _running(job: Job) -> Mapping[str, Json]:
    return {"status": "running", "backend": job.backend, "attempt": job.attempt}
