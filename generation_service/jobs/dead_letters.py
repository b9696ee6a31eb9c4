"""Dead letters: what needs a person, kept once, with its reason and, where it came from Redis, its raw payload."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, or_, select, update

from generation_service.database import db_now
from generation_service.database.tables import dead_letters, jobs
from generation_service.database.upsert import upsert
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id, uuid7
from generation_service.jobs.model import Job, JobError, JobId
from generation_service.jobs.queries import Page


def keep_job(connection: Connection, job: Job, error: JobError) -> None:
    """Keep a job that has failed for good; part of the transaction that ends it."""
    row = {"job_id": job.id, "origin": "jobs", "reason": error.code, "detail": error.message}
    statement = upsert(connection, dead_letters).values(
        id=uuid7(), fingerprint=f"job {job.id} {job.fence}", created_at=db_now(), **row
    )
    connection.execute(statement.on_conflict_do_nothing())


def keep_foreign(connection: Connection, *, origin: str, reason: str, detail: str, raw: bytes) -> bool:
    """Keep what lay in a queue and is not ours, or not readable; the same bytes from the same place once.

    Returns whether it was kept only now.
    """
    statement = upsert(connection, dead_letters).values(
        id=uuid7(),
        origin=origin,
        reason=reason,
        detail=detail,
        raw=raw,
        fingerprint=fingerprint_of(origin, detail, raw),
        created_at=db_now(),
    )
    kept = statement.on_conflict_do_nothing().returning(dead_letters.c.id)
    return connection.execute(kept).first() is not None


def fingerprint_of(origin: str, detail: str, raw: bytes) -> str:
    """What makes a foreign entry the same one."""
    return sha256(origin.encode() + b"\0" + detail.encode() + b"\0" + raw).hexdigest()


def resolve(connection: Connection, job_id: JobId) -> None:
    """Mark a job's dead letter as dealt with: it was reopened."""
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.job_id == job_id, dead_letters.c.resolved_at.is_(None))
        .values(resolved_at=db_now())
    )


def page(connection: Connection, *, limit: int, cursor: str | None, resolved: bool) -> Page[Mapping[str, Any]]:
    """A page of dead letters, the newest first; those that were dealt with only where `resolved`.

    Each is its row, and `job_status` where there is a job. Raises Refused `invalid_cursor` (422).
    """
    if cursor is not None and not is_id(cursor):
        raise Refused("invalid_cursor", 422)
    wanted = (
        select(*dead_letters.c, jobs.c.status.label("job_status"))
        .outerjoin(jobs, jobs.c.id == dead_letters.c.job_id)
        .order_by(dead_letters.c.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        wanted = wanted.where(dead_letters.c.id < cursor)
    if not resolved:
        wanted = wanted.where(dead_letters.c.resolved_at.is_(None))
    rows: list[Mapping[str, Any]] = [dict(row) for row in connection.execute(wanted).mappings()]
    return Page(rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None)


def job_to_replay(connection: Connection, given: str) -> JobId:
    """The job of a dead letter, which is named by its job's id or by its own.

    Raises Refused: `dead_letter_not_found` (404), `dead_letter_without_job` (409).
    """
    named = or_(dead_letters.c.job_id == given, dead_letters.c.id == given)
    found = (
        connection.execute(select(dead_letters.c.job_id).where(named).limit(1)).one_or_none() if is_id(given) else None
    )
    if found is None:
        raise Refused("dead_letter_not_found", 404)
    if found.job_id is None:
        raise Refused("dead_letter_without_job", 409)
    return JobId(found.job_id)
