"""The step `context`: chooses and numbers what the model may use, within a budget of characters."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.database.tables import generation_sources
from generation_service.database.upsert import upsert
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.llm import SourceKind
from generation_service.pipeline import language, recipes
from generation_service.pipeline.recipes import Brief
from generation_service.pipeline.shapes import Context, External, Snapshot, StoredSource
from generation_service.retrieval import Passage, Retriever, project_chunks, source_kinds
from generation_service.texts import Language, text

_BUDGET = 24_000  # characters of documents; about as many tokens where they are Korean
_FOUND = 40  # passages that a query may bring
_READ = 400  # passages that are looked at in reading order
_LEARNED = 4  # passages that earlier generations have left

_KINDS: Sequence[tuple[SourceKind, re.Pattern[str]]] = (
    ("characters", re.compile(r"인물|캐릭터|등장|character|\bcast\b|dramatis", re.IGNORECASE)),
    (
        "synopsis",
        re.compile(r"시놉|줄거리|트리트먼트|플롯|synopsis|outline|treatment|\bplot\b|storyline", re.IGNORECASE),
    ),
    (
        "notes",
        re.compile(
            r"메모|노트|자료|조사|취재|회의록|소품|기획의도|주제|note|research|reference|minutes|props|premise|theme",
            re.IGNORECASE,
        ),
    ),
)
_FIRST = {"synopsis": 0, "characters": 1, "story": 2}  # which kinds a script cannot do without


class ContextStep:
    """Gathers the request's own texts, passages of documents, findings, and what came before."""

    name = Context.step

    def __init__(self, database: Database, retriever: Retriever) -> None:
        self._database = database
        self._retriever = retriever

    async def run(self, run: StepRun) -> StepOutcome:
        snapshot, external = Snapshot.of(run), External.of(run)
        recipe = recipes.find(run.job.recipe)
        asked = recipe.brief(run.job.request, language.of_request(recipe, run.job.request))
        query = _query(asked)
        project_id = snapshot.project_id
        there = await self._database.look_up(source_kinds, project_id)
        read, found, learned = [], [], []
        if "document" in there:
            read = await project_chunks(self._database, project_id, _READ, ["document"])
            found = await self._retriever.find(project_id, query, _FOUND, ["document"], spend=run.spend)
        if "job" in there:
            learned = await self._retriever.find(project_id, query, _LEARNED + _FOUND, ["job"], spend=run.spend)
        chosen = choose(read, found)
        written_in = snapshot.language or language.detect(one.text for one in chosen)
        written_in = written_in or language.of_request(recipe, run.job.request)
        brief = recipe.brief(run.job.request, written_in)
        foreign = [one for one in learned if one.source_id != run.job.id][:_LEARNED]
        candidates = [
            *_written(brief, written_in),
            *(_of_document(one) for one in chosen),
            *_findings(external),
            *(_of(one, "episode") for one in foreign),
            *_earlier(snapshot, written_in),
        ]
        sources = [one.model_copy(update={"number": number}) for number, one in enumerate(candidates, start=1)]
        left_out = len({one.text for one in [*read, *found]}) - len(chosen)
        used = sorted({one.source_id for one in chosen})
        return StepOutcome(
            output=Context(language=written_in, sources=sources, found=len(found), left_out=left_out).stored(),
            effects=[partial(remember_sources, job_id=run.job.id, document_ids=used)] if used else [],
        )


def remember_sources(connection: Connection, job_id: str, document_ids: Sequence[str]) -> None:
    """Store which documents a job is written from."""
    rows = [{"document_id": document_id, "job_id": job_id} for document_id in document_ids]
    connection.execute(upsert(connection, generation_sources).values(rows).on_conflict_do_nothing())


def choose(read: Sequence[Passage], found: Sequence[Passage]) -> list[Passage]:
    """The passages that fit the budget, in reading order.

    Half of the budget belongs to synopses and characters, which no script can do without; then come
    the passages that answer the query, the best first; then the rest as it is read.
    """
    order = {one.chunk_id: position for position, one in enumerate(read)}
    essential = sorted(read, key=lambda one: (_FIRST.get(kind_of(one), len(_FIRST)), order[one.chunk_id]))
    essential = [one for one in essential if kind_of(one) in {"synopsis", "characters"}]
    chosen = _filled({}, essential, _BUDGET // 2)
    chosen = _filled(chosen, [*found, *read], _BUDGET)
    last = len(order)
    return sorted(chosen.values(), key=lambda one: (order.get(one.chunk_id, last), one.source_id, one.chunk_id))


def kind_of(passage: Passage) -> SourceKind:
    """What a passage is for: told by its heading, else by its document's name; else it is part of the story."""
    for name in (passage.heading or "", passage.label):
        for kind, pattern in _KINDS:
            if pattern.search(name):
                return kind
    return "story"


def _filled(chosen: Mapping[str, Passage], candidates: Iterable[Passage], budget: int) -> dict[str, Passage]:
    filled = dict(chosen)
    texts = {one.text for one in filled.values()}  # a file that was uploaded twice is quoted once
    used = sum(len(text) for text in texts)
    for one in candidates:
        if one.text not in texts and used + len(one.text) <= budget:
            filled[one.chunk_id] = one
            texts.add(one.text)
            used += len(one.text)
    return filled


def _query(brief: Brief) -> str:
    words: list[str] = [brief.title, *brief.people, *brief.facts.values(), brief.instructions[:500]]
    return " ".join([*words, *(text[:500] for _, text in brief.written)])


def _written(brief: Brief, written_in: Language) -> Iterator[StoredSource]:
    for name, words in brief.written:
        label = text("pipeline.written_by_caller", written_in, name=name)
        yield StoredSource(number=0, kind="request", label=label, text=words)


def _of_document(passage: Passage) -> StoredSource:
    return _of(passage, kind_of(passage))


def _of(passage: Passage, kind: SourceKind) -> StoredSource:
    return StoredSource(
        number=0,
        kind=kind,
        label=passage.label,
        heading=passage.heading,
        page=passage.page,
        text=passage.text,
        chunk_id=passage.chunk_id,
    )


def _findings(external: External) -> Iterator[StoredSource]:
    for finding in external.findings:
        if finding.snippet:
            yield StoredSource(number=0, kind="external", label=finding.title, text=finding.snippet, url=finding.url)


def _earlier(snapshot: Snapshot, written_in: Language) -> Iterator[StoredSource]:
    for episode in snapshot.earlier:
        if episode.summary:
            label = text("pipeline.earlier_episode", written_in, number=episode.number, title=episode.title)
            yield StoredSource(number=0, kind="episode", label=label, text=episode.summary)
