"""Documents as callers know them: uploaded, shown, listed, searched, read again, removed."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TypedDict

from sqlalchemy import select

from generation_service import texts
from generation_service.database import Database
from generation_service.database.tables import documents, projects
from generation_service.documents import rows
from generation_service.documents.accepting import Acceptance, Accepted
from generation_service.documents.doomed import ObjectSweeper
from generation_service.documents.model import Document
from generation_service.documents.removal import Removal, Removed
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id
from generation_service.jobs.model import Job, JobId
from generation_service.jobs.queries import Page
from generation_service.jobs.service import Jobs
from generation_service.objects import ObjectStore
from generation_service.retrieval import Passage, Retriever
from generation_service.settings import Settings
from generation_service.texts import Language


class DocumentState(TypedDict):
    """Where a document stands, in the shape and the language of an answer."""

    success: bool
    document_id: str
    file_name: str
    status: str
    progress: float
    code: str | None
    error: str | None
    started_at: datetime | None
    completed_at: datetime | None
    message: str
    task_id: str


class Documents:
    """Accepts uploads and answers about documents. Whoever accepts or retries delivers the job afterwards."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        jobs: Jobs,
        settings: Settings,
        *,
        retriever: Retriever | None = None,
        sweeper: ObjectSweeper | None = None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._acceptance = Acceptance(database, objects, jobs, settings)
        self._removal = Removal(database, jobs, sweeper or ObjectSweeper(database, objects))
        self._retriever = retriever or Retriever(database)

    async def accept(
        self,
        *,
        user_id: str,
        project_id: str,
        file_name: str | None,
        chunks: AsyncIterator[bytes],
        use_multimodal: bool = False,
        key: str | None = None,
    ) -> Accepted:
        """Store the bytes, then accept the document and its job; see `Acceptance.accept`."""
        return await self._acceptance.accept(
            user_id=user_id,
            project_id=project_id,
            file_name=file_name,
            chunks=chunks,
            use_multimodal=use_multimodal,
            key=key,
        )

    async def get(self, document_id: str, user_id: str | None = None) -> Document:
        """The document. Raises Refused `document_not_found` (404), another user's included."""
        found = None
        if is_id(document_id):
            found = await self._database.read(lambda connection: rows.find(connection, documents.c.id == document_id))
        if found is None or user_id not in (None, found.user_id):
            raise Refused("document_not_found", 404)
        return found

    async def list(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        status: str | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> Page[Document]:
        """A page of documents, the newest first. Raises Refused `invalid_cursor` (422)."""
        if cursor is not None and not is_id(cursor):
            raise Refused("invalid_cursor", 422)
        wanted = {"user_id": user_id, "project_id": project_id, "status": status}
        conditions = [documents.c[name] == value for name, value in wanted.items() if value is not None]
        if cursor is not None:
            conditions.append(documents.c.id < cursor)
        statement = select(documents).where(*conditions).order_by(documents.c.id.desc()).limit(limit + 1)
        found = await self._database.read(
            lambda connection: [rows.document_of(row) for row in connection.execute(statement)]
        )
        return Page(items=found[:limit], next_cursor=found[limit - 1].id if len(found) > limit else None)

    async def search(self, *, user_id: str, project_id: str, query: str, limit: int) -> Sequence[Passage]:
        """The passages of a project's documents that answer `query` best, the best first.

        Empty for a project that nobody has used yet. Raises Refused `project_not_found` (404) for another user's.
        """
        owner = select(projects.c.user_id).where(projects.c.id == project_id)
        found = await self._database.read(lambda connection: connection.execute(owner).scalar_one_or_none())
        if found not in (None, user_id):
            raise Refused("project_not_found", 404)
        return await self._retriever.find(project_id, query, limit, ["document"])

    async def retry(self, document_id: str, user_id: str) -> Job:
        """Let a document that could not be read be read again, from the step that failed.

        Raises Refused: `document_not_found` (404), `document_of_program` and `document_not_failed` (409).
        """
        document = await self.get(document_id, user_id)
        if document.program_id is not None:
            raise Refused("document_of_program", 409, params={"program_id": document.program_id})
        try:
            return await self._jobs.reopen(JobId(document.job_id))
        except Refused as error:  # it reads, has read, was cancelled, or its job was pruned
            raise Refused("document_not_failed", 409) from error

    async def remove(self, document_id: str, user_id: str) -> Removed:
        """Remove a document with all that belongs to it; see `Removal.remove`."""
        return await self._removal.remove(document_id, user_id)


def state_of(document: Document, language: Language) -> DocumentState:
    """Where a document stands, with a sentence for a person in `language`."""
    failed = document.status == "failed"
    reason = failure_text(document.code, language) if failed else None
    return {
        "success": True,
        "document_id": document.id,
        "file_name": document.file_name,
        "status": document.status,
        "progress": document.progress,
        "code": document.code,
        "error": reason,
        "started_at": document.started_at,
        "completed_at": document.completed_at,
        "message": reason or texts.text(f"document.status.{document.status}", language),
        "task_id": document.job_id,
    }


def failure_text(code: str | None, language: Language) -> str:
    """The sentence about a document or a file that failed with this code: why, and what to do."""
    key = f"document.code.{code}"
    return texts.text(key if texts.has_text(key) else "document.code.other", language)
