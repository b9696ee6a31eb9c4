"""The job that gives every chunk its vector, and puts a generation that was built into use.

It goes on where it was cut: what it looks for is chunks without a vector. Searches use the active
generation until one compare-and-set replaces it; then the vectors of the other are deleted.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, exists, or_, select

from generation_service.database import Database
from generation_service.database.tables import chunks, jobs
from generation_service.embeddings import Embedder
from generation_service.errors import PermanentError
from generation_service.jobs import alerts
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import LIVE, Job, Json, NewJob
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun
from generation_service.jobs.schedules import SCHEDULER
from generation_service.jobs.submission import Admission, submit
from generation_service.retrieval import generations
from generation_service.retrieval.embedding import ChunkEmbedder
from generation_service.retrieval.generations import Generation
from generation_service.retrieval.vectors import write_vectors

REINDEX = "reindex"
_LONGEST_SECONDS = 1_200.0  # of one job, below a step's time-out: the next one goes on


def request_reindex(connection: Connection, model: str, admission: Admission, *, anew: bool = False) -> Job | None:
    """Begin what the index needs for `model`, and a job that fills it; None where nothing is to be done.

    Whoever begins a generation submits its job, so that of several processes at once one does. Raises Refused.
    """
    begun = generations.begin(connection, model, anew=anew)
    under_way = exists().where(jobs.c.kind == REINDEX, jobs.c.status.in_(LIVE))
    if _unfinished(connection) is None or (not begun and connection.execute(select(under_way)).scalar()):
        return None
    wanted = NewJob(kind=REINDEX, user_id=SCHEDULER, request={"model": model}, priority="low", id=new_job_id())
    return submit(connection, wanted, admission).job


class ReindexKind:
    """The kind of job that fills the index; one step."""

    kind = REINDEX
    shares_commits = False

    def __init__(self, database: Database, embedder: Embedder | None) -> None:
        self._step = ReindexStep(database, embedder)

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return [self._step]

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Nothing belongs to it."""

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        for one in endings:
            if one.status == "failed" and one.error is not None:
                alerts.add_failed_job(connection, one.job, one.error)
        return [one.outputs.get(REINDEX) for one in endings]

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing belongs to it."""


class ReindexStep:
    """Fills the generation that is being built, or the active one where it has gaps.

    It begins what the configured model needs, as the process that started with it may have been refused. A job that
    was asked for another model, while processes are replaced one by one, is left what it was asked for.
    """

    name = REINDEX

    def __init__(self, database: Database, embedder: Embedder | None) -> None:
        self._database = database
        self._model = embedder.model if embedder else ""
        self._filling = Filling(database, embedder) if embedder else None

    async def run(self, run: StepRun) -> StepOutcome:
        if self._filling is None:
            return StepOutcome(output={}, status="skipped", reason="no_embedding_model")
        if await self._database.read(lambda connection: _another_runs(connection, run.job)):
            return StepOutcome(output={}, status="skipped", reason="another_reindexes")
        if run.job.request.get("model", self._model) == self._model:
            await _told(run, partial(generations.begin, model=self._model))
        until = time.monotonic() + _LONGEST_SECONDS
        filled, activated = 0, False
        # Once more after a change: what had been prepared before the generation began may have come meanwhile.
        while time.monotonic() < until and (generation := await self._database.read(_unfinished)):
            filled += await self._filling.fill(run, generation, until)
            if generation.status == "building":
                activated |= await _told(run, partial(generations.activate, generation_id=generation.id))
        while await _told(run, generations.forget_retired):
            run.check_lease()
        finished = await self._database.read(_unfinished) is None
        return StepOutcome(output={"vectors": filled, "activated": activated, "finished": finished})


class Filling:
    """Gives chunks the vectors they lack, a few calls at a time."""

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = ChunkEmbedder(database, embedder)
        self._at_once = embedder.at_once

    async def fill(self, run: StepRun, generation: Generation, until: float) -> int:
        """Fill one generation while it is in use, at most until then; how many vectors were made."""
        todo = await self._database.read(lambda connection: generations.missing(connection, generation.id))
        done, after = 0, 0
        while time.monotonic() < until and (rows := await self._next(generation.id, after)):
            run.check_lease()
            matrix = await self._embedder.embed(generation.model, rows, run.spend)
            vectors = await self._embedder.fitting(generation, rows, matrix)
            if vectors is None:
                raise PermanentError("embedding_dimension", "the model's vectors do not fit those of the index")
            await run.write(partial(write_vectors, every=[vectors]))
            done, after = done + len(rows), rows[-1]["rowid"]
            await run.progress(min(1.0, done / max(1, todo)))
        return done

    async def _next(self, generation_id: str, after: int) -> list[Mapping[str, Any]]:
        columns = (chunks.c.rowid, chunks.c.id, chunks.c.heading, chunks.c.text)
        lacking = generations.is_in_use(generation_id) & generations.without_vector(generation_id)
        wanted = select(*columns).where(chunks.c.rowid > after, lacking).order_by(chunks.c.rowid).limit(self._at_once)
        return await self._database.read(
            lambda connection: [dict(row) for row in connection.execute(wanted).mappings()]
        )


def _unfinished(connection: Connection) -> Generation | None:
    """The generation that is being built, else the active one where chunks have no vector in it."""
    found = {one.status: one for one in generations.in_use(connection)}
    active = found.get("active")
    gaps = active is not None and generations.missing(connection, active.id)
    return found.get("building") or (active if gaps else None)


def _another_runs(connection: Connection, job: Job) -> bool:
    """Whether a job of the same kind began before this one: of those that see each other, one goes on."""
    mine = select(jobs.c.started_at).where(jobs.c.id == job.id).scalar_subquery()
    earlier = or_(jobs.c.started_at < mine, and_(jobs.c.started_at == mine, jobs.c.id < job.id))
    others = exists().where(jobs.c.kind == REINDEX, jobs.c.status == "running", jobs.c.id != job.id, earlier)
    return bool(connection.execute(select(others)).scalar())


async def _told(run: StepRun, unit: Callable[[Connection], bool]) -> bool:
    """What `unit` returned, run in a transaction of its own that is guarded by the fence."""
    answer = False

    def kept(connection: Connection) -> None:
        nonlocal answer
        answer = unit(connection)

    await run.write(kept)
    return answer
