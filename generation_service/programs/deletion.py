"""Deleting a program: it is gone from sight at once, then what waits or runs of it is cancelled, batch by batch."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, programs
from generation_service.jobs.model import Job, JobId
from generation_service.jobs.service import Jobs

_BATCH = 100


def hide(connection: Connection, program_id: str, user_id: str) -> bool:
    """Delete the program softly, and free its key; False where there is none of this user."""
    mine = (programs.c.id == program_id, programs.c.user_id == user_id, programs.c.deleted_at.is_(None))
    gone = {"deleted_at": db_now(), "settled_at": None, "at_once_due_at": None, "idempotency_key": None}
    return connection.execute(update(programs).where(*mine).values(gone)).rowcount > 0


def cancel_live(connection: Connection, program_id: str, jobs: Jobs) -> Sequence[Job] | None:
    """Cancel up to a batch of jobs of its files; None once nothing of it waits or runs.

    Documents that are read stay documents.
    """
    live = (program_files.c.program_id == program_id, program_files.c.status.in_(["pending", "processing"]))
    found = select(program_files.c.job_id).where(*live).order_by(program_files.c.job_id).limit(_BATCH)
    ids = [JobId(row.job_id) for row in connection.execute(found).all()]
    if not ids:
        _close(connection, program_id)
        return None
    return [job for job_id in ids if (job := jobs.cancel_within(connection, job_id)) is not None]


def _close(connection: Connection, program_id: str) -> None:
    """Nobody need look at it any more, unless one of its jobs is reopened all the same."""
    connection.execute(select(programs.c.id).where(programs.c.id == program_id).with_for_update(key_share=True))
    live = select(program_files.c.position).where(
        program_files.c.program_id == program_id, program_files.c.status.in_(["pending", "processing"])
    )
    if connection.execute(live.limit(1)).first() is not None:
        return
    connection.execute(update(programs).where(programs.c.id == program_id).values(settled_at=db_now()))
    under_way = (program_retries.c.program_id == program_id, program_retries.c.completed_at.is_(None))
    connection.execute(update(program_retries).where(*under_way).values(completed_at=db_now()))
