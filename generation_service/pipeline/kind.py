"""The kind of job that generates: its eight steps, and the episode it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.jobs import alerts
from generation_service.jobs.model import Job, Json, StepRecord
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

    def on_started(self, connection: Connection, job: Job) -> None:
        """Nothing is to be done."""

    def on_ended(
        self, connection: Connection, job: Job, ending: Ending, steps: Mapping[str, StepRecord]
    ) -> Mapping[str, Json] | None:
        """Save the episode of a job that completed, script and risk report alike; tell of one that failed."""
        if ending.status == "failed" and ending.error is not None:
            alerts.add_failed_job(connection, job, ending.error)
        if ending.status != "completed":
            return None
        episode_id, number = episodes.save(connection, job, steps[Content.step].output or {})
        return {"episode_id": episode_id, "episode_number": number}

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing is to be done."""
