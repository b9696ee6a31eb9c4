"""The one way a job changes state: a compare-and-set along the table of legal moves, with its events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Connection, Insert, Row, String, insert, select, update

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import events, jobs, steps
from generation_service.database.types import Json as JsonColumn
from generation_service.errors import Fenced
from generation_service.jobs.model import MOVES, PRIORITIES, EventType, Job, JobId, Json, Move, StepRecord

Draft = tuple[EventType, Mapping[str, Json]]
"""An event before it has its number: type and data."""

Entry: TypeAlias = tuple[JobId, int, Sequence[Draft]]
"""Events of one job, with the number that was reserved for the last of them."""


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
    return find_steps_of(connection, [job_id]).get(job_id, {})


def find_steps_of(connection: Connection, job_ids: Sequence[JobId]) -> dict[JobId, dict[str, StepRecord]]:
    """The steps that were ever started, by job and by name, in order."""
    found: dict[JobId, dict[str, StepRecord]] = {}
    if job_ids:
        wanted = select(steps).where(steps.c.job_id.in_(job_ids)).order_by(steps.c.job_id, steps.c.ordinal)
        for row in connection.execute(wanted):
            found.setdefault(row.job_id, {})[row.name] = StepRecord(**row._mapping)  # noqa: SLF001 - as above
    return found


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
    append_all(connection, [(job.id, 1, [("status", {**data(job), "attempt": job.attempt})]) for job in accepted])


def append(connection: Connection, job: Job, drafts: Sequence[Draft]) -> None:
    """Write the events whose numbers were reserved: the last one gets `job.seq` (I6)."""
    append_all(connection, [(job.id, job.seq, drafts)])


def append_all(connection: Connection, entries: Iterable[Entry]) -> None:
    """Write the events of several jobs, whose numbers were reserved, in one statement (I6)."""
    rows = [
        {"job_id": job_id, "sequence": number, "type": type_, "data": {"sequence": number, **data}}
        for job_id, last, drafts in entries
        for number, (type_, data) in enumerate(drafts, last - len(drafts) + 1)
    ]
    if rows:
        connection.execute(_insert_events(connection), {ROWS: rows})


@built_once
def _insert_events(dialect: str) -> Insert:
    given: Columns = {"job_id": String(36), "sequence": BigInteger(), "type": String(16), "data": JsonColumn}
    wanted = rowset(dialect, given)
    return insert(events).from_select([*given, "created_at"], select(*wanted.c, db_now()))
