"""Builds what documents are read and found with; a part of the composition root."""

import logging
from dataclasses import dataclass
from functools import partial

from generation_service.database import Database
from generation_service.documents import Documents, Ingester, ObjectSweeper, Parser, Reading
from generation_service.embeddings import Embedder, open_embedder
from generation_service.errors import Refused
from generation_service.jobs.ports import Delivery, JobKind
from generation_service.jobs.schedules import Schedule
from generation_service.jobs.service import Jobs
from generation_service.jobs.signs import Signs
from generation_service.jobs.submission import Admission
from generation_service.objects import ObjectStore
from generation_service.programs import ProgramFileKind, ProgramRetriesKind, RetryRules, Thresholds, Upkeep
from generation_service.retrieval import REINDEX, Indexer, Retriever, request_reindex
from generation_service.settings import Settings

_REINDEX_CRON = "30 * * * *"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Library:
    """What documents are kept in, read and found with; one of each a process."""

    objects: ObjectStore
    sweeper: ObjectSweeper
    reading: Reading
    ingester: Ingester
    indexer: Indexer
    retriever: Retriever
    embedder: Embedder | None

    def schedules(self, timezone: str) -> list[Schedule]:
        """What keeps the index whole by itself: a look for chunks that have no vector."""
        if self.embedder is None:
            return []
        return [Schedule(id=REINDEX, cron=_REINDEX_CRON, timezone=timezone, kind=REINDEX, request={})]

    async def begin_index(self, database: Database, admission: Admission) -> None:
        """Begin another index where EMBEDDING_MODEL has changed; recovery delivers the job that builds it."""
        if self.embedder is None:
            return
        try:
            await database.write(partial(request_reindex, model=self.embedder.model, admission=admission))
        except Refused as refused:  # the service starts all the same, and searches as it did
            _log.warning("Nothing builds the index yet: %s", refused.code, extra={"action": "reindex_refused"})

    async def aclose(self) -> None:
        """Give back connections."""
        if self.embedder is not None:
            await self.embedder.aclose()


def build_library(settings: Settings, database: Database) -> Library:
    """Build the parts; nothing is started."""
    objects = ObjectStore.open(settings.storage_url, endpoint_url=settings.s3_endpoint_url)
    embedder = open_embedder(settings)
    indexer = Indexer(database, embedder)
    reading = Reading(objects, Parser.of(settings), indexer)
    return Library(
        objects=objects,
        sweeper=ObjectSweeper(database, objects),
        reading=reading,
        ingester=Ingester(database, reading),
        indexer=indexer,
        retriever=Retriever(database, embedder),
        embedder=embedder,
    )


def program_kinds(settings: Settings, database: Database, library: Library) -> list[JobKind]:
    """The jobs of programs: one for each file, and the scheduled retries."""
    return [
        ProgramFileKind(database, library.reading, retry_max=settings.program_retry_max),
        ProgramRetriesKind(database, RetryRules.of(settings)),
    ]


def build_upkeep(settings: Settings, database: Database, jobs: Jobs, delivery: Delivery, signs: Signs) -> Upkeep:
    """What looks after programs in every process that lives long."""
    return Upkeep(
        database=database,
        jobs=jobs,
        delivery=delivery,
        at_once_seconds=settings.program_retry_at_once_seconds,
        thresholds=Thresholds.of(settings),
        signs=signs,
    )


def build_documents(settings: Settings, database: Database, library: Library, jobs: Jobs) -> Documents:
    """Documents as callers know them."""
    return Documents(
        database=database,
        objects=library.objects,
        jobs=jobs,
        settings=settings,
        retriever=library.retriever,
        sweeper=library.sweeper,
    )
