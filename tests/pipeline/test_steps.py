"""Each step by itself."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from generation_service.database import Database
from generation_service.database.tables import chunks, generation_sources
from generation_service.errors import Fenced, PermanentError, TransientError
from generation_service.jobs.model import Json
from generation_service.llm import ModelCall, Reply
from generation_service.llm.offline import OfflineModel
from generation_service.pipeline import recipes
from generation_service.pipeline.asking import Asker
from generation_service.pipeline.recipes.script import ScriptSignal
from generation_service.pipeline.steps.context import choose, kind_of
from generation_service.pipeline.steps.external import ExternalStep
from generation_service.pipeline.steps.index import IndexStep
from generation_service.pipeline.steps.insight import InsightStep, summary
from generation_service.pipeline.steps.signal import SignalStep
from generation_service.pipeline.steps.snapshot import SnapshotStep
from generation_service.pipeline.steps.validation import ValidationStep, by_rule
from generation_service.retrieval import Indexer, Passage, chunks_of
from generation_service.search import Hit, NoSearch
from generation_service.texts import Language
from tests.pipeline.harness import FakeRun, Pipeline, add_text, context_of, job_for

SCRIPT = {"project_id": "p", "episode_data": {"title": "밤의 서점"}}
STORY = "민호는 서점에서 지도를 찾는다. 민호는 지도를 숨긴다. 민호는 부두로 간다."


def run_of(step: str, outputs: Mapping[str, Mapping[str, Json]] | None = None, **given: Any) -> FakeRun:
    return FakeRun(job=job_for(given.pop("body", SCRIPT)), step=step, outputs=outputs or {}, **given)


def asker() -> Asker:
    return Asker(OfflineModel(), 4096)


class Searching(NoSearch):
    """A search provider that says or raises what it was given."""

    name = "searxng"

    def __init__(self, said: Sequence[Hit] | Exception) -> None:
        self._said = said

    async def search(self, query: str, limit: int, language: Language) -> Sequence[Hit]:
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


async def test_the_snapshot_holds_the_request_and_what_the_project_has(database: Database) -> None:
    outcome = await SnapshotStep(database).run(run_of("snapshot"))

    assert outcome.output["request"]["episode_data"]["title"] == "밤의 서점"
    assert (outcome.output["project_id"], outcome.output["earlier"], outcome.output["documents"]) == ("p", [], [])


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (NoSearch(), "search_off"),
        (Searching(TransientError("search_unreachable", "away")), "search_failed:search_unreachable"),
        (Searching(PermanentError("search_refused", "no")), "search_failed:search_refused"),
    ],
    ids=["none", "transient", "permanent"],
)
async def test_a_search_that_cannot_be_made_is_skipped_with_its_reason(search: NoSearch, reason: str) -> None:
    outcome = await ExternalStep(search, asker()).run(run_of("external", {"snapshot": _snapshot()}))

    assert (outcome.status, outcome.reason, outcome.output) == ("skipped", reason, {})


async def test_losing_the_job_is_no_failed_search() -> None:
    with pytest.raises(Fenced):
        await ExternalStep(Searching(Fenced("job", 1)), asker()).run(run_of("external", {"snapshot": _snapshot()}))


async def test_findings_become_sources_with_their_address(sqlite_database: Database) -> None:
    hit = Hit(url="https://example.org/a", title="기사", snippet="서점이 다시 문을 연다.")
    pipeline = Pipeline(sqlite_database, search=Searching([hit]))

    context = (await pipeline.run(job_for(SCRIPT), upto="context"))["context"]

    source = context["sources"][0]
    assert (source["kind"], source["label"], source["url"]) == ("external", "기사", "https://example.org/a")


async def test_sources_are_numbered_from_one_and_the_callers_own_words_come_first(sqlite_database: Database) -> None:
    add_text(sqlite_database, "p", "글.txt", STORY)
    body = {"project_id": "p", "episode_data": {"title": "밤", "synopsis": "민호는 지도를 판다."}}

    context = (await Pipeline(sqlite_database).run(job_for(body), upto="context"))["context"]

    told = [(source["number"], source["kind"], source["label"]) for source in context["sources"]]
    assert told == [(1, "request", "요청: 시놉시스"), (2, "story", "글.txt")]


async def test_the_material_decides_the_language_unless_the_caller_does(sqlite_database: Database) -> None:
    add_text(sqlite_database, "p", "글.txt", STORY * 3)
    languages = {}
    for wanted in (None, "en"):
        body = {"project_id": "p", "episode_data": {"title": "Night", "language": wanted}}
        context = (await Pipeline(sqlite_database).run(job_for(body), upto="context"))["context"]
        languages[wanted] = context["language"]

    assert languages == {None: "ko", "en": "en"}


def test_what_does_not_fit_the_budget_is_left_out_and_the_best_stays() -> None:
    # Given forty long notes, a synopsis at their end, and one note that answers the query
    notes = [passage(f"n{number:02}", "메모.txt", f"{number:02}" + "가" * 998) for number in range(40)]
    synopsis = passage("z", "시놉시스.md", "나" * 1000)

    chosen = choose([*notes, synopsis], [notes[35]])

    assert sum(len(one.text) for one in chosen) <= 24_000
    assert {"z", "n35", "n00"} <= {one.chunk_id for one in chosen}
    assert chosen == sorted(chosen, key=[*notes, synopsis].index)


def test_what_was_uploaded_twice_is_quoted_once() -> None:
    twice = [passage("a", "대본.txt", STORY), passage("b", "대본 사본.txt", STORY)]

    assert choose(twice, [twice[1]]) == [twice[1]]


async def test_the_documents_that_were_chosen_are_remembered_by_the_transaction_of_the_step(database: Database) -> None:
    # Given two documents, one of them of another project
    add_text(database, "p", "글.txt", STORY, "유진은 온다.")
    add_text(database, "q", "남의 글.txt", "민호는 서점에서 잔다.")
    pipeline, job = Pipeline(database), job_for(SCRIPT)

    # When the step was committed, twice even
    outputs = await pipeline.run(job, upto="context")
    for effect in pipeline.outcomes["context"].effects:
        database.write_now(effect)

    # Then the document that is quoted is named, once
    quoted = {chunk["chunk_id"] for chunk in outputs["context"]["sources"]}
    stored = database.read_now(lambda connection: connection.execute(select(generation_sources)).all())
    named = database.read_now(
        lambda connection: set(connection.execute(select(chunks.c.source_id).where(chunks.c.id.in_(quoted))).scalars())
    )
    assert [(row.document_id, row.job_id) for row in stored] == [(document_id, job.id) for document_id in named]


@pytest.mark.parametrize(
    ("label", "heading", "kind"),
    [
        ("시놉시스.md", None, "synopsis"),
        ("시놉시스.md", "밤 > 기획의도", "notes"),
        ("all.docx", "등장인물 > 서하", "characters"),
        ("Characters.docx", None, "characters"),
        ("research.pdf", None, "notes"),
        ("chapter1.txt", None, "story"),
    ],
)
def test_a_passage_is_for_what_its_heading_or_its_document_says(label: str, heading: str | None, kind: str) -> None:
    assert kind_of(passage("a", label, "글", heading)) == kind


async def test_a_call_beyond_the_budget_is_not_made() -> None:
    run = run_of("signal", {"context": context_of(STORY)}, tokens_left=50)

    with pytest.raises(PermanentError) as raised:
        await SignalStep(asker()).run(run)

    assert raised.value.code == "budget_exceeded"
    assert run.spent == []


async def test_each_call_checks_the_lease_first_and_its_cost_is_recorded() -> None:
    run = run_of("signal", {"context": context_of(STORY)})

    await SignalStep(asker()).run(run)

    assert run.leases_checked == 1
    assert [usage.model for usage in run.spent] == ["extractive-v1"]
    assert run.spent[0].tokens > 0


async def test_signals_are_numbered_and_name_their_sources() -> None:
    outcome = await SignalStep(asker()).run(run_of("signal", {"context": context_of(STORY)}))

    signals = outcome.output["signals"]
    assert [one["id"] for one in signals] == [f"s{number}" for number in range(1, len(signals) + 1)]
    assert all(one["sources"] == [1] for one in signals)


def checked(*signals: ScriptSignal, numbers: set[int] | None = None) -> tuple[list[str], list[tuple[str, str]]]:
    """The ids that stand, and what was dropped for which reason."""
    recipe = recipes.find("script")
    verdict = by_rule(recipe, recipe.brief(job_for(SCRIPT).request, "ko"), signals, numbers or {1, 2})
    return [one.id for one in verdict.kept], [(one["id"], one["reason"]) for one in verdict.dropped]


def beat(name: str, text: str, sources: Sequence[int] = (1,), people: Sequence[str] = ()) -> ScriptSignal:
    return ScriptSignal(id=name, text=text, sources=list(sources), people=list(people))


def test_what_repeats_another_signal_is_dropped() -> None:
    first = beat("s1", "민호는 서점에서 낡은 지도를 찾는다.")
    again = beat("s2", "민호는 서점에서 낡은 지도를 찾는다!")
    other = beat("s3", "유진은 부두에서 편지를 태운다.")

    assert checked(first, again, other) == (["s1", "s3"], [("s2", "duplicate")])


def test_what_names_only_sources_that_do_not_exist_is_dropped() -> None:
    assert checked(beat("s1", "민호는 간다.", [9]), beat("s2", "유진은 온다.", [9, 2])) == (
        ["s2"],
        [("s1", "unknown_source")],
    )


def test_what_says_nothing_is_dropped() -> None:
    assert checked(beat("s1", "")) == ([], [("s1", "empty")])


def test_a_name_that_nobody_introduced_is_taken_out() -> None:
    minho = ScriptSignal(id="s1", kind="character", name="김민호", text="지도를 찾는 사람", sources=[1])

    assert checked(minho, beat("s2", "둘이 만난다.", people=["민호", "낯선이"])) == (
        ["s1", "s2"],
        [("s2", "unknown_speaker")],
    )


class Objecting(OfflineModel):
    """A model whose every answer is one objection, and one to something that is not there."""

    @asynccontextmanager
    async def open(self, call: ModelCall) -> AsyncGenerator[Reply, None]:
        yield Reply(model="objecting", prompt_tokens=call.prompt_tokens, pieces=self._answer())

    async def _answer(self) -> AsyncIterator[str]:
        yield '{"drop": [{"id": "s2", "reason": "contradicts s1"}, {"id": "s9"}], "notes": ["look at s1"]}'


async def test_the_model_may_drop_what_the_rules_let_pass() -> None:
    signals = [beat("s1", "민호는 간다.").model_dump(), beat("s2", "유진은 온다.").model_dump()]
    outputs = {"context": context_of(STORY), "signal": {"signals": signals}}

    outcome = await ValidationStep(Asker(Objecting(), 4096)).run(run_of("validation", outputs))

    assert [one["id"] for one in outcome.output["signals"]] == ["s1"]
    assert [(one["id"], one["reason"], one["detail"]) for one in outcome.output["dropped"]] == [
        ("s2", "model", "contradicts s1")
    ]
    assert outcome.output["notes"] == ["look at s1"]


async def test_what_was_learned_is_indexed_by_the_transaction_that_commits_the_step(database: Database) -> None:
    # Given two signals, one of them without a source
    signals = [beat("s1", "민호는 간다.").model_dump(), beat("s2", "유진은 온다.", []).model_dump()]
    run = run_of("index", {"context": context_of(STORY), "validation": {"signals": signals}})

    # When the step has run, then nothing is written yet
    outcome = await IndexStep(Indexer()).run(run)
    assert chunks_now(database, run.job.id) == []

    # When its effects run, twice even, then the one with a source is there once
    for _ in range(2):
        for effect in outcome.effects:
            database.write_now(effect)
    assert chunks_now(database, run.job.id) == ["민호는 간다."]


async def test_indexing_again_replaces_what_the_job_had_learned(database: Database) -> None:
    job = job_for(SCRIPT)
    for text in ("민호는 간다.", "유진은 온다."):
        signals = [beat("s1", text).model_dump()]
        outputs = {"context": context_of(STORY), "validation": {"signals": signals}}
        outcome = await IndexStep(Indexer()).run(FakeRun(job=job, step="index", outputs=outputs))
        for effect in outcome.effects:
            database.write_now(effect)

    assert chunks_now(database, job.id) == ["유진은 온다."]


def chunks_now(database: Database, job_id: str) -> list[str]:
    return [one.text for one in database.read_now(lambda connection: chunks_of(connection, "job", job_id))]


async def test_writing_reports_progress_that_only_grows() -> None:
    outputs = await _upto_insight()
    run = run_of("insight", outputs)

    await InsightStep(asker()).run(run)

    assert run.fractions == sorted(run.fractions)
    assert 0 < run.fractions[-1] <= 0.95


async def _upto_insight() -> dict[str, Mapping[str, Json]]:
    context = context_of(STORY)
    found = await SignalStep(asker()).run(run_of("signal", {"context": context}))
    return {"context": context, "validation": {"signals": found.output["signals"]}}


def test_a_summary_is_made_of_beats_and_stays_short() -> None:
    beats = [{"kind": "beat", "text": "가" * 250} for _ in range(5)]

    assert len(summary(beats, "")) <= 601
    assert summary([], "첫 번째 문장이다. 두 번째 문장이다.") == "첫 번째 문장이다.\n두 번째 문장이다."


def passage(chunk_id: str, label: str, text: str, heading: str | None = None) -> Passage:
    return Passage(
        chunk_id=chunk_id,
        source_kind="document",
        source_id=label,
        label=label,
        heading=heading,
        page=None,
        text=text,
        score=0.0,
    )


def _snapshot() -> dict[str, Json]:
    return {"project_id": "p", "recipe": "script", "request": {}}
