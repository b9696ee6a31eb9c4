"""Ingesting: a generation sees to it that the documents of its project are read before it goes on."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, String, select

from generation_service.database import Database
from generation_service.database.among import among
from generation_service.database.rowsets import ROWS, built_once, rowset
from generation_service.database.tables import documents, jobs
from generation_service.documents import rows
from generation_service.documents.model import Document
from generation_service.documents.reading import Reading
from generation_service.errors import Deferred, PermanentError, TransientError
from generation_service.jobs.ports import StepRun

_LOOK_SECONDS = 0.5  # how often a document that somebody else reads is looked at
_STILL_READING = "still_processing"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """How many documents can be used, how many of them this run has read, and which cannot be used.

    `failed` holds `{document_id, file_name, code}` of each that cannot.
    """

    ready: int
    ingested: int
    failed: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The documents of a project at one moment: those this run may read now, and those it must wait for."""

    all: Sequence[Document]
    free: Sequence[Document] = field(default=())
    held: Sequence[Document] = field(default=())


class Ingester:
    """Reads what waits, and waits for what is being read by somebody who is alive.

    It holds one document at a time and none while it waits, so two of them never wait for each other.
    """

    def __init__(self, database: Database, reading: Reading, *, wait_seconds: float = 300.0) -> None:
        self._database = database
        self._reading = reading
        self._wait_seconds = wait_seconds

    async def ingest_unready(self, run: StepRun, project_id: str) -> IngestReport:
        """Return once each document of the project is read, has failed, or was waited for long enough.

        A document that cannot be read is reported, never fatal. Raises Fenced; TransientError where
        the store is away.
        """
        deadline = time.monotonic() + self._wait_seconds
        ingested = 0
        passed_over: dict[str, str] = {}  # codes of what kept this run from documents that are not to blame
        while True:
            run.check_lease()
            seen = await self._look(run, project_id, passed_over)
            if seen.free:
                ingested += await self._ingest(run, seen.free[0], passed_over)
                await run.progress(1 - (len(seen.free) + len(seen.held) - 1) / len(seen.all))
            elif seen.held and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return _report(seen.all, ingested, passed_over)

    async def _look(self, run: StepRun, project_id: str, passed_over: Mapping[str, str]) -> _Seen:
        found = await self._database.look_up(_find_documents, project_id)
        held = {
            document.id
            for document, holder_status in found
            if document.status == "processing" and holder_status == "running" and document.held_by != run.job.id
        }
        unread = [document for document, _ in found if document.status in {"pending", "processing"}]
        return _Seen(
            all=[document for document, _ in found],
            free=[document for document in unread if document.id not in held and document.id not in passed_over],
            held=[document for document in unread if document.id in held],
        )

    async def _ingest(self, run: StepRun, document: Document, passed_over: dict[str, str]) -> bool:
        """Read one document; whether this run has read it."""
        if not await self._take(run, document):
            return False
        try:
            artefact = await self._reading.read(document)
        except Deferred as error:  # not the document's doing, so no verdict: this run is tried again
            raise TransientError(error.code, error.message) from error
        except PermanentError as error:
            verdict = (error.code, error.message)
            await run.write(lambda connection: rows.fail(connection, document.id, *verdict, holder=run.job.id))
            return False
        try:
            prepared = await self._reading.prepare(artefact, document, run.spend)
        except PermanentError as error:  # the embedding model's: left to the document's own job, which tells of it
            passed_over[document.id] = error.code
            await run.write(lambda connection: rows.release(connection, document.id, run.job.id))
            return False
        await run.write(lambda connection: rows.complete(connection, document.id, artefact.findings, prepared))
        return True

    async def _take(self, run: StepRun, document: Document) -> bool:
        taken = False

        def unit(connection: Connection) -> None:
            nonlocal taken
            taken = rows.take(connection, document, run.job.id)

        await run.write(unit)
        return taken


_Found: TypeAlias = list[tuple[Document, str | None]]
"""Documents, each with the status of the job that reads it."""


def _find_documents(connection: Connection, project_ids: Sequence[str]) -> dict[str, _Found]:
    """The documents of each project, in the order in which they came."""
    found: dict[str, _Found] = {project_id: [] for project_id in project_ids}
    for row in connection.execute(_documents(connection), {ROWS: [{"id": one} for one in project_ids]}):
        document = rows.document_of(row)
        found[document.project_id].append((document, row.holder_status))
    return found


@built_once
def _documents(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, {"id": String(200)})
    return (
        select(documents, jobs.c.status.label("holder_status"))
        .outerjoin_from(documents, jobs, jobs.c.id == documents.c.held_by)
        .where(among(dialect, documents.c.project_id, select(wanted.c.id)))
        .order_by(documents.c.id)
    )


def _report(found: Sequence[Document], ingested: int, passed_over: Mapping[str, str]) -> IngestReport:
    unusable = [document for document in found if document.status != "completed"]
    return IngestReport(
        ready=len(found) - len(unusable),
        ingested=ingested,
        failed=[
            {
                "document_id": document.id,
                "file_name": document.file_name,
                "code": document.code or passed_over.get(document.id, _STILL_READING),
            }
            for document in unusable
        ],
    )
