"""The step `index`: what was learned goes into the project's index, in the transaction that commits the step."""

from collections.abc import Mapping
from functools import partial
from hashlib import sha256

from generation_service.jobs.model import Job, Json
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.pipeline import recipes
from generation_service.pipeline.asking import sources_of
from generation_service.pipeline.shapes import Indexed, Validated
from generation_service.retrieval import Indexer, NewChunk, remove_chunks


class IndexStep:
    """Indexes the signals that have a source; run again by hand, it replaces what it had written."""

    name = Indexed.step

    def __init__(self, indexer: Indexer) -> None:
        self._indexer = indexer

    async def run(self, run: StepRun) -> StepOutcome:
        language, _ = sources_of(run)
        job = run.job
        title = recipes.find(job.recipe).brief(job.request, language).title
        learned = [signal for signal in Validated.of(run).signals if signal.get("sources") and signal.get("text")]
        chunks = [_chunk(job, title, position, signal) for position, signal in enumerate(learned)]
        prepared = await self._indexer.prepare(chunks, run.spend)
        remove = partial(remove_chunks, source_kind="job", source_id=job.id)
        return StepOutcome(
            output=Indexed(chunks=len(chunks)).stored(),
            effects=[remove, prepared.write] if chunks or job.claims > 1 else [],
        )


def _chunk(job: Job, title: str, position: int, signal: Mapping[str, Json]) -> NewChunk:
    words = f"{signal['name']}: {signal['text']}" if signal.get("name") else str(signal["text"])
    return NewChunk(
        id=sha256(f"{job.id}\n{position}\n{words}".encode()).hexdigest(),
        project_id=job.project_id or "",
        source_kind="job",
        source_id=job.id,
        label=title,
        ordinal=position,
        heading=str(signal.get("kind") or "") or None,
        text=words,
    )
