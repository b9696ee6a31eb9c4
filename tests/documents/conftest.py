"""A core that reads documents, in this process, on each database."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generation_service.database import Database
from generation_service.documents import Accepted, Document, DocumentKind, Documents, Ingester, Parser, Reading
from generation_service.jobs.model import Job
from generation_service.objects import ObjectStore
from generation_service.retrieval import Indexer
from generation_service.settings import Settings
from tests.documents import files
from tests.support.toy import Core


@dataclass
class Library:
    """Documents, their jobs, and the folder that their bytes are in."""

    core: Core
    documents: Documents
    ingester: Ingester
    reading: Reading
    objects: ObjectStore
    folder: Path

    async def upload(self, content: bytes, name: str = "대본.txt", **given: Any) -> Accepted:
        return await self.documents.accept(
            **{"user_id": "ana", "project_id": "책방", "file_name": name, "chunks": files.chunks_of(content), **given}
        )

    async def read(self, content: bytes, name: str = "대본.txt") -> tuple[Document, Job]:
        """Upload a document and run its job once."""
        accepted = await self.upload(content, name)
        job = await self.core.run(accepted.job)
        return await self.documents.get(accepted.document.id), job

    def stored(self) -> list[str]:
        """The keys of everything in the object store."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def library(database: Database, settings_for: Callable[..., Settings]) -> Library:
    """A library with an empty object store; uploads of more than 64 KiB are too large."""
    settings = settings_for(max_upload_bytes=64 * 1024)
    objects = ObjectStore.open(settings.storage_url)
    reading = Reading(objects, Parser.of(settings), Indexer())
    core = Core(database, DocumentKind(database, reading))
    return Library(
        core=core,
        documents=Documents(database, objects, core.jobs, settings),
        ingester=Ingester(database, reading),
        reading=reading,
        objects=objects,
        folder=Path(settings.storage_url),
    )
