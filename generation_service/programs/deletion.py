"""Deleting a program: it is gone from sight at once, then what waits or runs of it is cancelled, batch by batch."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, select, update

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, programs
from generation_service.database.tables import documents, jobs
from generation_service.documents.doomed import doom
from generation_service.jobs import counters
from generation_service.jobs.model import Job, JobId
from generation_service.jobs.service import Jobs
from generation_service.objects import document_prefix
from generation_service.programs.summaries import visible_to

_BATCH = 100


def hide(connection: Connection, program_id: str, user_id: str | None) -> bool:
    """Delete the program softly, and free its key; False where there is none of this user."""
    mine = (programs.c.id == program_id, visible_to(user_id))
    gone = {"deleted_at": db_now(), "settled_at": None, "at_once_due_at": None, "idempotency_key": None}
    return connection.execute(update(programs).where(*mine).values(gone)).rowcount > 0


def cancel_live(connection: Connection, program_id: str, accepted_jobs: Jobs) -> Sequence[Job] | None:
    """Cancel up to a batch of jobs of its files; None once nothing of it waits, runs or was left unread.

    Where others hold all that is left just now, or there is more to forget, no job. Documents that are read stay.
    """
    live = _live(program_id)
    ours = select(jobs.c.id).join(program_files, program_files.c.job_id == jobs.c.id).where(*live)
    free = ours.order_by(jobs.c.id).limit(_BATCH).with_for_update(of=jobs, key_share=True, skip_locked=True)
    ids = [JobId(row.id) for row in connection.execute(free).all()]
    if ids:
        ended = (accepted_jobs.cancel_within(connection, job_id, counted=False) for job_id in ids)
        cancelled = [job for job in ended if job is not None]
        _forget_unread(connection, documents.c.job_id.in_(ids))
        if cancelled:
            counters.count(connection, "ended", len(cancelled))
        return cancelled
    if connection.execute(select(program_files.c.position).where(*live).limit(1)).first() is not None:
        return []
    if _forget_unread(connection, documents.c.program_id == program_id) == _BATCH:
        return []
    _close(connection, program_id)
    return None


def _live(program_id: str) -> Sequence[ColumnElement[bool]]:
    return program_files.c.program_id == program_id, program_files.c.status.in_(["pending", "processing"])


def _forget_unread(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete up to a batch of documents that nobody can use, and have their bytes deleted; how many."""
    unread = select(documents.c.id, documents.c.object_key).where(condition, documents.c.status != "completed")
    # In the order of their jobs, as everywhere; locked, since one may be read by a generation just now.
    found = connection.execute(unread.order_by(documents.c.job_id).limit(_BATCH).with_for_update()).all()
    ids = [row.id for row in found]
    connection.execute(delete(documents).where(documents.c.id.in_(ids)))
    connection.execute(update(program_files).where(program_files.c.document_id.in_(ids)).values(document_id=None))
    for row in found:
        doom(connection, document_prefix(row.object_key))
    return len(found)


def _close(connection: Connection, program_id: str) -> None:
    """Nobody need look at it any more, unless one of its jobs is reopened all the same."""
    connection.execute(select(programs.c.id).where(programs.c.id == program_id).with_for_update(key_share=True))
    if connection.execute(select(program_files.c.position).where(*_live(program_id)).limit(1)).first() is not None:
        return
    connection.execute(update(programs).where(programs.c.id == program_id).values(settled_at=db_now()))
    under_way = (program_retries.c.program_id == program_id, program_retries.c.completed_at.is_(None))
    connection.execute(update(program_retries).where(*under_way).values(completed_at=db_now()))
