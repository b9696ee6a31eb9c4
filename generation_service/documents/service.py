"""Documents as callers know them: uploaded, shown, listed."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import Connection, select

from generation_service import texts
from generation_service.database import Database
from generation_service.database.tables import documents
from generation_service.documents import rows
from generation_service.documents.filetypes import Sniffer, sniffed
from generation_service.documents.kind import KIND
from generation_service.documents.labels import file_label
from generation_service.documents.model import Document
from generation_service.errors import Refused, TransientError
from generation_service.jobs.ids import is_id, new_job_id, uuid7
from generation_service.jobs.model import IdempotencyKey, Job, NewJob, Submitted
from generation_service.jobs.queries import Page
from generation_service.jobs.service import Jobs
from generation_service.objects import ObjectStore, ObjectTooLarge, Stored, source_key
from generation_service.settings import MIB, Settings
from generation_service.texts import Language

UPLOAD_ROUTE = "documents.upload"
_STORAGE_RETRY_AFTER_SECONDS = 5


class Accepted(NamedTuple):
    """An accepted upload: the document, the job that reads it, and whether its key had been used before."""

    document: Document
    job: Job
    replayed: bool


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
    """Accepts uploads and answers about documents. Whoever accepts delivers the job afterwards."""

    def __init__(self, database: Database, objects: ObjectStore, jobs: Jobs, settings: Settings) -> None:
        self._database = database
        self._objects = objects
        self._jobs = jobs
        self._max_bytes = settings.max_upload_bytes

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
        """Store the bytes, then accept the document and its job in one transaction.

        `key` is the caller's Idempotency-Key: with the same content it finds the first document again.
        Raises Refused, and then nothing is left behind: `document_empty` (422), `document_type_not_taken`
        (415), `document_too_large` (413), `storage_unavailable` (503), and what a submission refuses.
        """
        label = file_label(file_name)
        document_id, job_id = uuid7(), new_job_id()
        sniffer = Sniffer()
        object_key = source_key(project_id, document_id)
        stored = await self._store(object_key, sniffed(chunks, sniffer, label))
        row = {
            "id": document_id,
            "project_id": project_id,
            "user_id": user_id,
            "job_id": job_id,
            "file_name": label,
            "file_type": sniffer.file_type(label),
            "file_size": stored.size,
            "sha256": stored.sha256,
            "object_key": object_key,
            "use_multimodal": use_multimodal,
        }
        wanted = NewJob(
            kind=KIND,
            user_id=user_id,
            project_id=project_id,
            request={"document_id": document_id, "use_multimodal": use_multimodal},
            id=job_id,
        )
        submitted = await self._submit(wanted, row, _bound(key, row, use_multimodal=use_multimodal))
        if submitted.replayed:
            await self._objects.delete(object_key)
        found = await self.get(str(submitted.job.request["document_id"]), user_id)
        return Accepted(found, submitted.job, submitted.replayed)

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

    async def _store(self, object_key: str, chunks: AsyncIterator[bytes]) -> Stored:
        try:
            return await self._objects.put(object_key, chunks, self._max_bytes)
        except ObjectTooLarge as error:
            raise Refused("document_too_large", 413, params={"megabytes": self._max_bytes // MIB}) from error
        except TransientError as error:
            headers = {"Retry-After": str(_STORAGE_RETRY_AFTER_SECONDS)}
            raise Refused("storage_unavailable", 503, headers=headers) from error

    async def _submit(self, wanted: NewJob, row: dict[str, Any], key: IdempotencyKey | None) -> Submitted:
        def add(connection: Connection) -> None:
            rows.add(connection, row)

        try:
            return await self._jobs.submit(wanted, key=key, within=add)
        except Refused:
            # Certainly not committed. After any other error the bytes stay: bytes without a row can be swept
            # away, a row without its bytes is a lost document.
            await self._objects.delete(row["object_key"])
            raise


def state_of(document: Document, language: Language) -> DocumentState:
    """Where a document stands, with a sentence for a person in `language`."""
    failed = document.status == "failed"
    key = f"document.code.{document.code}"
    reason = texts.text(key if texts.has_text(key) else "document.code.other", language) if failed else None
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


def _bound(key: str | None, row: dict[str, Any], *, use_multimodal: bool) -> IdempotencyKey | None:
    """The key with what it stands for: the same bytes under the same name for the same project."""
    if key is None:
        return None
    meant = [row["project_id"], row["file_name"], row["sha256"], use_multimodal]
    fingerprint = hashlib.sha256(json.dumps(meant, ensure_ascii=False).encode()).hexdigest()
    return IdempotencyKey(route=UPLOAD_ROUTE, key=key, fingerprint=fingerprint)
