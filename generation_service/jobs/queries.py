"""Reading jobs: lists by keyset, event logs, counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection, func, select

from generation_service.database.tables import events, jobs, pruned_jobs
from generation_service.jobs import transitions
from generation_service.jobs.model import Backend, Job, JobEvent, JobId, Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; what is None does not narrow it."""

    kind: str | None = "generation"
    user_id: str | None = None
    status: Status | None = None
    project_id: str | None = None
    backend: Backend | None = None
    created_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, the newest first, and where the next one begins; None: there is none."""

    items: list[T]
    next_cursor: str | None


def list_jobs(connection: Connection, wanted: JobFilter, *, limit: int, before: JobId | None) -> Page[Job]:
    """A page of jobs older than `before`."""
    exact = {name: getattr(wanted, name) for name in ("kind", "user_id", "status", "project_id", "backend")}
    conditions = [jobs.c[name] == value for name, value in exact.items() if value is not None]
    if wanted.created_after is not None:
        conditions.append(jobs.c.created_at > wanted.created_after)
    if before is not None:
        conditions.append(jobs.c.id < before)
    rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.id.desc()).limit(limit + 1)).all()
    items = [transitions.job_of(row) for row in rows[:limit]]
    return Page(items, items[-1].id if len(rows) > limit else None)


def events_after(connection: Connection, job_id: JobId, after: int, limit: int) -> list[JobEvent]:
    """The job's events with a number above `after`, in order."""
    rows = connection.execute(
        select(events.c.sequence, events.c.type, events.c.data)
        .where(events.c.job_id == job_id, events.c.sequence > after)
        .order_by(events.c.sequence)
        .limit(limit)
    )
    return [JobEvent(job_id=job_id, sequence=row.sequence, type=row.type, data=row.data) for row in rows]


def is_pruned(connection: Connection, job_id: JobId) -> bool:
    """Whether there was such a job once."""
    found = select(pruned_jobs.c.job_id).where(pruned_jobs.c.job_id == job_id)
    return connection.execute(found).one_or_none() is not None


def count_by_status(connection: Connection) -> Mapping[tuple[Backend, Status], int]:
    """How many jobs are in each state, by backend."""
    rows = connection.execute(
        select(jobs.c.backend, jobs.c.status, func.count()).group_by(jobs.c.backend, jobs.c.status)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def oldest_waiting_seconds(connection: Connection, now: datetime) -> float:
    """For how long the job that has waited longest has been waiting, of those that are due; 0 where none waits."""
    oldest: datetime | None = connection.execute(
        select(func.min(func.coalesce(jobs.c.due_at, jobs.c.created_at))).where(jobs.c.status == "pending")
    ).scalar_one()
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
