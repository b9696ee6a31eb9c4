"""Runs the pipeline without the core: the same steps over a real database, their outputs kept in memory."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from generation_service import samples
from generation_service.database import Database
from generation_service.documents import IngestReport
from generation_service.documents.splitting import split
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import Job, JobId, Json, Usage
from generation_service.jobs.ports import Effect, Ending, Step, StepOutcome
from generation_service.llm import LanguageModel, SourceKind
from generation_service.llm.offline import OfflineModel
from generation_service.pipeline import recipes
from generation_service.pipeline.kind import GenerationKind, Tools
from generation_service.pipeline.shapes import Context, StoredSource
from generation_service.reader.limits import Limits
from generation_service.retrieval import Indexer, NewChunk, Retriever, add_chunks
from generation_service.search import NoSearch, SearchProvider
from generation_service.texts import Language

LIMITS = Limits(memory_bytes=2**30, cpu_seconds=20, max_characters=1_000_000, max_pages=100)


@dataclass
class FakeRun:
    """A StepRun that keeps what a step says."""

    job: Job
    step: str = ""
    outputs: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    attempt: int = 1
    tokens_left: int | None = None
    spent: list[Usage] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)
    leases_checked: int = 0

    def check_lease(self) -> None:
        self.leases_checked += 1

    def spend(self, usage: Usage) -> None:
        self.spent.append(usage)

    async def token(self, text: str) -> None:
        self.tokens.append(text)

    async def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)

    async def write(self, unit: Effect) -> None:
        raise AssertionError("no step of the pipeline writes on its own")


class NothingToIngest:
    """An ingester for projects whose chunks are there already."""

    async def ingest_unready(self, run: object, project_id: str) -> IngestReport:
        return IngestReport(ready=0, ingested=0, failed=[])


@dataclass
class Pipeline:
    """The eight steps over one database; `run` does what the executor does, without its guarantees."""

    database: Database
    model: LanguageModel = field(default_factory=OfflineModel)
    search: SearchProvider = field(default_factory=NoSearch)

    def __post_init__(self) -> None:
        tools = Tools(
            database=self.database,
            model=self.model,
            search=self.search,
            ingester=NothingToIngest(),
            indexer=Indexer(),
            retriever=Retriever(self.database),
            max_output_tokens=4096,
        )
        self.kind = GenerationKind(tools)
        self.outcomes: dict[str, StepOutcome] = {}
        self.spent: dict[str, list[Usage]] = {}
        self.tokens: list[str] = []

    async def run(self, job: Job, upto: str | None = None) -> dict[str, Mapping[str, Json]]:
        """Run the steps in order, effects included; return their outputs by name."""
        outputs: dict[str, Mapping[str, Json]] = {}
        for step in self.kind.steps(job):
            outputs[step.name] = await self._run_step(step, job, dict(outputs))
            if step.name == upto:
                break
        return outputs

    async def finish(self, job: Job, outputs: Mapping[str, Mapping[str, Json]]) -> Mapping[str, Json]:
        """End the job as completed; return its result."""
        ending = Ending(job=job, status="completed", outputs=outputs)
        [result] = await self.database.write(lambda connection: self.kind.on_ended(connection, [ending]))
        assert result is not None
        return result

    async def _run_step(self, step: Step, job: Job, outputs: dict[str, Mapping[str, Json]]) -> Mapping[str, Json]:
        run = FakeRun(job=job, step=step.name, outputs=outputs)
        outcome = await step.run(run)
        await self.database.write(lambda connection: _apply(connection, outcome.effects))
        self.outcomes[step.name], self.spent[step.name] = outcome, run.spent
        self.tokens += run.tokens
        return outcome.output


def _apply(connection: Connection, effects: Sequence[Effect]) -> None:
    for effect in effects:
        effect(connection)


def job_for(body: Mapping[str, Any], job_id: str | None = None) -> Job:
    """A running job for a request body."""
    asked = recipes.find(body.get("recipe")).validate(body)
    zero: dict[str, Any] = dict.fromkeys(
        ("seq", "failures", "steps_since_claim", "claims", "delivery", "input_tokens", "output_tokens", "saved_tokens"),
        0,
    )
    none: dict[str, Any] = dict.fromkeys(
        ("holder", "lease_until", "due_at", "delivered_at", "error", "result", "started_at", "completed_at")
    )
    return Job(
        id=JobId(job_id) if job_id else new_job_id(),
        kind="generation",
        recipe=asked.recipe,
        project_id=asked.project_id,
        user_id="ana",
        request=asked.stored(),
        priority=asked.priority,
        backend="rq",
        status="running",
        fence=1,
        max_attempts=4,
        progress=0.0,
        budget_tokens=asked.budget_tokens,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        **zero,
        **none,
    )


def add_text(database: Database, project_id: str, label: str, *texts: str, heading: str | None = None) -> None:
    """Index texts as the chunks of one document."""
    document = sha256(label.encode()).hexdigest()[:36]
    chunks = [
        NewChunk(
            id=sha256(f"{project_id}/{label}/{number}/{text}".encode()).hexdigest(),
            project_id=project_id,
            source_kind="document",
            source_id=document,
            label=label,
            ordinal=number,
            text=text,
            heading=heading,
        )
        for number, text in enumerate(texts)
    ]
    database.write_now(lambda connection: add_chunks(connection, chunks))


def add_sample(database: Database, language: Language) -> samples.Sample:
    """Read a sample's documents as the service does, and index them."""
    sample = samples.load(language)
    for number, document in enumerate(sample.documents):
        pieces = split(_blocks(document.path))
        chunks = [
            NewChunk(
                id=sha256(f"{document.name}/{piece.ordinal}".encode()).hexdigest(),
                project_id=sample.project_id,
                source_kind="document",
                source_id=f"document-{number}",
                label=document.name,
                ordinal=piece.ordinal,
                text=piece.text,
                heading=piece.heading,
                page=piece.page,
            )
            for piece in pieces
        ]
        database.write_now(lambda connection, chunks=chunks: add_chunks(connection, chunks))
    return sample


def sample_texts(sample: samples.Sample) -> str:
    """Everything a sample's documents say, as one text."""
    return "\n".join(block.text for document in sample.documents for block in _blocks(document.path))


def _blocks(path: Path) -> list[Any]:
    names = {".pdf": ("pdf", "read"), ".docx": ("word", "read"), ".md": ("plain", "read_markdown")}
    module, function = names.get(path.suffix, ("plain", "read_text"))
    read = getattr(importlib.import_module(f"generation_service.reader.{module}"), function)
    return list(read(path, LIMITS).blocks)


def context_of(
    *texts: str, kind: SourceKind = "synopsis", language: Language = "ko", label: str = "시놉시스.md"
) -> dict[str, Json]:
    """The output of a context step that chose these texts."""
    sources = [
        StoredSource(number=number, kind=kind, label=label, text=text) for number, text in enumerate(texts, start=1)
    ]
    return Context(language=language, sources=sources).stored()
