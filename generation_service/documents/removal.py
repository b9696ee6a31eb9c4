"""Removal: a document goes with its chunks, vectors and bytes, and says what was generated from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from generation_service.database import Database
from generation_service.database.programs import program_files
from generation_service.database.tables import documents, episodes, generation_sources, idempotency_keys, jobs
from generation_service.documents import rows
from generation_service.documents.doomed import ObjectSweeper, doom
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id
from generation_service.jobs.model import Job, JobId
from generation_service.jobs.service import Jobs
from generation_service.objects import document_prefix
from generation_service.retrieval import remove_chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """An episode that was written from a document."""

    job_id: str
    episode_id: str
    number: int
    title: str
    project_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What went with a document, and what had been written from it; `objects` is 0 where the store is away for now."""

    document_id: str
    chunks: int
    objects: int
    generated: Sequence[Generated]


@dataclass(frozen=True, slots=True)
class _Gone:
    prefix: str
    chunks: int
    generated: Sequence[Generated]
    cancelled: Job | None


class Removal:
    """Removes documents. Their bytes go right after the commit, or later where the store or this process fails."""

    def __init__(self, database: Database, jobs: Jobs, sweeper: ObjectSweeper) -> None:
        self._database = database
        self._jobs = jobs
        self._sweeper = sweeper

    async def remove(self, document_id: str, user_id: str) -> Removed:
        """Remove a document, whatever it is doing. Raises Refused `document_not_found` (404)."""
        if not is_id(document_id):
            raise Refused("document_not_found", 404)
        gone = await self._database.write(lambda connection: self._remove(connection, document_id, user_id))
        if gone.cancelled is not None:
            self._jobs.wake([gone.cancelled.id])
        deleted = await self._sweeper.delete(gone.prefix)
        return Removed(document_id=document_id, chunks=gone.chunks, objects=deleted, generated=gone.generated)

    def _remove(self, connection: Connection, document_id: str, user_id: str) -> _Gone:
        """One transaction. The job's row is locked first, as everywhere: then its document, then its program's file."""
        mine = (documents.c.id == document_id) & (documents.c.user_id == user_id)
        found = rows.find(connection, mine)
        if found is None:
            raise Refused("document_not_found", 404)
        connection.execute(select(jobs.c.id).where(jobs.c.id == found.job_id).with_for_update())
        cancelled = self._jobs.cancel_within(connection, JobId(found.job_id))
        # Whoever was indexing it commits before this statement, or finds no row behind it.
        if connection.execute(delete(documents).where(mine)).rowcount == 0:
            raise Refused("document_not_found", 404)
        chunks = remove_chunks(connection, "document", document_id)
        connection.execute(
            update(program_files).where(program_files.c.document_id == document_id).values(document_id=None)
        )
        generated = _generated(connection, document_id)
        connection.execute(delete(generation_sources).where(generation_sources.c.document_id == document_id))
        # The same upload under the same key is to be a document again.
        connection.execute(delete(idempotency_keys).where(idempotency_keys.c.job_id == found.job_id))
        prefix = document_prefix(found.object_key)
        doom(connection, prefix)
        return _Gone(prefix, chunks, generated, cancelled)


def _generated(connection: Connection, document_id: str) -> list[Generated]:
    shown = (
        episodes.c.job_id,
        episodes.c.id.label("episode_id"),
        episodes.c.number,
        episodes.c.title,
        episodes.c.project_id,
        episodes.c.created_at,
    )
    wanted = (
        select(*shown)
        .join_from(generation_sources, episodes, episodes.c.job_id == generation_sources.c.job_id)
        .where(generation_sources.c.document_id == document_id)
        .order_by(episodes.c.project_id, episodes.c.number)
    )
    return [Generated(**row) for row in connection.execute(wanted).mappings()]
