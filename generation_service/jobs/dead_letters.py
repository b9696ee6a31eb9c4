"""Dead letters: what needs a person, kept once, with its reason and, where it came from Redis, its raw payload."""

from hashlib import sha256

from sqlalchemy import Connection, update

from generation_service.database import db_now
from generation_service.database.tables import dead_letters
from generation_service.database.upsert import upsert
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job, JobError, JobId


def keep_job(connection: Connection, job: Job, error: JobError) -> None:
    """Keep a job that has failed for good; part of the transaction that ends it."""
    row = {"job_id": job.id, "origin": "jobs", "reason": error.code, "detail": error.message}
    statement = upsert(connection, dead_letters).values(
        id=uuid7(), fingerprint=f"job {job.id} {job.fence}", created_at=db_now(), **row
    )
    connection.execute(statement.on_conflict_do_nothing())


def keep_foreign(connection: Connection, *, origin: str, reason: str, detail: str, raw: bytes) -> None:
    """Keep what lay in a queue and is not ours, or not readable; the same bytes from the same place once."""
    fingerprint = sha256(origin.encode() + b"\0" + detail.encode() + b"\0" + raw).hexdigest()
    statement = upsert(connection, dead_letters).values(
        id=uuid7(),
        origin=origin,
        reason=reason,
        detail=detail,
        raw=raw,
        fingerprint=fingerprint,
        created_at=db_now(),
    )
    connection.execute(statement.on_conflict_do_nothing())


def resolve(connection: Connection, job_id: JobId) -> None:
    """Mark a job's dead letter as dealt with: it was reopened."""
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.job_id == job_id, dead_letters.c.resolved_at.is_(None))
        .values(resolved_at=db_now())
    )
