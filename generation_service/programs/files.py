"""The rows of a program's files: they follow their jobs, in the transactions of these jobs.

Whoever locks rows of several tables does so in this order: jobs, documents, programs, program_files,
program_retries, program_retry_files.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, case, select, update

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retry_files, programs
from generation_service.jobs.model import Job, JobId, StepRecord
from generation_service.programs.model import ErrorClass, ProgramFile, Stage

FILE_COLUMNS = tuple(program_files.c[name] for name in ProgramFile.__dataclass_fields__)


def file_of(row: Row[Any]) -> ProgramFile:
    """The value of a row that holds every column of `program_files`."""
    return ProgramFile(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def find(connection: Connection, job_id: JobId) -> ProgramFile | None:
    """The file that this job is about, or None."""
    row = connection.execute(select(*FILE_COLUMNS).where(program_files.c.job_id == job_id)).one_or_none()
    return file_of(row) if row else None


def start(connection: Connection, job_id: JobId) -> None:
    """Its job was claimed, for the first time or again: after a crash or a switch it goes on, and began before."""
    began = case((program_files.c.status == "pending", db_now()), else_=program_files.c.started_at)
    values = {"status": "processing", "started_at": began}
    mine = (program_files.c.job_id == job_id, program_files.c.status.in_(["pending", "processing"]))
    connection.execute(update(program_files).where(*mine).values(values))


def enter_document_stage(connection: Connection, job_id: JobId, artefact_key: str | None) -> None:
    """Preprocessing is committed, and left its artefact there."""
    _change(connection, job_id, stage="document", artefact_key=artefact_key)


def complete(connection: Connection, job: Job, file: ProgramFile, steps: Mapping[str, StepRecord]) -> None:
    """The file is a document; with its job's end, and the outcome of the retry it was under."""
    fine = dict.fromkeys(("code", "error", "error_class", "quarantined_at"))
    _end(connection, job, file, steps, status="completed", stage="document", **fine)


def fail(
    connection: Connection,
    job: Job,
    file: ProgramFile,
    steps: Mapping[str, StepRecord],
    *,
    stage: Stage,
    code: str,
    error: str,
    error_class: ErrorClass,
    quarantined: bool,
) -> None:
    """The file is not a document, in the end or for now, and is under no retry any more.

    `stage` is where a retry begins, `quarantined` whether nothing but a retry by hand tries it again.
    """
    reason: dict[str, Any] = {"code": code, "error": error, "error_class": error_class}
    if stage == "preprocessing":
        reason["artefact_key"] = None  # what there was is of no use
    since = db_now() if quarantined else None
    _end(connection, job, file, steps, status="failed", stage=stage, quarantined_at=since, **reason)


def reopen(connection: Connection, file: ProgramFile, job_id: JobId, *, anew: bool) -> None:
    """Its job waits again: for the retry it is under, or because an operator replays it; `anew` from its source."""
    _look_after_again(connection, file.program_id)
    fresh: dict[str, Any] = dict.fromkeys(("code", "error", "error_class", "quarantined_at"))
    if anew:
        fresh |= {"stage": "preprocessing", "artefact_key": None}
    by_itself = 0 if file.retry_id else 1  # a retry has counted it when it began
    _change(connection, job_id, status="pending", retry_count=program_files.c.retry_count + by_itself, **fresh)


def _look_after_again(connection: Connection, program_id: str) -> None:
    """Lock the program, and open it where it had settled: a plan that was made before no longer holds."""
    mine = programs.c.id == program_id
    plan = select(programs.c.settled_at, programs.c.at_once_due_at).where(mine).with_for_update(key_share=True)
    if any(connection.execute(plan).one()):
        connection.execute(update(programs).where(mine).values(settled_at=None, at_once_due_at=None))


def _end(connection: Connection, job: Job, file: ProgramFile, steps: Mapping[str, StepRecord], **changes: Any) -> None:
    _change(
        connection,
        job.id,
        runs=program_files.c.runs + int(file.status == "processing"),
        seconds=program_files.c.seconds + _seconds(file, steps),
        tokens=job.input_tokens + job.output_tokens,
        retry_id=None,
        ended_at=db_now(),
        **changes,
    )
    if file.retry_id is not None:
        outcome = "success" if changes["status"] == "completed" else "failed"
        mine = (program_retry_files.c.retry_id == file.retry_id, program_retry_files.c.position == file.position)
        connection.execute(update(program_retry_files).where(*mine).values(outcome=outcome))


def _seconds(file: ProgramFile, steps: Mapping[str, StepRecord]) -> float:
    """What the steps of this run took, without what lay between them."""
    return sum(
        (step.completed_at - step.started_at).total_seconds()
        for step in steps.values()
        if step.completed_at and file.started_at and step.started_at >= file.started_at
    )


def _change(connection: Connection, job_id: JobId, **values: Any) -> None:
    connection.execute(update(program_files).where(program_files.c.job_id == job_id).values(**values))
