"""The job of one file of a program: the steps of a document, and the file's row kept in step with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.documents import DocumentKind, Reading
from generation_service.documents.kind import ARTEFACT_LOST, document_id_of, end, reopen, tell_failure
from generation_service.errors import DatabaseUnavailable, Deferred, TransientError
from generation_service.jobs import alerts, transitions
from generation_service.jobs.model import Job, JobError, Json, StepRecord
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun
from generation_service.programs import files
from generation_service.programs.model import ErrorClass, ProgramFile, Stage

KIND = "program_file"
_CANCELLED = JobError(code="cancelled", message="reading the file was cancelled", retryable=False)


class ProgramFileKind:
    """The kind `program_file`; its request is `{"document_id", "use_multimodal", "program_id"}`.

    `retry_max` is how often the schedule tries a file again before it is quarantined.
    """

    kind = KIND
    shares_commits = False

    def __init__(self, database: Database, reading: Reading, *, retry_max: int) -> None:
        self._document = DocumentKind(database, reading)
        self._retry_max = retry_max

    def steps(self, job: Job) -> Sequence[Step]:
        return [_FileStep(step) for step in self._document.steps(job)]

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        self._document.on_started(connection, jobs)
        for job in jobs:
            files.start(connection, job.id)

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        return [self._end(connection, one) for one in endings]

    def _end(self, connection: Connection, ending: Ending) -> Mapping[str, Json] | None:
        job = ending.job
        readable = end(connection, ending)
        file = files.find(connection, job.id)
        if file is not None and file.status in {"pending", "processing"}:
            steps = transitions.find_steps(connection, job.id)
            if readable:
                files.complete(connection, job, file, steps)
            else:
                self._fail(connection, job, file, ending.error or _CANCELLED, steps)
        return {"document_id": document_id_of(job)} if readable else None

    def on_reopened(self, connection: Connection, job: Job) -> None:
        reopen(connection, job)
        file = files.find(connection, job.id)
        if file is not None and file.status == "failed":
            anew = not _came_through(transitions.find_steps(connection, job.id))
            files.reopen(connection, file, job.id, anew=anew)

    def _fail(
        self, connection: Connection, job: Job, file: ProgramFile, error: JobError, steps: Mapping[str, StepRecord]
    ) -> None:
        error_class: ErrorClass = "transient" if error.retryable else "permanent"
        tried_enough = file.at_once_retried and file.auto_retry_count >= self._retry_max
        quarantined = error_class == "transient" and tried_enough
        files.fail(
            connection,
            job,
            file,
            steps,
            stage=_stage(error, steps),
            code=error.code,
            error=error.message,
            error_class=error_class,
            quarantined=quarantined,
        )
        if quarantined:
            detail = {
                "program_id": file.program_id,
                "index": file.position,
                "retries": file.retry_count,
                "code": error.code,
            }
            fingerprint = f"quarantine {job.id} {job.fence}"
            alerts.add(connection, "file_quarantined", file.document_id or job.id, detail, fingerprint=fingerprint)
        elif error_class == "permanent" and error is not _CANCELLED:
            tell_failure(connection, job, error)


class _FileStep:
    """A step of a document, whose passing troubles end the job: the program decides when it is tried again."""

    def __init__(self, step: Step) -> None:
        self.name = step.name
        self._step = step

    async def run(self, run: StepRun) -> StepOutcome:
        try:
            outcome = await self._step.run(run)
        except DatabaseUnavailable:
            raise  # not the file's own trouble
        except TransientError as error:
            raise Deferred(error.code, error.message) from error
        if self.name != "preprocessing":
            return outcome
        key = outcome.output.get("artefact")
        enter = partial(files.enter_document_stage, job_id=run.job.id, artefact_key=key)
        return replace(outcome, effects=[*outcome.effects, enter])


def _stage(error: JobError, steps: Mapping[str, StepRecord]) -> Stage:
    """The stage that is to be tried again; without its artefact a file begins anew."""
    return "document" if _came_through(steps) and error.code not in ARTEFACT_LOST else "preprocessing"


def _came_through(steps: Mapping[str, StepRecord]) -> bool:
    """Whether preprocessing is committed."""
    preprocessing = steps.get("preprocessing")
    return preprocessing is not None and preprocessing.committed
