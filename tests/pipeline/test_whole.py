"""The eight steps together, offline and with a provider, for both recipes and both languages."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from generation_service.database import Database
from generation_service.errors import PermanentError, ServiceError, TransientError
from generation_service.llm.server import ServerModel
from generation_service.pipeline import recipes
from generation_service.pipeline.kind import STEPS
from generation_service.pipeline.rendering import render
from generation_service.search import SearchByModel
from generation_service.texts import Language
from tests.pipeline.harness import Pipeline, add_sample, add_text, job_for, sample_texts
from tests.support.faults import ANSWERS
from tests.support.provider import Provider

CASE = "00000000-0000-7000-8000-000000000001"
SCRIPT: dict[str, Any] = {"project_id": "p", "episode_data": {"title": "밤"}}
REPORT: dict[str, Any] = {
    "recipe": "risk_report",
    "project_id": "corp",
    "corp_id": "8001",
    "corp_name": "한빛정밀",
    "financials": {"부채 비율": "310%"},
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
async def model(provider: Provider) -> AsyncIterator[ServerModel]:
    provider.reset()
    made = ServerModel(base_url=provider.base_url, model="mock", read_timeout_seconds=5)
    yield made
    await made.aclose()


@pytest.mark.parametrize("language", ["ko", "en"])
async def test_a_sample_becomes_a_script_that_quotes_its_documents(database: Database, language: Language) -> None:
    # Given a project with the documents that ship
    sample = add_sample(database, language)
    pipeline = Pipeline(database)
    job = job_for(sample.request)

    # When a script is generated offline
    outputs = await pipeline.run(job)
    content = outputs["insight"]

    # Then it is in their language, says what it is, and every quotation stands in a document
    assert tuple(outputs) == STEPS
    assert content["language"] == language
    assert content["generator"] == "extractive-v1"
    assert ("발췌 초안" if language == "ko" else "extractive draft") in content["text"].splitlines()[0]
    said = " ".join(sample_texts(sample).split())
    beats = [signal for signal in content["signals"] if signal["kind"] == "beat"]
    assert len(beats) >= 15
    assert all(beat["text"] in said and beat["text"] in content["text"] for beat in beats)
    assert {source["label"] for source in content["sources"]} == {document.name for document in sample.documents}
    assert content["warnings"] == [] or {one["code"] for one in content["warnings"]} == {"heading_without_time"}


async def test_the_tokens_are_the_text(database: Database) -> None:
    pipeline = Pipeline(database)
    outputs = await pipeline.run(job_for(add_sample(database, "ko").request))

    assert "".join(pipeline.tokens) == outputs["insight"]["text"]
    assert len(pipeline.tokens) > 20


async def test_the_same_documents_give_the_same_bytes(database: Database) -> None:
    request = add_sample(database, "ko").request
    pipeline = Pipeline(database)

    first = await pipeline.run(job_for(request, CASE))
    second = await pipeline.run(job_for(request, CASE))

    assert first == second


async def test_another_document_gives_another_script(sqlite_database: Database) -> None:
    add_text(sqlite_database, "a", "글.txt", "민호는 서점에서 지도를 찾는다. 민호는 지도를 숨긴다. 민호는 부두로 간다.")
    add_text(sqlite_database, "b", "글.txt", "유진은 극장에서 편지를 찾는다. 유진은 편지를 태운다. 유진은 역으로 간다.")
    pipeline = Pipeline(sqlite_database)

    texts = [
        (await pipeline.run(job_for({"project_id": project, "episode_data": {"title": "밤"}})))["insight"]["text"]
        for project in ("a", "b")
    ]

    assert "유진은 편지를 태운다. [글.txt]" in texts[1]
    assert "민호" not in texts[1]
    assert texts[0] != texts[1]


async def test_a_project_without_documents_still_ends_well(sqlite_database: Database) -> None:
    body = {"project_id": "empty", "episode_data": {"title": "test"}}

    outputs = await Pipeline(sqlite_database).run(job_for(body))

    assert "Not enough material" in outputs["insight"]["text"]


async def test_a_company_becomes_a_report_with_evidence(database: Database) -> None:
    add_text(
        database, "corp", "공시.txt", "한빛정밀은 3분기에 32억 원의 적자를 냈다. 주요 거래처와 소송이 진행 중이다."
    )

    content = (await Pipeline(database).run(job_for(REPORT)))["insight"]

    assert content["title"] == "한빛정밀 리스크 보고서"
    assert "- (finance) 한빛정밀은 3분기에 32억 원의 적자를 냈다. [공시.txt]" in content["text"]
    assert "- 부채 비율: 310%" in content["text"]
    assert content["report"]["sections"][0]["heading"] == "기업 개요"


async def test_a_report_in_english_follows_its_documents(sqlite_database: Database) -> None:
    add_text(
        sqlite_database, "corp", "filing.txt", "The company reported a net loss of 4 million in the third quarter."
    )
    body = {**REPORT, "corp_name": "Hanbit", "financials": {}}

    content = (await Pipeline(sqlite_database).run(job_for(body)))["insight"]

    assert content["language"] == "en"
    assert (
        "(finance) The company reported a net loss of 4 million in the third quarter. [filing.txt]" in content["text"]
    )


@pytest.mark.parametrize("body", [SCRIPT, REPORT], ids=["script", "report"])
async def test_a_provider_is_called_once_by_each_step_that_calls_the_model(
    sqlite_database: Database, model: ServerModel, provider: Provider, body: dict[str, Any]
) -> None:
    pipeline = Pipeline(sqlite_database, model)
    job = job_for(body)

    await pipeline.run(job)

    assert [(call.step, call.job_id) for call in provider.calls] == [
        (step, job.id) for step in ("signal", "validation", "insight")
    ]
    assert {step: len(spent) for step, spent in pipeline.spent.items() if spent} == {
        "signal": 1,
        "validation": 1,
        "insight": 1,
    }


@pytest.mark.parametrize(
    ("body", "steps"),
    [(REPORT, ["external", "signal", "validation", "insight"]), (SCRIPT, ["signal", "validation", "insight"])],
    ids=["report", "script"],
)
async def test_a_model_that_searches_is_asked_by_reports_only(
    sqlite_database: Database, model: ServerModel, provider: Provider, body: dict[str, Any], steps: list[str]
) -> None:
    pipeline = Pipeline(sqlite_database, model, SearchByModel())

    outputs = await pipeline.run(job_for(body))

    assert [call.step for call in provider.calls] == steps
    found = [source["url"] for source in outputs["context"]["sources"] if source["kind"] == "external"]
    assert found == (["https://example.org/mock"] if "external" in steps else [])


@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        ("bad_gateway", (TransientError, "provider_unavailable")),
        ("rate_limit_bare", (TransientError, "provider_rate_limited")),
        ("unauthorized", (PermanentError, "provider_unauthorized")),
    ],
)
async def test_a_model_that_fails_as_it_searches_fails_as_in_any_other_step(
    sqlite_database: Database,
    model: ServerModel,
    provider: Provider,
    fault: str,
    meant: tuple[type[ServiceError], str],
) -> None:
    provider.fail("external", fault)

    with pytest.raises(ServiceError) as failed:
        await Pipeline(sqlite_database, model, SearchByModel()).run(job_for(REPORT), upto="external")

    assert (type(failed.value), failed.value.code) == meant


async def test_a_search_by_a_drafter_is_skipped(sqlite_database: Database) -> None:
    pipeline = Pipeline(sqlite_database, search=SearchByModel())

    await pipeline.run(job_for(REPORT), upto="external")

    assert pipeline.outcomes["external"].reason == "model_does_not_search"


async def test_a_providers_text_is_streamed_under_a_heading_that_names_it(
    sqlite_database: Database, model: ServerModel
) -> None:
    add_text(sqlite_database, "p", "글.txt", "모의인물은 서점에서 지도를 찾는다.")
    pipeline = Pipeline(sqlite_database, model)

    content = (await pipeline.run(job_for(SCRIPT)))["insight"]

    assert content["text"] == f"# 밤\n\n> 생성기: mock\n\n{ANSWERS['insight']}"
    assert content["is_language_model"]
    assert len(content["script"]["scenes"]) == 5
    assert content["script"]["characters"] == ["모의인물"]
    assert content["warnings"] == []


@pytest.mark.parametrize("fault", ["prose", "fenced"])
async def test_an_answer_in_another_shape_costs_neither_the_job_nor_a_second_call(
    sqlite_database: Database, model: ServerModel, provider: Provider, fault: str
) -> None:
    provider.fail("signal", fault)
    provider.fail("validation", fault)

    outputs = await Pipeline(sqlite_database, model).run(job_for(SCRIPT))

    assert outputs["signal"]["read_as"] == ("prose" if fault == "prose" else "json")
    assert outputs["signal"]["signals"]
    assert provider.count() == 3


async def test_a_speaker_whom_nobody_introduced_is_a_warning(
    sqlite_database: Database, model: ServerModel, provider: Provider
) -> None:
    add_text(sqlite_database, "p", "글.txt", "모의인물은 서점에서 지도를 찾는다.")
    provider.answer("insight", "## S#1. 서점 / 밤\n\n**모의인물** 여기야.\n\n**불청객** 나도 있어.\n")

    content = (await Pipeline(sqlite_database, model).run(job_for(SCRIPT)))["insight"]

    assert [(one["code"], one["name"]) for one in content["warnings"]] == [("unknown_speaker", "불청객")]


async def test_a_text_cut_short_says_so(sqlite_database: Database, model: ServerModel, provider: Provider) -> None:
    provider.fail("insight", "length")

    content = (await Pipeline(sqlite_database, model).run(job_for(SCRIPT)))["insight"]

    assert content["truncated"]
    assert content["warnings"][-1]["code"] == "truncated"


async def test_what_an_episode_taught_reaches_the_next_one(database: Database) -> None:
    # Given a first episode
    sample = add_sample(database, "ko")
    pipeline = Pipeline(database)
    first = job_for(sample.request)
    await pipeline.finish(first, await pipeline.run(first))

    # When a second one is generated
    context = (await pipeline.run(job_for(sample.request)))["context"]

    # Then it is told of the first, by the index and by its summary
    earlier = [source for source in context["sources"] if source["kind"] == "episode"]
    assert [source["label"] for source in earlier][-1] == "1화: 밤의 헌책방"
    assert len(earlier) == 5


@pytest.mark.parametrize("name", list(recipes.RECIPES))
async def test_every_format_of_a_recipe_can_be_written(sqlite_database: Database, name: str) -> None:
    body = REPORT if name == "risk_report" else SCRIPT
    content = (await Pipeline(sqlite_database).run(job_for(body)))["insight"]

    for format_name in recipes.find(name).formats:
        assert render(content, format_name).body
