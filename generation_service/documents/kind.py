"""The job that reads one document: preprocessing leaves an artefact, the document step puts it in the index."""

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.database.tables import documents
from generation_service.documents import rows
from generation_service.documents.artefact import dumped, loaded
from generation_service.documents.model import Document
from generation_service.documents.reading import Reading
from generation_service.errors import Deferred, PermanentError
from generation_service.jobs import alerts, checkpoints
from generation_service.jobs.model import Job, JobError, Json
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun
from generation_service.objects import ObjectMissing, artefact_key

KIND = "document"
_READ_PERCENT = 50.0  # of a document's progress, once it is read and not indexed
_READ_ELSEWHERE = "already_read"

ARTEFACT_LOST = frozenset({"artefact_missing", "artefact_unreadable"})
"""Codes of a document whose artefact is of no use: it is read from its source again."""


class DocumentKind:
    """The kind `document`; its request is `{"document_id", "use_multimodal"}`."""

    kind = KIND
    shares_commits = False

    def __init__(self, database: Database, reading: Reading) -> None:
        self._steps = (PreprocessingStep(database, reading), DocumentStep(database, reading))

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return self._steps

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        for job in jobs:
            rows.start(connection, document_id_of(job), job.id)

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        return [self._end(connection, one) for one in endings]

    def _end(self, connection: Connection, ending: Ending) -> Mapping[str, Json] | None:
        if end(connection, ending):
            return {"document_id": document_id_of(ending.job)}
        if ending.error is not None:
            tell_failure(connection, ending.job, ending.error)
        return None

    def on_reopened(self, connection: Connection, job: Job) -> None:
        reopen(connection, job)


def end(connection: Connection, ending: Ending) -> bool:
    """End the document as its job has ended; whether it is one that can be used.

    It can be, whatever became of the job, where a generation that needed it has read it meanwhile.
    """
    document_id = document_id_of(ending.job)
    if ending.status == "cancelled":
        rows.fail(connection, document_id, "cancelled", "reading the document was cancelled")
    elif ending.error is not None:
        rows.fail(connection, document_id, ending.error.code, ending.error.message)
    else:  # the document step has completed the row, or found it completed
        return True
    document = rows.find(connection, documents.c.id == document_id)
    return document is not None and document.status == "completed"


def reopen(connection: Connection, job: Job) -> None:
    """Let the document be read again: from its artefact where that was made and is of use, else from its source."""
    document = rows.find(connection, documents.c.id == document_id_of(job))
    if document is not None and document.code in ARTEFACT_LOST:
        checkpoints.supersede_from(connection, job.id, 0)
    rows.reopen(connection, document_id_of(job))


def tell_failure(connection: Connection, job: Job, error: JobError) -> None:
    """Tell once that a document has failed for good."""
    document_id = document_id_of(job)
    detail = {"project_id": job.project_id, "job_id": job.id, **error.as_json()}
    alerts.add(connection, "document_failed", document_id, detail, fingerprint=f"document {document_id}")


class PreprocessingStep:
    """Reads the document and stores its pieces as an artefact."""

    name = "preprocessing"

    def __init__(self, database: Database, reading: Reading) -> None:
        self._database = database
        self._reading = reading

    async def run(self, run: StepRun) -> StepOutcome:
        document = await _document(self._database, run.job)
        if document.status == "completed":  # a generation that needed it was faster
            return StepOutcome(output={}, status="skipped", reason=_READ_ELSEWHERE)
        artefact = await self._reading.read(document)
        await run.progress(0.8)
        run.check_lease()
        key = artefact_key(document.object_key, run.job.id, run.job.fence)
        await self._reading.objects.put_bytes(key, await asyncio.to_thread(dumped, artefact))
        return StepOutcome(
            output={"artefact": key, "chunks": len(artefact.pieces), **artefact.findings},
            effects=[lambda connection: rows.show_progress(connection, document.id, _READ_PERCENT)],
        )


class DocumentStep:
    """Puts the artefact's pieces in the index; never looks at the source again."""

    name = "document"

    def __init__(self, database: Database, reading: Reading) -> None:
        self._database = database
        self._reading = reading

    async def run(self, run: StepRun) -> StepOutcome:
        key = run.outputs[PreprocessingStep.name].get("artefact")
        if key is None:
            return StepOutcome(output={}, status="skipped", reason=_READ_ELSEWHERE)
        document = await _document(self._database, run.job)
        artefact = await asyncio.to_thread(loaded, await self._stored(key))
        prepared = await self._reading.prepare(artefact, document, run.spend)
        return StepOutcome(
            output={"chunks": len(prepared.rows)},
            effects=[lambda connection: rows.complete(connection, document.id, artefact.findings, prepared)],
        )

    async def _stored(self, key: str) -> bytes:
        try:
            return await self._reading.objects.read(key)
        except ObjectMissing as error:
            raise Deferred("artefact_missing", "what was read of the document is no longer stored") from error


async def _document(database: Database, job: Job) -> Document:
    """The job's document. Raises PermanentError where it is gone, or was found unreadable by somebody else."""
    document_id = document_id_of(job)
    document = await database.read(lambda connection: rows.find(connection, documents.c.id == document_id))
    if document is None:
        raise PermanentError("document_deleted", "the document was deleted before it was read")
    if document.status == "failed":
        raise PermanentError(document.code or "unreadable", document.error or "the document cannot be read")
    return document


def document_id_of(job: Job) -> str:
    """The document that this job is about."""
    return str(job.request["document_id"])
