"""The kind of job that generates: its eight steps, and the episode it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs import alerts
from generation_service.jobs.model import Job, Json
from generation_service.jobs.ports import Ending, Step
from generation_service.llm import LanguageModel
from generation_service.pipeline import episodes
from generation_service.pipeline.asking import Asker
from generation_service.pipeline.shapes import Content
from generation_service.pipeline.steps.context import ContextStep
from generation_service.pipeline.steps.doc_ingest import DocIngestStep, Ingester
from generation_service.pipeline.steps.external import ExternalStep
from generation_service.pipeline.steps.index import IndexStep
from generation_service.pipeline.steps.insight import InsightStep
from generation_service.pipeline.steps.signal import SignalStep
from generation_service.pipeline.steps.snapshot import SnapshotStep
from generation_service.pipeline.steps.validation import ValidationStep
from generation_service.retrieval import Indexer, Retriever
from generation_service.search import SearchProvider

STEPS = ("snapshot", "doc_ingest", "external", "context", "signal", "validation", "index", "insight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the steps work with; one of each a process."""

    database: Database
    model: LanguageModel
    search: SearchProvider
    ingester: Ingester
    indexer: Indexer
    retriever: Retriever
    max_output_tokens: int


class GenerationKind:
    """Implements `jobs.ports.JobKind`: every recipe runs the same steps."""

    kind = "generation"
    shares_commits = True

    def __init__(self, tools: Tools) -> None:
        asker = Asker(tools.model, tools.max_output_tokens)
        self._steps: tuple[Step, ...] = (
            SnapshotStep(tools.database),
            DocIngestStep(tools.ingester),
            ExternalStep(tools.search, asker),
            ContextStep(tools.database, tools.retriever),
            SignalStep(asker),
            ValidationStep(asker),
            IndexStep(tools.indexer),
            InsightStep(asker),
        )

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - a port
        return self._steps

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Nothing is to be done."""

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        """Save the episode of each job that completed, script and risk report alike; tell of those that failed."""
        for one in endings:
            if one.status == "failed" and one.error is not None:
                alerts.add_failed_job(connection, one.job, one.error)
        written = [(one.job, one.outputs[Content.step]) for one in endings if one.status == "completed"]
        saved = episodes.save_all(connection, written)
        return [saved.get(one.job.id) for one in endings]

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing is to be done."""
