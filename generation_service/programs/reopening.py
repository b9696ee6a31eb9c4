"""Reopening: what retries have taken is let run again, batch by batch.

Whoever stops in between has lost nothing: any process reopens what was taken and not reopened yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, select, update

from generation_service.database.programs import program_files, program_retry_files, programs
from generation_service.database.tables import jobs
from generation_service.jobs import counters
from generation_service.jobs.model import Job, JobId
from generation_service.jobs.service import Jobs
from generation_service.programs.model import SkipReason

_BATCH = 100

_files = program_files.c


@dataclass(frozen=True, slots=True)
class Reopened:
    """What one batch has reopened; `given_up` counts files whose job could not be, and `any` says whether to go on."""

    jobs: Sequence[Job]
    given_up: int

    @property
    def any(self) -> bool:
        return bool(self.jobs or self.given_up)


def reopen_taken(connection: Connection, program_id: str, accepted_jobs: Jobs) -> Reopened:
    """Reopen the jobs of up to a batch of files that retries of this program have taken.

    What somebody else reopens just now is left to them.
    """
    project = select(programs.c.project_id).where(programs.c.id == program_id, programs.c.deleted_at.is_(None))
    project_id = connection.execute(project).scalar_one_or_none()
    if project_id is None:
        return Reopened((), 0)
    found = connection.execute(select(_files.job_id).where(*_taken(program_id)).order_by(_files.job_id).limit(_BATCH))
    job_ids = [row.job_id for row in found]
    held = select(jobs.c.id).where(jobs.c.id.in_(job_ids)).order_by(jobs.c.id)
    locked = [row.id for row in connection.execute(held.with_for_update(key_share=True, skip_locked=True))]
    known = {row.id for row in connection.execute(select(jobs.c.id).where(jobs.c.id.in_(job_ids)))}
    # In a new statement: some may have been reopened, and have failed again, before they were locked.
    mine = select(_files.job_id).where(*_taken(program_id), _files.job_id.in_(locked)).order_by(_files.job_id)
    reopened: list[Job] = []
    lost: dict[str, SkipReason] = {job_id: "job_gone" for job_id in job_ids if job_id not in known}
    for row in connection.execute(mine).all():
        job = accepted_jobs.reopen_within(connection, JobId(row.job_id), project_id)
        if job is not None:
            reopened.append(job)
        else:
            lost[row.job_id] = "cancelled"
    for job_id, reason in lost.items():
        _give_up(connection, job_id, reason)
    if reopened:
        counters.count(connection, "reopened", len(reopened))
    return Reopened(reopened, len(lost))


def is_taken(program_id: ColumnElement[str] | str) -> ColumnElement[bool]:
    """Whether a file of the program was taken by a retry and its job is not reopened yet."""
    return and_(*_taken(program_id))


def _taken(program_id: ColumnElement[str] | str) -> list[ColumnElement[bool]]:
    return [_files.program_id == program_id, _files.status == "failed", _files.retry_id.is_not(None)]


def _give_up(connection: Connection, job_id: str, reason: SkipReason) -> None:
    """A taken file whose job is gone, or was cancelled, is let go."""
    file = connection.execute(select(program_files).where(_files.job_id == job_id)).one()
    mine = (program_retry_files.c.retry_id == file.retry_id, program_retry_files.c.position == file.position)
    connection.execute(update(program_files).where(_files.job_id == job_id).values(retry_id=None))
    connection.execute(update(program_retry_files).where(*mine).values(outcome="skipped", reason=reason))
