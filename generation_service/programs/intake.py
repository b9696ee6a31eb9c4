"""Intake: the files of one program as they arrive, stored one by one, then accepted together or not at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from sqlalchemy import update

from generation_service.database import Database, db_now
from generation_service.database.tables import doomed_objects
from generation_service.documents.doomed import UNCLAIMED_SECONDS, doom
from generation_service.documents.filetypes import Sniffer, sniffed
from generation_service.documents.labels import file_label
from generation_service.documents.quota import Quota
from generation_service.errors import Deferred, PermanentError, Refused, TransientError
from generation_service.jobs.ids import uuid7
from generation_service.jobs.submission import Admission
from generation_service.objects import ObjectStore, ObjectTooLarge, Stored, program_source_key
from generation_service.programs.accepting import (
    STORAGE_RETRY_AFTER_SECONDS,
    Arrived,
    Wanted,
    accept,
    doomed_prefix,
    fingerprint_of,
)
from generation_service.programs.model import Accepted, DoorCode
from generation_service.settings import MIB, Settings

_DOOR_CODES: dict[str, DoorCode] = {"document_empty": "empty", "document_type_not_taken": "type_not_taken"}


class Intake:
    """One upload under way: `async with intake: await intake.add(...); await intake.accept(...)`.

    It leaves nothing behind unless `accept` has succeeded: what it stores is doomed until then, so
    even a process that dies in between leaves nothing for ever.
    """

    def __init__(self, database: Database, objects: ObjectStore, admission: Admission, settings: Settings) -> None:
        self._database = database
        self._objects = objects
        self._admission = admission
        self._settings = settings
        self._program_id = uuid7()
        self._files: list[Arrived] = []
        self._bytes = 0
        self._doomed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._doomed:
            await asyncio.shield(self._clean_up())

    async def add(self, file_name: str | None, chunks: AsyncIterator[bytes]) -> None:
        """Store one file; what is too large, empty or of a type not taken is noted, and the others go on.

        Raises Refused `program_too_many_files` (413), `program_too_large` (413), `storage_unavailable` (503).
        """
        if len(self._files) >= self._settings.max_program_files:
            raise Refused("program_too_many_files", 413, params={"limit": self._settings.max_program_files})
        if not self._doomed:
            prefix = doomed_prefix(self._program_id)
            await self._database.write(lambda connection: doom(connection, prefix, UNCLAIMED_SECONDS))
            self._doomed = True
        self._files.append(await self._store(file_label(file_name), chunks))

    async def accept(
        self,
        *,
        user_id: str,
        project_id: str | None,
        use_multimodal: bool,
        key: str | None,
        owner_id: str | None = None,
    ) -> Accepted:
        """Accept what was added as one program; whoever calls delivers its jobs. Without a project it is its own.

        `owner_id` is who may use its documents, where that is not `user_id`: without tokens a caller
        may name any user, and all of them are one to the rest of the service.
        Raises Refused `program_without_files` (422), `idempotency_key_reused` (422), `storage_quota_exceeded` (413),
        and what a submission refuses.
        """
        if not self._files:
            raise Refused("program_without_files", 422)
        wanted = Wanted(
            program_id=self._program_id,
            user_id=user_id,
            owner_id=owner_id or user_id,
            project_id=project_id or self._program_id,
            use_multimodal=use_multimodal,
            files=self._files,
            fingerprint=fingerprint_of(project_id, self._files, use_multimodal=use_multimodal),
            key=key,
        )
        quota = Quota.of(self._settings)
        return await self._database.write(lambda connection: accept(connection, wanted, self._admission, quota))

    async def _store(self, label: str, chunks: AsyncIterator[bytes]) -> Arrived:
        sniffer, document_id, before = Sniffer(), uuid7(), self._bytes
        code: DoorCode
        try:
            stored = await self._put(document_id, sniffed(self._counted(chunks), sniffer, label))
        except ObjectTooLarge:
            code = "too_large"
        except Refused as refused:
            if refused.code not in _DOOR_CODES:
                raise
            code = _DOOR_CODES[refused.code]
        else:
            return Arrived(
                file_name=label,
                file_size=stored.size,
                document_id=document_id,
                sha256=stored.sha256,
                file_type=sniffer.file_type(label),
            )
        size, self._bytes = self._bytes - before, before  # nothing of it is kept
        return Arrived(file_name=label, file_size=size, code=code)

    async def _put(self, document_id: str, chunks: AsyncIterator[bytes]) -> Stored:
        key = program_source_key(self._program_id, document_id)
        try:
            return await self._objects.put(key, chunks, self._settings.max_upload_bytes)
        except (TransientError, Deferred) as error:
            headers = {"Retry-After": str(STORAGE_RETRY_AFTER_SECONDS)}
            raise Refused("storage_unavailable", 503, headers=headers) from error

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        most = self._settings.max_program_bytes
        async for chunk in chunks:
            self._bytes += len(chunk)
            if self._bytes > most:
                raise Refused("program_too_large", 413, params={"megabytes": most // MIB})
            yield chunk

    async def _clean_up(self) -> None:
        """Remove what was stored, unless it was accepted: then nothing of it is doomed any more."""
        prefix = doomed_prefix(self._program_id)
        mine = update(doomed_objects).where(doomed_objects.c.prefix == prefix)
        with contextlib.suppress(TransientError, PermanentError):  # what is left is swept away when it is due
            now_due = mine.values(due_at=db_now())
            if await self._database.write(lambda connection: connection.execute(now_due).rowcount):
                await self._objects.delete_below(prefix)
