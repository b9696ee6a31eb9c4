"""Reading jobs: lists by keyset, event logs, counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, CompoundSelect, Connection, func, select, union_all

from generation_service.database.partitions import CLOCKS_AGREE, first_id
from generation_service.database.tables import job_tallies, jobs, pruned_jobs
from generation_service.database.types import beside
from generation_service.errors import Refused
from generation_service.jobs import transitions
from generation_service.jobs.model import LIVE, Backend, Job, JobId, Status

T = TypeVar("T")

PRUNED = "pruned"
"""The status under which tombstones are tallied."""

_LARGEST_NUMBER = 2**63 - 1
_INDEXED_STATUSES = (["pending", "running"], ["cancelled", "failed"])  # the conditions of indexes by user


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


def number_before(cursor: str | None) -> int:
    """Below which number a page of a list begins that counts downwards. Raises Refused `invalid_cursor` (422)."""
    if cursor is None:
        return _LARGEST_NUMBER
    if not (cursor.isascii() and cursor.isdecimal() and int(cursor) <= _LARGEST_NUMBER):
        raise Refused("invalid_cursor", 422)
    return int(cursor)


def list_jobs(connection: Connection, wanted: JobFilter, *, limit: int, before: JobId | None) -> Page[Job]:
    """A page of jobs older than `before`."""
    conditions = _conditions(wanted)
    if before is not None:
        conditions.append(jobs.c.id < before)
    rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.id.desc()).limit(limit + 1)).all()
    items = [transitions.job_of(row) for row in rows[:limit]]
    return Page(items, items[-1].id if len(rows) > limit else None)


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    exact = {name: getattr(wanted, name) for name in ("kind", "status", "backend")}
    conditions = [jobs.c[name] == value for name, value in exact.items() if value is not None]
    conditions += [jobs.c.status.in_(named) for named in _INDEXED_STATUSES if wanted.status in named]
    owners = {name: getattr(wanted, name) for name in ("user_id", "project_id") if getattr(wanted, name) is not None}
    # Each has an index; a project is one user's, but what fell through or is live is less.
    followed = "user_id" if any(wanted.status in named for named in _INDEXED_STATUSES) else "project_id"
    for name, value in owners.items():
        is_followed = len(owners) == 1 or name == followed
        conditions.append((jobs.c[name] if is_followed else beside(jobs.c[name])) == value)
    if wanted.created_after is not None:
        # Ids begin with the time they were made at, by the clock of whoever made them: it ends the search.
        made_after = first_id(wanted.created_after - CLOCKS_AGREE)
        conditions += [jobs.c.created_at > wanted.created_after, jobs.c.id > made_after]
    return conditions


def is_pruned(connection: Connection, job_id: JobId) -> bool:
    """Whether there was such a job once."""
    found = select(pruned_jobs.c.job_id).where(pruned_jobs.c.job_id == job_id)
    return connection.execute(found).one_or_none() is not None


def count_by_status(connection: Connection) -> Mapping[tuple[Backend, Status], int]:
    """How many jobs are in each state, by backend: what is live is counted, what has ended was tallied."""
    rows = connection.execute(counted_by_status())
    return {(row.backend, row.status): int(row.number) for row in rows if row.status != PRUNED and row.number}


def counted_by_status() -> CompoundSelect[str, str, int]:
    """Rows of jobs by `status` and `backend`, each with its `number`; and PRUNED, the tombstones."""
    live = [
        select(jobs.c.status, jobs.c.backend, func.count().label("number"))
        .where(jobs.c.status == status)
        .group_by(jobs.c.status, jobs.c.backend)
        for status in sorted(LIVE)
    ]
    tallied = select(job_tallies.c.status, job_tallies.c.backend, func.sum(job_tallies.c.value))
    return union_all(*live, tallied.group_by(job_tallies.c.status, job_tallies.c.backend))


def oldest_waiting_seconds(connection: Connection, now: datetime) -> float:
    """For how long the job that has waited longest has been waiting, of those that are due; 0 where none waits."""
    oldest: datetime | None = connection.execute(
        select(func.min(func.coalesce(jobs.c.due_at, jobs.c.created_at))).where(jobs.c.status == "pending")
    ).scalar_one()
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
