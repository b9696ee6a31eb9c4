"""The step `doc_ingest`: reads the documents of the project that are not ready yet."""

from typing import Protocol

from generation_service.documents import IngestReport
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.pipeline.shapes import Ingested


class Ingester(Protocol):
    """What reads documents; a document that cannot be read is reported, it fails nothing."""

    async def ingest_unready(self, run: StepRun, project_id: str) -> IngestReport: ...


class DocIngestStep:
    """Brings the project's documents into its index."""

    name = Ingested.step

    def __init__(self, ingester: Ingester) -> None:
        self._ingester = ingester

    async def run(self, run: StepRun) -> StepOutcome:
        report = await self._ingester.ingest_unready(run, run.job.project_id or "")
        read = Ingested(ready=report.ready, ingested=report.ingested, failed=report.failed)
        return StepOutcome(output=read.stored())
