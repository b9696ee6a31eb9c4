"""Accepting an upload: its bytes first, then the document and its job in one transaction; or the one that is there."""

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from generation_service.database import Database
from generation_service.database.tables import documents
from generation_service.documents import rows
from generation_service.documents.doomed import UNCLAIMED_SECONDS, doom, spare
from generation_service.documents.filetypes import Sniffer, sniffed
from generation_service.documents.kind import KIND
from generation_service.documents.labels import file_label
from generation_service.documents.model import Document
from generation_service.documents.quota import Quota, check_quota
from generation_service.errors import Deferred, PermanentError, Refused, TransientError
from generation_service.jobs import submission, transitions
from generation_service.jobs.ids import new_job_id, uuid7
from generation_service.jobs.model import IdempotencyKey, Job, JobId, NewJob
from generation_service.jobs.service import Jobs
from generation_service.objects import ObjectStore, ObjectTooLarge, Stored, document_prefix, source_key
from generation_service.settings import MIB, Settings

_log = logging.getLogger(__name__)

UPLOAD_ROUTE = "documents.upload"
_STORAGE_RETRY_AFTER_SECONDS = 5
_SAME_FILE_LOCK = 4_771_206  # first half of an advisory lock whose second half is the project and the content


class Accepted(NamedTuple):
    """An accepted upload: the document, the job that reads it (None: pruned since), and whether it was there before.

    `replayed`: its key had been used; `duplicate_of`: the project had a document with the same content.
    """

    document: Document
    job: Job | None
    replayed: bool
    duplicate_of: str | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether this call made the document, so that its job is to be delivered."""
        return not self.replayed and self.duplicate_of is None


@dataclass(frozen=True, slots=True)
class _Upload:
    """What was stored, and is to be accepted."""

    row: dict[str, Any]
    key: IdempotencyKey | None

    @property
    def prefix(self) -> str:
        return document_prefix(self.row["object_key"])

    @property
    def wanted(self) -> NewJob:
        row = self.row
        request = {"document_id": row["id"], "use_multimodal": row["use_multimodal"]}
        return NewJob(
            kind=KIND, user_id=row["user_id"], project_id=row["project_id"], request=request, id=row["job_id"]
        )


class Acceptance:
    """Accepts uploads; refused ones leave nothing behind, and neither does a process that dies on the way."""

    def __init__(self, database: Database, objects: ObjectStore, jobs: Jobs, settings: Settings) -> None:
        self._database = database
        self._objects = objects
        self._jobs = jobs
        self._settings = settings

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
        Raises Refused: `document_empty` (422), `document_type_not_taken` (415), `document_too_large` and
        `storage_quota_exceeded` (413), `storage_unavailable` (503), and what a submission refuses.
        """
        label, sniffer = file_label(file_name), Sniffer()
        row = _row(user_id=user_id, project_id=project_id, file_name=label, use_multimodal=use_multimodal)
        try:
            stored = await self._store(row["object_key"], sniffed(chunks, sniffer, label))
            row |= {"file_type": sniffer.file_type(label), "file_size": stored.size, "sha256": stored.sha256}
            upload = _Upload(row, _bound(key, row))
            accepted = await self._database.write(lambda connection: self._accept(connection, upload))
        except Refused:
            await self._discard(row["object_key"])
            raise
        if not accepted.is_fresh:
            await self._discard(row["object_key"])
        return accepted

    async def _store(self, object_key: str, chunks: AsyncIterator[bytes]) -> Stored:
        """Store the bytes; until their document is accepted they are doomed."""
        await self._database.write(lambda connection: doom(connection, document_prefix(object_key), UNCLAIMED_SECONDS))
        most_bytes = self._settings.max_upload_bytes
        try:
            return await self._objects.put(object_key, chunks, most_bytes)
        except ObjectTooLarge as error:
            raise Refused("document_too_large", 413, params={"megabytes": most_bytes // MIB}) from error
        except (TransientError, Deferred) as error:
            raise _unavailable() from error

    def _accept(self, connection: Connection, upload: _Upload) -> Accepted:
        row = upload.row
        _await_turn(connection, f"{row['project_id']} {row['sha256']}")
        same = rows.find_same(connection, row)
        if same is not None:
            return _found_again(connection, upload, same)

        def add(connection: Connection) -> None:
            check_quota(connection, row["user_id"], 1, row["file_size"], Quota.of(self._settings))
            if not spare(connection, upload.prefix):  # it took longer than a day
                raise _unavailable()
            rows.add(connection, row)

        admission = self._jobs.admission
        submitted = submission.submit(connection, upload.wanted, admission, key=upload.key, within=add)
        document = rows.find(connection, documents.c.job_id == submitted.job.id)
        if document is None:  # deleted, while its key is being used again
            raise Refused("document_not_found", 404)
        return Accepted(document, submitted.job, submitted.replayed)

    async def _discard(self, object_key: str) -> None:
        """Delete bytes that became no document; they stay doomed where the store is away."""
        try:
            await self._objects.delete(object_key)
        except (TransientError, PermanentError) as error:
            _log.warning("An object cannot be deleted now: %s", error, extra={"action": "discard_failed"})
            return
        await self._database.write(lambda connection: spare(connection, document_prefix(object_key)))


def _row(*, project_id: str, **given: Any) -> dict[str, Any]:
    """The row of a document, without what its bytes will say."""
    document_id = uuid7()
    made = {"id": document_id, "job_id": new_job_id(), "object_key": source_key(project_id, document_id)}
    return {**made, "project_id": project_id, **given}


def _found_again(connection: Connection, upload: _Upload, same: Document) -> Accepted:
    """The answer to an upload whose content is in the project; its key is bound to what is there."""
    bound = None
    if upload.key is not None:
        bound = submission.bind(connection, same.user_id, upload.key, JobId(same.job_id))
    if bound is None:
        return Accepted(
            same, transitions.find_job(connection, JobId(same.job_id)), replayed=False, duplicate_of=same.id
        )
    document = rows.find(connection, documents.c.job_id == bound.id)
    return Accepted(document or same, bound, replayed=True)


def _await_turn(connection: Connection, content: str) -> None:
    """Let uploads of one content to one project be accepted one after the other; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(:lock, hashtext(:content))")
        connection.execute(lock, {"lock": _SAME_FILE_LOCK, "content": content})


def _unavailable() -> Refused:
    return Refused("storage_unavailable", 503, headers={"Retry-After": str(_STORAGE_RETRY_AFTER_SECONDS)})


def _bound(key: str | None, row: dict[str, Any]) -> IdempotencyKey | None:
    """The key with what it stands for: the same bytes under the same name for the same project."""
    if key is None:
        return None
    meant = [row["project_id"], row["file_name"], row["sha256"], row["use_multimodal"]]
    fingerprint = hashlib.sha256(json.dumps(meant, ensure_ascii=False).encode()).hexdigest()
    return IdempotencyKey(route=UPLOAD_ROUTE, key=key, fingerprint=fingerprint)
