"""Submission: one transaction accepts a job (key, row, first event), or refuses it and leaves nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text

from generation_service.database import db_now
from generation_service.database.tables import idempotency_keys, jobs, projects
from generation_service.database.upsert import insert_if_absent
from generation_service.errors import Refused
from generation_service.jobs import counters, transitions
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import PRIORITIES, Backend, IdempotencyKey, Job, JobId, NewJob, Submitted
from generation_service.jobs.ports import Effect
from generation_service.jobs.routing import target_backend

_FULL_RETRY_AFTER_SECONDS = 30
_CALLERS_LOCK = 4_771_204  # first half of an advisory lock whose second half is the caller
_NEAR_THE_LIMIT = 64  # so close to a caller's limit, a batch aside, submissions of that caller take turns (I7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How much may be live at once: in all (beyond: 503), and of one caller (beyond: 429).

    `largest_batch` is the most jobs that one submission may bring.
    """

    max_live: int
    max_live_per_user: int
    max_attempts: int
    largest_batch: int = 1


def submit(
    connection: Connection,
    wanted: NewJob,
    admission: Admission,
    *,
    key: IdempotencyKey | None = None,
    within: Effect | None = None,
) -> Submitted:
    """Accept `wanted`, or find the job that its key made before.

    `within` writes rows that belong to a fresh job. Raises Refused: `idempotency_key_reused` (422),
    `queue_full` (503), `caller_over_limit` (429), `project_not_found` (404: it is another user's);
    then nothing was stored and no key is bound.
    """
    job_id = wanted.id or new_job_id()
    if key is not None:
        bound = bind(connection, wanted.user_id, key, job_id)
        if bound is not None:
            return Submitted(bound, replayed=True)
    return Submitted(
        submit_batch(connection, [replace(wanted, id=job_id)], admission, within=within)[0], replayed=False
    )


def submit_batch(
    connection: Connection, wanted: Sequence[NewJob], admission: Admission, *, within: Effect | None = None
) -> list[Job]:
    """Accept several jobs of one user and one project, all or none; each has an id. In the order of their ids.

    `within` writes rows that belong to them. Raises Refused as `submit`; then nothing was stored.
    """
    user_id, project_id = wanted[0].user_id, wanted[0].project_id
    _admit(connection, user_id, len(wanted), admission)
    if project_id is not None:
        _enter_project(connection, project_id, user_id)
    accepted = _insert(connection, wanted, admission)
    if within is not None:
        within(connection)
    counters.count(connection, "accepted", len(accepted))
    return accepted


def bind(connection: Connection, user_id: str, key: IdempotencyKey, job_id: JobId) -> Job | None:
    """Bind the key to `job_id`; the job it was bound to before, where it was.

    Raises Refused `idempotency_key_reused` (422).
    """
    row = {"user_id": user_id, "route": key.route, "key": key.key}
    fresh = {**row, "fingerprint": key.fingerprint, "job_id": job_id, "created_at": db_now()}
    if insert_if_absent(connection, idempotency_keys, fresh):
        return None
    mine = [idempotency_keys.c[name] == value for name, value in row.items()]
    # In a new statement: under READ COMMITTED this one sees what the winner has committed meanwhile.
    found = connection.execute(select(idempotency_keys).where(*mine)).one_or_none()
    job = transitions.find_job(connection, JobId(found.job_id)) if found else None
    if found is None or job is None:  # its job was pruned, or its transaction was rolled back: the key is free
        if found is not None:  # only as it was seen: somebody may have bound it anew since
            connection.execute(delete(idempotency_keys).where(*mine, idempotency_keys.c.job_id == found.job_id))
        return bind(connection, user_id, key, job_id)
    if found.fingerprint != key.fingerprint:
        raise Refused("idempotency_key_reused", 422)
    return job


def _admit(connection: Connection, user_id: str, count: int, admission: Admission) -> None:
    all_live = counters.live(connection) + count - 1
    if all_live >= admission.max_live:
        raise Refused("queue_full", 503, headers={"Retry-After": str(_FULL_RETRY_AFTER_SECONDS)})
    limit = admission.max_live_per_user
    near = limit - _NEAR_THE_LIMIT - admission.largest_batch
    if count == 1 and all_live < near:
        return  # nobody can be over it
    live = _live_of(connection, user_id, limit) + count - 1
    if connection.dialect.name == "postgresql" and (count > 1 or live >= near) and live < limit:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:lock, hashtext(:user))"), {"lock": _CALLERS_LOCK, "user": user_id}
        )
        live = _live_of(connection, user_id, limit) + count - 1
    if live >= limit:
        raise Refused(
            "caller_over_limit", 429, params={"limit": limit}, headers={"Retry-After": str(_FULL_RETRY_AFTER_SECONDS)}
        )


def _enter_project(connection: Connection, project_id: str, user_id: str) -> None:
    """A project is its first user's: what others would generate could quote its documents."""
    owner = select(projects.c.user_id).where(projects.c.id == project_id)
    found = connection.execute(owner).scalar_one_or_none()
    if found is None:
        fresh = {"id": project_id, "user_id": user_id, "episode_count": 0, "created_at": db_now()}
        if insert_if_absent(connection, projects, fresh):
            return
        found = connection.execute(owner).scalar_one()
    if found != user_id:
        raise Refused("project_not_found", 404)


def _live_of(connection: Connection, user_id: str, limit: int) -> int:
    mine = select(jobs.c.id).where(jobs.c.user_id == user_id, jobs.c.status.in_(["pending", "running"])).limit(limit)
    return connection.execute(select(func.count()).select_from(mine.subquery())).scalar_one()


def _insert(connection: Connection, wanted: Sequence[NewJob], admission: Admission) -> list[Job]:
    """Insert jobs and the first event of each, in two statements however many they are."""
    backends = {project_id: target_backend(connection, project_id) for project_id in {one.project_id for one in wanted}}
    rows = [_row(one, one.backend or backends[one.project_id], admission) for one in wanted]
    # The adapter delivers right after the commit; recovery finds the delivery that got lost.
    fresh = insert(jobs).values(delivery=1, delivered_at=db_now(), created_at=db_now(), seq=1)
    inserted = connection.execute(fresh.returning(*jobs.c), rows)
    accepted = sorted((transitions.job_of(row) for row in inserted), key=lambda job: job.id)
    transitions.append_first(connection, accepted, lambda job: {"status": "pending", "backend": job.backend})
    return accepted


def _row(wanted: NewJob, backend: Backend, admission: Admission) -> dict[str, Any]:
    return {
        "id": wanted.id,
        "kind": wanted.kind,
        "recipe": wanted.recipe,
        "project_id": wanted.project_id,
        "user_id": wanted.user_id,
        "request": dict(wanted.request),
        "priority": PRIORITIES.index(wanted.priority),
        "max_attempts": wanted.max_attempts or admission.max_attempts,
        "budget_tokens": wanted.budget_tokens,
        "backend": backend,
        "status": "pending",
        **dict.fromkeys(("fence", "failures", "steps_since_claim", "claims"), 0),
        **dict.fromkeys(("progress", "input_tokens", "output_tokens", "saved_tokens"), 0),
    }
