"""Claims: take a job for this process, by compare-and-set, under a new fence and a lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from generation_service.database import db_now
from generation_service.database.tables import jobs, service_state, steps
from generation_service.jobs import transitions
from generation_service.jobs.model import Backend, Claim, Job, JobId
from generation_service.jobs.ports import JobKind

PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims: the holder's name, unique for each claim of one job, and how long its lease is."""

    holder: str
    lease_seconds: float


def claim(
    connection: Connection, job_id: JobId, backend: Backend, by: Claimant, kinds: Mapping[str, JobKind]
) -> list[Claim]:
    """Claim one job that was delivered; [] where it is not to be run now, or not by this backend.

    A delivery that meets a pause is used up: the job counts as not delivered, until it is after the pause.
    """
    taken = _take(connection, [*_claimable(backend, kinds), jobs.c.id == job_id], by)
    if not taken:
        used_up = [jobs.c.id == job_id, jobs.c.backend == backend, jobs.c.status == "pending", is_paused()]
        connection.execute(update(jobs).where(*used_up).values(delivered_at=None))
    return [_begin(connection, job, kinds) for job in taken]


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
    taken = _take(connection, [jobs.c.status == "pending", jobs.c.id.in_(select(waiting.c.id))], by)
    return [_begin(connection, job, kinds) for job in sorted(taken, key=lambda job: job.id)]


def find_claims(connection: Connection, holder: str) -> list[Claim]:
    """The claims that `holder` has made, where they were committed: for a COMMIT whose answer was lost."""
    held = select(jobs).where(jobs.c.status == "running", jobs.c.holder == holder)
    taken = [transitions.job_of(row) for row in connection.execute(held)]
    return [Claim(job=job, steps=transitions.find_steps(connection, job.id)) for job in taken]


def is_due() -> ColumnElement[bool]:
    """Whether a pending job may run now."""
    return or_(jobs.c.due_at.is_(None), jobs.c.due_at <= db_now())


def is_paused() -> ColumnElement[bool]:
    """Whether nothing is to start now, on either backend."""
    return select(service_state.c.name).where(service_state.c.name == PAUSED).exists()


def _claimable(backend: Backend, kinds: Mapping[str, JobKind]) -> list[ColumnElement[bool]]:
    known = jobs.c.kind.in_(sorted(kinds))  # while versions change, what only the other one can run is left to it
    return [jobs.c.status == "pending", jobs.c.backend == backend, known, is_due(), ~is_paused()]


def _take(connection: Connection, conditions: Sequence[ColumnElement[bool]], by: Claimant) -> list[Job]:
    saved = (
        select(func.coalesce(func.sum(steps.c.input_tokens + steps.c.output_tokens), 0))
        .where(steps.c.job_id == jobs.c.id, steps.c.status == "completed")
        .scalar_subquery()
    )
    changes: dict[str, Any] = {
        "status": "running",
        "fence": jobs.c.fence + 1,
        "seq": jobs.c.seq + 1,
        "holder": by.holder,
        "lease_until": db_now(by.lease_seconds),
        "claims": jobs.c.claims + 1,
        "steps_since_claim": 0,
        "saved_tokens": jobs.c.saved_tokens + saved,  # what this run need not pay again (I4)
        "started_at": func.coalesce(jobs.c.started_at, db_now()),
        "due_at": None,
    }
    rows = connection.execute(update(jobs).where(*conditions).values(**changes).returning(*jobs.c))
    return [transitions.job_of(row) for row in rows]


def _begin(connection: Connection, job: Job, kinds: Mapping[str, JobKind]) -> Claim:
    data = {"status": "running", "backend": job.backend, "attempt": job.attempt}
    transitions.append(connection, job, [("status", data)])
    kinds[job.kind].on_started(connection, job)
    return Claim(job=job, steps=transitions.find_steps(connection, job.id) if job.claims > 1 else {})
