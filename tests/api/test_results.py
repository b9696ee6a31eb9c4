"""Results and episodes: by Accept or by name, once they are there, for their own user."""

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, update

from generation_service.api.models import EpisodePage, EpisodeResource
from generation_service.api.results import acceptable
from generation_service.database import Database, db_now
from generation_service.database.tables import idempotency_keys, jobs
from generation_service.errors import Refused
from generation_service.jobs import pruning
from generation_service.llm.offline.model import GENERATOR
from generation_service.pipeline import recipes
from tests.api.conftest import BODY, Api, ApiRuntime, GenerationToy, api_over
from tests.pipeline.harness import Pipeline
from tests.support.settings import SettingsFor

NAMES = ("markdown", "fountain", "docx", "json")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "markdown"),
        ("", "markdown"),
        ("*/*", "markdown"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "markdown"),
        ("application/json", "json"),
        ("application/json;q=0.5, text/markdown;q=0.4", "json"),
        ("application/*", "docx"),
        ("text/*;q=0.2, application/json;q=0.1", "markdown"),
        ("text/markdown;q=0, */*", "fountain"),
        (DOCX, "docx"),
        ("application/json;q=high, text/x-fountain", "fountain"),
    ],
)
def test_the_format_is_what_accept_likes_best(accept: str | None, name: str) -> None:
    assert acceptable(accept, NAMES) == name


@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/html"])
def test_a_caller_that_takes_no_format_is_told_which_there_are(accept: str) -> None:
    with pytest.raises(Refused) as refused:
        acceptable(accept, NAMES)

    assert (refused.value.code, refused.value.status) == ("not_acceptable", 406)


async def test_a_result_comes_as_it_is_asked_for(api: Api) -> None:
    url = (await api.completed())["urls"]["result"]

    plain = await api.http.get(url)
    word = await api.http.get(url, params={"format": "docx"})
    data = await api.http.get(url, headers={"Accept": "application/json"})
    by_name = await api.http.get(url, params={"format": "markdown"}, headers={"Accept": "application/json"})

    assert (plain.status_code, plain.headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert "It came today." in plain.text
    assert word.content.startswith(b"PK")
    assert ".docx" in word.headers["Content-Disposition"]
    assert data.json()["title"] == "The letter"
    assert by_name.content == plain.content


async def test_a_format_that_is_not_there_is_406(small_api: Api) -> None:
    url = (await small_api.completed())["urls"]["result"]

    for answer in (
        await small_api.http.get(url, params={"format": "pdf"}),
        await small_api.http.get(url, headers={"Accept": "image/png"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        assert "markdown" in answer.json()["detail"]


async def test_a_result_that_is_not_there_yet_is_409(small_api: Api) -> None:
    job = await small_api.submit()

    answer = await small_api.http.get(job["urls"]["result"])

    assert (answer.status_code, answer.json()["code"]) == (409, "result_not_ready")


def prune(runtime: ApiRuntime) -> int:
    """Prune whatever has ended, as if it had been long ago."""

    def unit(connection: Connection) -> int:
        connection.execute(delete(idempotency_keys))
        connection.execute(update(jobs).values(completed_at=db_now(-3600)))
        return pruning.prune_jobs(connection, 60).pruned

    return runtime.database.write_now(unit)


REPORT = {"recipe": "risk_report", "corp_id": "8001", "corp_name": "Hanbit", "financials": {"debt ratio": "310%"}}


@pytest.mark.parametrize("body", [BODY, REPORT], ids=["script", "risk_report"])
async def test_what_a_job_wrote_outlives_the_job_in_every_format(
    settings_for: SettingsFor, database: Database, body: dict[str, Any]
) -> None:
    async with api_over(ApiRuntime(settings_for(), database, Pipeline(database).kind)) as api:
        # Given a job that the real steps have completed, and what it wrote
        job = await api.submit(body)
        await api.runtime.run(job["job_id"])
        names = recipes.find(job["recipe"]).formats
        before = {name: await api.http.get(job["urls"]["result"], params={"format": name}) for name in names}

        # When the job is pruned
        assert prune(api.runtime) == 1

        # Then its episode leads to the same text
        episode = (await api.http.get(f"/api/projects/{job['project_id']}/episodes/1")).json()
        after = {name: await api.http.get(episode["urls"]["result"], params={"format": name}) for name in names}
        by_accept = await api.http.get(episode["urls"]["result"], headers={"Accept": "application/json"})
        gone = await api.http.get(episode["urls"]["job"])

    assert {answer.status_code for answer in after.values()} == {200}
    for name in names:
        assert after[name].headers["Content-Type"] == before[name].headers["Content-Type"]
        assert after[name].headers["Content-Disposition"] == before[name].headers["Content-Disposition"]
        if name != "docx":  # which says when it was made
            assert after[name].content == before[name].content
    assert after["docx"].content.startswith(b"PK")
    assert by_accept.json()["title"] == episode["title"]
    assert (gone.status_code, gone.json()["code"]) == (410, "job_pruned")


async def test_a_pruned_job_without_an_episode_or_of_another_user_shows_no_text(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    ana, ben = ({"Authorization": f"Bearer {token}"} for token in "ab")
    async with api_over(runtime) as api:
        done, cancelled = await api.submit(BODY, **ana), await api.submit(BODY, **ana)
        await runtime.run(done["job_id"])
        await api.http.post(cancelled["urls"]["cancel"], headers=ana)
        assert prune(runtime) == 2

        mine = await api.http.get(done["urls"]["result"], headers=ana)
        refused = [
            await api.http.get(done["urls"]["result"], headers=ben),
            await api.http.get(cancelled["urls"]["result"], headers=ana),
        ]

    assert mine.status_code == 200
    assert [(one.status_code, one.json()["code"]) for one in refused] == [(410, "job_pruned")] * 2


async def test_episodes_are_listed_in_the_order_of_their_numbers(api: Api) -> None:
    for _ in range(3):
        await api.completed()
    url = "/api/projects/harbour/episodes"

    first = (await api.http.get(url, params={"limit": 2})).json()
    rest = (await api.http.get(url, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    second = (await api.http.get(f"{url}/2")).json()

    TypeAdapter(EpisodePage).validate_python(first)
    TypeAdapter(EpisodeResource).validate_python(second)
    assert [one["number"] for one in first["items"] + rest["items"]] == [1, 2, 3]
    assert rest["next_cursor"] is None
    assert first["items"][1] == second
    assert (await api.http.get(second["urls"]["result"])).status_code == 200


async def test_the_description_of_an_episode_names_the_generator_that_is_no_model(small_api: Api) -> None:
    document = (await small_api.http.get("/openapi.json")).json()

    described = document["components"]["schemas"]["EpisodeResource"]["properties"]["generator"]["description"]
    assert f"`{GENERATOR}` is none" in described


async def test_jobs_that_complete_at_once_number_their_episodes_without_a_gap(api: Api) -> None:
    ids = [(await api.submit())["job_id"] for _ in range(12)]

    await asyncio.gather(*(api.runtime.run(job_id) for job_id in ids))

    page = (await api.http.get("/api/projects/harbour/episodes")).json()
    assert [one["number"] for one in page["items"]] == list(range(1, 13))


async def test_an_episode_that_is_not_there_is_404_and_an_unused_project_is_empty(small_api: Api) -> None:
    assert (await small_api.http.get("/api/projects/unused/episodes")).json() == {"items": [], "next_cursor": None}
    answer = await small_api.http.get("/api/projects/unused/episodes/1")
    assert (answer.status_code, answer.json()["code"]) == (404, "episode_not_found")
    for number in ("0", "x", str(10**20)):
        assert (await small_api.http.get(f"/api/projects/unused/episodes/{number}")).status_code == 422
    for cursor in ("x", "-1", str(10**20), "\u0661"):
        answer = await small_api.http.get("/api/projects/unused/episodes", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


TAKE_A_PROJECT = (
    ("post", "/api/generation"),
    ("post", "/api/v1/documents/upload"),
    ("get", "/api/v1/documents/search"),
    ("post", "/v1/programs"),
    ("get", "/api/projects/{project_id}/episodes"),
    ("get", "/api/projects/{project_id}/episodes/{number}"),
)


async def test_what_belongs_to_another_user_is_404(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        job = await api.submit(Authorization="Bearer a")
        await runtime.run(job["job_id"])
        ben = {"Authorization": "Bearer b"}

        for path in (job["urls"]["self"], job["urls"]["result"], "/api/projects/harbour/episodes/1"):
            assert (await api.http.get(path, headers=ben)).status_code == 404
        for path in (job["urls"]["cancel"], job["urls"]["retry"]):
            assert (await api.http.post(path, headers=ben)).status_code == 404
        assert (await api.http.get("/api/projects/harbour/episodes", headers=ben)).status_code == 404
        assert (await api.http.get("/api/generation", headers=ben)).json()["items"] == []
        refused = await api.http.post("/api/generation", json=BODY, headers=ben)
        assert (refused.status_code, refused.json()["code"]) == (404, "project_not_found")
        paths = (await api.http.get("/openapi.json")).json()["paths"]

    for method, path in TAKE_A_PROJECT:
        assert "404" in paths[path][method]["responses"], f"{method} {path}"


async def test_keys_of_two_users_do_not_meet(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        one = await api.submit({**BODY, "project_id": "one"}, **{"Authorization": "Bearer a", "Idempotency-Key": "k"})
        other = await api.submit({**BODY, "project_id": "two"}, **{"Authorization": "Bearer b", "Idempotency-Key": "k"})

    assert one["job_id"] != other["job_id"]
