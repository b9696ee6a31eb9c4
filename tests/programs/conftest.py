"""Programs in this process, on each database: their files are read for real, their store refuses on demand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, insert, select, update

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import alerts
from generation_service.documents import DocumentKind, Documents, Ingester, Parser, Reading
from generation_service.errors import TransientError
from generation_service.jobs.model import Job, NewJob
from generation_service.objects import ObjectStore
from generation_service.programs import (
    Accepted,
    ProgramFile,
    ProgramFileKind,
    ProgramRetriesKind,
    Programs,
    ProgramState,
    Retry,
    RetryRules,
    RetryType,
    Thresholds,
    Upkeep,
)
from generation_service.retrieval import Indexer
from generation_service.settings import Settings
from tests.documents import files
from tests.support.toy import Core

File = tuple[str, bytes]

SCRIPT = files.SCRIPT.encode()


class RefusingStore(ObjectStore):
    """A real store, which does not answer for the keys that contain one of `refused`."""

    refused: set[str]

    async def read(self, key: str) -> bytes:
        if any(part in key for part in self.refused):
            raise TransientError("storage_unavailable", "the object store refuses")
        return await super().read(key)

    async def download(self, key: str, path: Path) -> None:
        if any(part in key for part in self.refused):
            raise TransientError("storage_unavailable", "the object store refuses")
        await super().download(key, path)


@dataclass
class Delivered:
    """Collects what is delivered."""

    jobs: list[Job] = field(default_factory=list)

    def deliver(self, jobs: Iterable[Job]) -> None:
        self.jobs += jobs


@dataclass
class Shelf:
    """Programs, their jobs, and what looks after them."""

    core: Core
    programs: Programs
    documents: Documents
    ingester: Ingester
    objects: RefusingStore
    folder: Path
    upkeep: Upkeep
    delivered: Delivered
    settings: Settings

    @property
    def database(self) -> Database:
        return self.core.database

    async def upload(self, *wanted: File, user_id: str = "ana", key: str | None = None, **given: Any) -> Accepted:
        async with self.programs.intake() as intake:
            for name, content in wanted:
                await intake.add(name, files.chunks_of(content))
            whole = {"project_id": "책방", "use_multimodal": False, **given}
            return await intake.accept(user_id=user_id, key=key, **whole)

    async def run(self, jobs: Sequence[Job]) -> list[Job]:
        return [await self.core.run(job) for job in jobs]

    async def read(self, *wanted: File) -> Accepted:
        """Upload a program and run each of its jobs once."""
        accepted = await self.upload(*wanted)
        await self.run(accepted.jobs)
        return accepted

    async def state(self, program_id: str) -> ProgramState:
        return await self.programs.get(program_id, "ana")

    async def files(self, program_id: str) -> list[ProgramFile]:
        return (await self.programs.files(program_id, "ana")).items

    async def retry(self, program_id: str, retry_type: RetryType = "all") -> tuple[Retry, Sequence[Job]]:
        return await self.programs.retry(program_id, "ana", retry_type, asked_at=await self.later())

    async def later(self) -> Any:
        """The database's time, later than anything that has happened."""
        return await self.programs.now() + timedelta(milliseconds=1)

    async def keep_up(self, turns: int = 1) -> list[Job]:
        """Look after programs; what was delivered meanwhile."""
        before = len(self.delivered.jobs)
        for _ in range(turns):
            await self.upkeep.turn()
        return self.delivered.jobs[before:]

    async def run_scheduled(self, run: str = "hourly") -> Job:
        """Run the scheduled retries once."""
        wanted = NewJob(kind="program_retries", user_id="scheduler", request={"run": run})
        return await self.core.run((await self.core.jobs.submit(wanted)).job)

    def refuse(self, file: ProgramFile) -> None:
        """Let the store refuse what belongs to this file until `allow`."""
        self.objects.refused.add(file.document_id or "")

    def allow(self) -> None:
        self.objects.refused.clear()

    def age(self, seconds: float) -> None:
        """Let all that ended have ended so much earlier, and at-once retries be due so much earlier."""
        earlier = {program_files: "ended_at", programs: "at_once_due_at"}
        for table, column in earlier.items():
            self.change(table, {column: db_now(-seconds)}, table.c[column].is_not(None))

    def change(self, table: Table, values: dict[str, Any], *conditions: Any) -> None:
        self.database.write_now(lambda connection: connection.execute(update(table).where(*conditions).values(values)))

    def add(self, table: Table, **values: Any) -> None:
        self.database.write_now(lambda connection: connection.execute(insert(table).values(**values)))

    def rows(self, table: Table, *conditions: Any) -> list[Any]:
        return self.database.read_now(lambda connection: connection.execute(select(table).where(*conditions)).all())

    def alerts(self) -> list[tuple[str, str]]:
        return sorted((row.type, row.subject) for row in self.rows(alerts))

    def stored(self) -> list[str]:
        """The keys of everything in the object store."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


def upkeep_of(core: Core, delivered: Delivered, settings: Settings) -> Upkeep:
    return Upkeep(
        database=core.database,
        jobs=core.jobs,
        delivery=delivered,
        at_once_seconds=settings.program_retry_at_once_seconds,
        thresholds=Thresholds.of(settings),
    )


@pytest.fixture
def given() -> dict[str, Any]:
    """Settings that a test wants otherwise."""
    return {}


@pytest.fixture
def shelf(database: Database, settings_for: Callable[..., Settings], given: dict[str, Any]) -> Shelf:
    """Programs with an empty object store; files of more than 64 KiB are too large."""
    settings = settings_for(**{"max_upload_bytes": 64 * 1024, **given})
    objects = RefusingStore.open(settings.storage_url)
    assert isinstance(objects, RefusingStore)
    objects.refused = set()
    reading = Reading(objects, Parser.of(settings), Indexer())
    core = Core(database, ProgramFileKind(database, reading, retry_max=settings.program_retry_max))
    core.kinds["program_retries"] = ProgramRetriesKind(database, RetryRules.of(settings))
    core.kinds["document"] = DocumentKind(database, reading)
    delivered = Delivered()
    return Shelf(
        core=core,
        programs=Programs(database, objects, core.jobs, settings),
        documents=Documents(database, objects, core.jobs, settings),
        ingester=Ingester(database, reading),
        objects=objects,
        folder=Path(settings.storage_url),
        upkeep=upkeep_of(core, delivered, settings),
        delivered=delivered,
        settings=settings,
    )
