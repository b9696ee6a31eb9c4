"""Rerouting: jobs change their backend by compare-and-set, many in one transaction, each with a `switched` event.

From the commit on, the old backend's claim is refused and, where the job ran, its holder's next write
too; so whatever happens to the rest of a switch, no job runs twice and none is lost (I10).
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Connection, case, insert, select, tuple_, update

from generation_service.database import db_now
from generation_service.database.tables import events, jobs, steps
from generation_service.jobs import claims, transitions
from generation_service.jobs.model import BACKENDS, MOVES, Backend, Job, JobId
from generation_service.jobs.routing import PINNED_KINDS, Mode, current_mode

BATCH = 500

Movable = Literal["pending", "running"]


def find_misplaced(
    connection: Connection,
    mode: Mode,
    status: Movable,
    *,
    after: JobId,
    sources: Collection[Backend] = BACKENDS,
    limit: int = BATCH,
) -> list[Job]:
    """Up to `limit` jobs at one of `sources` that the mode wants elsewhere, by id, beginning behind `after`."""
    found: list[Job] = []
    while len(found) < limit:
        page = _page(connection, mode, status, after=after, sources=sources, limit=limit)
        found += [job for job in page if job.backend != mode.target_for(job.project_id)]
        if len(page) < limit:
            break
        after = page[-1].id
    return found[:limit]


def move_waiting(connection: Connection, seen: Sequence[Job], target: Backend) -> list[Job]:
    """Move those of `seen` that still wait and are not at `target` yet; what is due is to be delivered afterwards.

    A row that somebody writes to just now is left to the next turn.
    """
    due = case((claims.is_due(), db_now()), else_=None)
    wanted = [jobs.c.status == "pending", jobs.c.id.in_([job.id for job in seen])]
    return _move(connection, "switch", wanted, target, delivered_at=due)


def take_over(connection: Connection, seen: Sequence[Job], target: Backend) -> list[Job]:
    """Take those of `seen` that run as they were seen from their holders, to go on at `target`.

    They go on from their last committed step, and no attempt is used up. What a frozen holder has locked
    is left to the next turn.
    """
    if not seen:
        return []
    as_seen = tuple_(jobs.c.id, jobs.c.fence).in_([(job.id, job.fence) for job in seen])
    wanted = [jobs.c.status == "running", as_seen]
    taken = {"fence": jobs.c.fence + 1, "holder": None, "lease_until": None, "due_at": None}
    moved = _move(connection, "take_over", wanted, target, delivered_at=db_now(), **taken)
    cut = steps.c.job_id.in_([job.id for job in moved])
    connection.execute(update(steps).where(cut, steps.c.status == "running").values(status="pending"))
    return moved


def mark_undelivered(connection: Connection, seen: Sequence[tuple[JobId, int]]) -> int:
    """Let recovery deliver these jobs again if each still waits for the delivery of this number; how many do.

    A row that somebody writes to just now is left to the next turn.
    """
    as_seen = [
        tuple_(jobs.c.id, jobs.c.delivery).in_(seen),
        jobs.c.status == "pending",
        jobs.c.backend == "rq",
        jobs.c.delivered_at.is_not(None),
    ]
    free = select(jobs.c.id).where(*as_seen).order_by(jobs.c.id).with_for_update(key_share=True, skip_locked=True)
    marked = update(jobs).where(jobs.c.id.in_(select(free.cte("free").c.id)), *as_seen).values(delivered_at=None)
    return len(connection.execute(marked.returning(jobs.c.id)).all())


def route_anew(connection: Connection, job: Job) -> Job:
    """Send a job that has just returned to waiting where the mode wants it; part of the transaction that returns it."""
    mode = current_mode(connection)
    target = mode.target_for(job.project_id) if mode and job.kind not in PINNED_KINDS else job.backend
    if target == job.backend:
        return job
    moved = transitions.move(connection, job.id, "switch", backend=target, delivered_at=None)
    if moved is None:
        raise AssertionError("a job that this transaction holds has changed")
    transitions.append(connection, moved, [("switched", _said(moved, job.backend))])
    return moved


def other(backend: Backend) -> Backend:
    """The other one of the two."""
    return next(one for one in BACKENDS if one != backend)


def _page(
    connection: Connection, mode: Mode, status: Movable, *, after: JobId, sources: Collection[Backend], limit: int
) -> list[Job]:
    wanted_whole = mode.target == "background_tasks" or mode.rollout.whole
    conditions: list[ColumnElement[bool]] = [
        jobs.c.status == status,
        jobs.c.id > after,
        jobs.c.kind.not_in(PINNED_KINDS),
        jobs.c.backend.in_([one for one in sources if not wanted_whole or one != mode.target]),
    ]
    rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.id).limit(limit))
    return [transitions.job_of(row) for row in rows]


def _move(
    connection: Connection,
    name: Literal["switch", "take_over"],
    wanted: Sequence[ColumnElement[bool]],
    target: Backend,
    **changes: Any,
) -> list[Job]:
    conditions = [*wanted, jobs.c.backend == other(target)]
    free = select(jobs.c.id).where(*conditions).order_by(jobs.c.id).with_for_update(key_share=True, skip_locked=True)
    statement = (
        update(jobs)
        .where(jobs.c.id.in_(select(free.cte("free").c.id)), *conditions)
        .values(status=MOVES[name][1], backend=target, delivery=jobs.c.delivery + 1, seq=jobs.c.seq + 1, **changes)
        .returning(*jobs.c)
    )
    moved = sorted((transitions.job_of(row) for row in connection.execute(statement)), key=lambda job: job.id)
    rows = [
        {
            "job_id": job.id,
            "sequence": job.seq,
            "type": "switched",
            "data": {"sequence": job.seq, **_said(job, other(target))},
        }
        for job in moved
    ]
    if rows:
        connection.execute(insert(events).values(created_at=db_now()), cast("Any", rows))
    return moved


def _said(job: Job, before: Backend) -> dict[str, Any]:
    return {"status": job.status, "backend": job.backend, "from": before, "attempt": job.attempt}
