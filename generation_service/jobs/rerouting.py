"""Rerouting: jobs change their backend by compare-and-set, many in one transaction, each with a `switched` event.

From the commit on, the old backend's claim is refused and, where the job ran, its holder's next write
too; so whatever happens to the rest of a switch, no job runs twice and none is lost (I10).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    String,
    Update,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import Insert

from generation_service.database import db_now
from generation_service.database.among import among
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import events, jobs, steps
from generation_service.database.types import beside
from generation_service.jobs import claims, transitions
from generation_service.jobs.model import BACKENDS, MOVES, PRIORITIES, Backend, Job, JobId, Priority, Status
from generation_service.jobs.routing import PINNED_KINDS, Mode, current_mode

_BATCHES = {"postgresql": 500, "sqlite": 250}
"""How many jobs move at once. On SQLite whoever writes waits for a batch."""

Movable = Literal["pending", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What there is to say of a job that is moved, or may be: where it is, and its last delivery."""

    id: JobId
    project_id: str | None
    priority: Priority
    status: Status
    backend: Backend
    fence: int
    delivery: int
    delivered_at: datetime | None
    due_at: datetime | None


# Of thousands of jobs at a time nothing else is read: what people asked for is large, and means nothing here.
_PLACED = tuple(
    jobs.c[name]
    for name in ("id", "project_id", "priority", "status", "backend", "fence", "delivery", "delivered_at", "due_at")
)


def find_misplaced(
    connection: Connection,
    mode: Mode,
    status: Movable,
    *,
    after: JobId,
    sources: Collection[Backend] = BACKENDS,
    limit: int | None = None,
) -> list[Placed]:
    """Up to `limit` jobs at one of `sources` that the mode wants elsewhere, by id, beginning behind `after`.

    Without a limit they are as many as are to be moved at once.
    """
    limit = limit or _BATCHES[connection.dialect.name]
    found: list[Placed] = []
    while len(found) < limit:
        page = _page(connection, mode, status, after=after, sources=sources, limit=limit)
        found += [job for job in page if job.backend != mode.target_for(job.project_id)]
        if len(page) < limit:
            break
        after = page[-1].id
    return found[:limit]


def move_waiting(connection: Connection, seen: Sequence[Placed], target: Backend) -> list[Placed]:
    """Move those of `seen` that still wait and are not at `target` yet; what is due is to be delivered afterwards.

    A row that somebody writes to just now is left to the next turn.
    """
    return _move(connection, _move_statement(connection), seen, target)


def take_over(connection: Connection, seen: Sequence[Placed], target: Backend) -> list[Placed]:
    """Take those of `seen` that run as they were seen from their holders, to go on at `target`.

    They go on from their last committed step, and no attempt is used up. What a frozen holder has locked
    is left to the next turn.
    """
    moved = _move(connection, _take_over_statement(connection), seen, target)
    if moved:
        connection.execute(_cut_statement(connection), {ROWS: [{"id": job.id} for job in moved]})
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
) -> list[Placed]:
    wanted_whole = mode.target == "background_tasks" or mode.rollout.whole
    conditions: list[ColumnElement[bool]] = [
        jobs.c.status == status,
        jobs.c.id > after,
        jobs.c.kind.not_in(PINNED_KINDS),
        beside(jobs.c.backend).in_([one for one in sources if not wanted_whole or one != mode.target]),
    ]
    rows = connection.execute(select(*_PLACED).where(*conditions).order_by(jobs.c.id).limit(limit))
    return [_placed(row) for row in rows]


def _move(connection: Connection, statement: Update, seen: Sequence[Placed], target: Backend) -> list[Placed]:
    if not seen:
        return []
    wanted = {ROWS: [{"id": job.id, "fence": job.fence} for job in seen], "target": target, "source": other(target)}
    moved = sorted((_placed(row) for row in connection.execute(statement, wanted)), key=lambda job: job.id)
    if moved:
        connection.execute(
            _event_statement(connection), {ROWS: [{"id": job.id} for job in moved], "source": other(target)}
        )
    return moved


def _placed(row: Row[Any]) -> Placed:
    job_id, project_id, priority, status, backend, fence, delivery, delivered_at, due_at = tuple(row)
    return Placed(
        id=job_id,
        project_id=project_id,
        priority=PRIORITIES[priority],
        status=status,
        backend=backend,
        fence=fence,
        delivery=delivery,
        delivered_at=delivered_at,
        due_at=due_at,
    )


# Statements over as many jobs as there are. (Not joined with them: SQLite would look through all of them for each
# job of the table.) Each job's event repeats what its own row says then: nobody else can
# write to the row before the commit.

_IDS: Columns = {"id": String(36)}
_SEEN: Columns = {**_IDS, "fence": BigInteger()}


def _build_move(dialect: str) -> Update:
    due = case((claims.is_due(), db_now()), else_=None)
    return _moving(dialect, "switch", delivered_at=due)


def _build_take_over(dialect: str) -> Update:
    taken = {"fence": jobs.c.fence + 1, "holder": None, "lease_until": None, "due_at": None}
    return _moving(dialect, "take_over", delivered_at=db_now(), **taken)


def _moving(dialect: str, name: Literal["switch", "take_over"], **changes: Any) -> Update:
    seen = rowset(dialect, _SEEN)
    leaves, enters = MOVES[name]
    # Found and locked by their ids alone, then compared as they are under the lock: no index leads elsewhere.
    locked = (
        select(jobs.c.id, jobs.c.status, jobs.c.backend, jobs.c.fence)
        .where(among(dialect, jobs.c.id, select(seen.c.id)))
        .order_by(jobs.c.id)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("locked")
    )
    as_seen = [locked.c.status.in_(sorted(leaves)), locked.c.backend == bindparam("source")]
    if name == "take_over":
        as_seen.append(tuple_(locked.c.id, locked.c.fence).in_(select(seen.c.id, seen.c.fence)))
    moved = {"delivery": jobs.c.delivery + 1, "seq": jobs.c.seq + 1}
    return (
        update(jobs)
        .where(among(dialect, jobs.c.id, select(locked.c.id).where(*as_seen)))
        .values(status=enters, backend=bindparam("target"), **moved, **changes)
        .returning(*_PLACED)
    )


def _build_event(dialect: str) -> Insert:
    """The `switched` event of each job, with the number that the move has reserved (I6)."""
    moved = rowset(dialect, _IDS)
    build = func.jsonb_build_object if dialect == "postgresql" else func.json_object
    attempt = case((jobs.c.failures < jobs.c.max_attempts, jobs.c.failures + 1), else_=jobs.c.max_attempts)
    said = {"sequence": jobs.c.seq, "status": jobs.c.status, "backend": jobs.c.backend, "attempt": attempt}
    told = build(*(part for pair in said.items() for part in pair), "from", bindparam("source", type_=String()))
    rows = select(jobs.c.id, jobs.c.seq, literal("switched"), told, db_now()).where(
        among(dialect, jobs.c.id, select(moved.c.id))
    )
    return insert(events).from_select(["job_id", "sequence", "type", "data", "created_at"], rows)


def _build_cut(dialect: str) -> Update:
    cut = among(dialect, steps.c.job_id, select(rowset(dialect, _IDS).c.id))
    return update(steps).where(cut, steps.c.status == "running").values(status="pending")


_move_statement = built_once(_build_move)
_take_over_statement = built_once(_build_take_over)
_event_statement = built_once(_build_event)
_cut_statement = built_once(_build_cut)


def _said(job: Job, before: Backend) -> dict[str, Any]:
    return {"status": job.status, "backend": job.backend, "from": before, "attempt": job.attempt}
