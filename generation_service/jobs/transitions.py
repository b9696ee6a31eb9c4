"""The one way a job changes state: a compare-and-set along the table of legal moves, with its events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from generation_service.database import db_now
from generation_service.database.tables import events, jobs, steps
from generation_service.errors import Fenced
from generation_service.jobs.model import MOVES, PRIORITIES, EventType, Job, JobId, Json, Move, StepRecord

Draft = tuple[EventType, Mapping[str, Json]]
"""An event before it has its number: type and data."""


def job_of(row: Row[Any]) -> Job:
    """The value of a row that holds every column of `jobs`."""
    columns = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    columns["priority"] = PRIORITIES[columns["priority"]]
    return Job(**columns)


def find_job(connection: Connection, job_id: JobId) -> Job | None:
    """The job, or None."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return job_of(row) if row else None


def find_steps(connection: Connection, job_id: JobId) -> dict[str, StepRecord]:
    """The steps that were ever started, by name, in order."""
    rows = connection.execute(select(steps).where(steps.c.job_id == job_id).order_by(steps.c.ordinal))
    return {row.name: StepRecord(**row._mapping) for row in rows}  # noqa: SLF001 - as above


def move(
    connection: Connection,
    job_id: JobId,
    name: Move,
    *conditions: ColumnElement[bool],
    drafts: int = 1,
    **changes: Any,
) -> Job | None:
    """Make the move `name` if the job is in a state it leaves and `conditions` hold; None where not.

    Numbers for `drafts` events are reserved; `append` must write exactly those in this transaction.
    """
    leaves, enters = MOVES[name]
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status.in_(sorted(leaves)), *conditions)
        .values(status=enters, seq=jobs.c.seq + drafts, **changes)
        .returning(*jobs.c)
    )
    row = connection.execute(statement).one_or_none()
    return job_of(row) if row else None


def touch(connection: Connection, job_id: JobId, fence: int, *, drafts: int, **changes: Any) -> Job:
    """Lock a running job for a write of its run and reserve numbers for `drafts` events.

    Every transaction of a run begins with this or with `move`. Raises Fenced where the fence is not
    the current one (I3).
    """
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status == "running", jobs.c.fence == fence)
        .values(seq=jobs.c.seq + drafts, **changes)
        .returning(*jobs.c)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise Fenced(job_id, fence)
    return job_of(row)


def append_first(connection: Connection, accepted: Sequence[Job], data: Callable[[Job], Mapping[str, Json]]) -> None:
    """Write event 1 of each of these jobs, a `status`."""
    rows = [{"job_id": job.id, "data": {"sequence": 1, **data(job), "attempt": job.attempt}} for job in accepted]
    first = insert(events).values(sequence=1, type="status", created_at=db_now())
    connection.execute(first, cast("Any", rows))


def append(connection: Connection, job: Job, drafts: Sequence[Draft]) -> None:
    """Write the events whose numbers were reserved: the last one gets `job.seq` (I6)."""
    first = job.seq - len(drafts) + 1
    rows = [
        {"job_id": job.id, "sequence": number, "type": type_, "data": {"sequence": number, **data}}
        for number, (type_, data) in enumerate(drafts, first)
    ]
    if rows:
        connection.execute(insert(events).values(created_at=db_now()), cast("Any", rows))
