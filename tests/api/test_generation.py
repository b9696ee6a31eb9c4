"""Routes of generation: what is accepted, shown, cancelled and retried."""

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter
from redis import Redis
from sqlalchemy import insert

from generation_service.api.models import JobPage, JobResource
from generation_service.database import db_now
from generation_service.database.tables import pruned_jobs
from generation_service.errors import PermanentError
from generation_service.jobs.ports import StepRun
from tests.api.conftest import BODY, STEPS, Api, ApiRuntime, GenerationToy, api_over
from tests.rq.support.deliveries import a_backend
from tests.support.settings import SettingsFor
from tests.support.toy import nothing
from workers.names import QUEUES, queue_key, rq_id_of


async def test_a_submission_is_answered_with_the_job_and_delivered_afterwards(api: Api) -> None:
    answer = await api.http.post("/api/generation", json=BODY)

    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/generation/{job['job_id']}" == job["urls"]["self"]
    assert int(answer.headers["Retry-After"]) > 0
    assert [one.id for one in api.runtime.adapter.jobs] == [job["job_id"]]
    assert (job["status"], job["attempt"], job["max_attempts"], job["progress"]) == ("pending", 1, 4, 0)
    assert [step["name"] for step in job["steps"]] == list(STEPS)
    assert {step["status"] for step in job["steps"]} == {"pending"}


async def test_a_job_looks_as_documented_from_beginning_to_end(api: Api) -> None:
    shape = TypeAdapter(JobResource)

    fresh = await api.submit()
    await api.runtime.run(fresh["job_id"])
    done = (await api.http.get(fresh["urls"]["self"])).json()

    shape.validate_python(fresh)
    shape.validate_python(done)
    assert (done["status"], done["progress"]) == ("completed", 100)
    assert done["result"] == {"episode_id": done["result"]["episode_id"], "episode_number": 1}
    assert all(step["status"] == "completed" and step["duration_seconds"] is not None for step in done["steps"])
    assert done["completed_at"].endswith("Z")


async def test_the_same_key_with_the_same_body_is_the_same_job(api: Api) -> None:
    first = await api.http.post("/api/generation", json=BODY, headers={"Idempotency-Key": "k1"})
    other_writing = {"episode_data": {"title": "The letter"}, "recipe": "script", "project_id": "harbour"}
    second = await api.http.post("/api/generation", json=other_writing, headers={"Idempotency-Key": '"k1"'})

    assert second.status_code == 202
    assert second.json()["job_id"] == first.json()["job_id"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(api.runtime.adapter.jobs) == 1


async def test_a_replay_shows_the_job_as_it_is_now(api: Api) -> None:
    job = await api.submit(**{"Idempotency-Key": "k1"})
    await api.runtime.run(job["job_id"])

    again = await api.http.post("/api/generation", json=BODY, headers={"Idempotency-Key": "k1"})

    assert (again.status_code, again.json()["status"]) == (202, "completed")


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    await api.submit(**{"Idempotency-Key": "k1"})
    other = BODY | {"episode_data": {"title": "Another"}}

    answer = await api.http.post("/api/generation", json=other, headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_many_at_once_with_one_key_make_one_job(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.http.post("/api/generation", json=BODY, headers={"Idempotency-Key": "k1"}) for _ in range(30))
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 29


async def test_a_refused_request_binds_no_key(small_api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    refused = await small_api.http.post("/api/generation", json=BODY | {"unknown": 1}, headers=headers)

    accepted = await small_api.http.post("/api/generation", json=BODY, headers=headers)

    assert (refused.status_code, accepted.status_code) == (422, 202)
    assert "Idempotent-Replayed" not in accepted.headers


@pytest.mark.parametrize("preferred", [{}, {"Prefer": "wait=0"}], ids=["at once", "waiting"])
async def test_a_replay_leaves_one_delivery_in_its_queue(
    small_api: Api, redis_url: str, preferred: dict[str, str]
) -> None:
    headers = {"Idempotency-Key": "k1"} | preferred
    with a_backend(redis_url) as backend:  # its end sends what is pending
        small_api.runtime.adapter = backend
        answers = [await small_api.http.post("/api/generation", json=BODY, headers=headers) for _ in range(3)]

    assert ["Idempotent-Replayed" in answer.headers for answer in answers] == [False, True, True]
    with Redis.from_url(redis_url, decode_responses=True) as client:
        queued = [entry for queue in QUEUES for entry in client.lrange(queue_key(queue), 0, -1)]
    assert queued == [rq_id_of(answers[0].json()["job_id"], 1)]


async def test_prefer_wait_holds_the_answer_until_the_job_has_ended(small_api: Api) -> None:
    waiting = asyncio.create_task(small_api.http.post("/api/generation", json=BODY, headers={"Prefer": "wait=30"}))
    async with asyncio.timeout(20):
        while not small_api.runtime.adapter.jobs:  # noqa: ASYNC110 - delivered before the answer
            await asyncio.sleep(0.01)
    await small_api.runtime.run(small_api.runtime.adapter.jobs[0].id)

    answer = await waiting

    assert (answer.status_code, answer.json()["status"]) == (202, "completed")
    assert answer.headers["Preference-Applied"] == "wait=30"


async def test_prefer_wait_ends_when_its_seconds_are_over(small_api: Api) -> None:
    answer = await small_api.http.post("/api/generation", json=BODY, headers={"Prefer": "wait=0"})

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


async def test_a_full_service_says_503_and_a_caller_over_its_limit_429(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    for limit, status, code in (
        ({"max_live_jobs": 1}, 503, "queue_full"),
        ({"max_live_jobs_per_user": 1}, 429, "caller_over_limit"),
    ):
        runtime = ApiRuntime(settings_for(**limit), sqlite_runtime.database, kind)
        async with api_over(runtime) as api:
            answers = [await api.http.post("/api/generation", json=BODY) for _ in range(2)]

        assert (answers[1].status_code, answers[1].json()["code"]) == (status, code)
        assert 0 < int(answers[1].headers["Retry-After"]) <= 60


async def test_a_list_shows_the_newest_first_and_goes_on_by_cursor(api: Api) -> None:
    ids = [(await api.submit())["job_id"] for _ in range(5)]

    first = (await api.http.get("/api/generation", params={"limit": 3})).json()
    rest = (await api.http.get("/api/generation", params={"limit": 3, "cursor": first["next_cursor"]})).json()

    TypeAdapter(JobPage).validate_python(first)
    assert [job["job_id"] for job in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None


async def test_a_list_is_narrowed_by_its_filters(api: Api) -> None:
    done = await api.completed()
    waiting = await api.submit(BODY | {"project_id": "other"})

    async def found(**filters: str) -> list[str]:
        answer = await api.http.get("/api/generation", params=filters)
        assert answer.status_code == 200, answer.text
        return [job["job_id"] for job in answer.json()["items"]]

    assert await found(status="completed") == [done["job_id"]]
    assert await found(project_id="other") == [waiting["job_id"]]
    assert await found(backend="rq") == []
    assert await found(created_after=done["created_at"]) == [waiting["job_id"]]
    assert await found(created_after="2999-01-01T00:00:00") == []


async def test_a_listed_job_has_its_steps(small_api: Api) -> None:
    await small_api.completed()

    (job,) = (await small_api.http.get("/api/generation")).json()["items"]

    assert {step["status"] for step in job["steps"]} == {"completed"}


async def test_a_waiting_job_is_cancelled_once(api: Api) -> None:
    job = await api.submit()

    first = await api.http.post(job["urls"]["cancel"])
    second = await api.http.post(job["urls"]["cancel"])

    assert (first.status_code, first.json()["status"]) == (202, "cancelled")
    assert (second.status_code, second.json()["status"]) == (200, "cancelled")


async def test_a_completed_job_is_not_cancelled_any_more(small_api: Api) -> None:
    done = await small_api.completed()

    answer = await small_api.http.post(done["urls"]["cancel"])

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


@pytest.fixture
async def failing(kind: GenerationToy) -> None:
    async def fail(run: StepRun) -> Any:
        raise PermanentError("content_policy", "the provider refuses this")

    kind.toy_steps["signal"].body = fail


@pytest.mark.usefixtures("failing")
async def test_a_failed_job_is_shown_with_200_and_its_error(api: Api) -> None:
    job = await api.submit()
    await api.runtime.run(job["job_id"])

    answer = await api.http.get(job["urls"]["self"])

    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["result"]) == (200, "failed", None)
    assert (shown["error"]["code"], shown["error"]["retryable"]) == ("content_policy", False)
    assert shown["error"]["message"].startswith("The model refused the content by its policy.")
    assert next(step for step in shown["steps"] if step["name"] == "signal")["status"] == "failed"


@pytest.mark.usefixtures("failing")
async def test_a_failed_job_is_retried_from_a_step(api: Api, kind: GenerationToy) -> None:
    job = await api.submit()
    await api.runtime.run(job["job_id"])
    kind.toy_steps["signal"].body = nothing

    answer = await api.http.post(job["urls"]["retry"], json={"from_step": "context"})
    await api.runtime.run(job["job_id"])

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert len(api.runtime.adapter.jobs) == 2
    assert (kind.toy_steps["external"].runs, kind.toy_steps["context"].runs) == (1, 2)
    assert (await api.http.get(job["urls"]["self"])).json()["status"] == "completed"


@pytest.mark.usefixtures("failing")
async def test_a_retry_takes_no_body_an_empty_object_or_a_step_of_the_recipe(small_api: Api) -> None:
    job = await small_api.submit()
    await small_api.runtime.run(job["job_id"])
    retry = job["urls"]["retry"]

    unknown = await small_api.http.post(retry, json={"from_step": "dessert"})
    wrong = await small_api.http.post(retry, json={"step": "signal"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_step")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
    assert (await small_api.http.post(retry)).status_code == 202


async def test_a_job_that_has_not_failed_is_not_retried(small_api: Api) -> None:
    job = await small_api.submit()

    answer = await small_api.http.post(job["urls"]["retry"])

    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_failed")


@pytest.mark.parametrize("job_id", ["0199aaaa-0000-7000-8000-000000000000", "x", "%00", "..%2f..", "system-inf"])
async def test_a_job_that_is_not_there_is_404(small_api: Api, job_id: str) -> None:
    answer = await small_api.http.get(f"/api/generation/{job_id}")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_job_that_was_pruned_is_410(api: Api) -> None:
    job_id = "0199aaaa-0000-7000-8000-000000000000"
    gone = insert(pruned_jobs).values(job_id=job_id, pruned_at=db_now())
    await api.runtime.database.write(lambda connection: connection.execute(gone).close())

    answer = await api.http.get(f"/api/generation/{job_id}")

    assert (answer.status_code, answer.json()["code"]) == (410, "job_pruned")


async def test_messages_are_in_the_callers_language(small_api: Api) -> None:
    job = await small_api.submit()

    korean = await small_api.http.get(job["urls"]["self"], headers={"Accept-Language": "ko-KR,en;q=0.5"})

    assert job["message"] == "Waiting to start."
    assert korean.json()["message"] == "시작을 기다리고 있습니다."


async def test_system_info_says_where_jobs_go(small_api: Api) -> None:
    info = (await small_api.http.get("/api/generation/system-info")).json()

    assert info["worker_system"]["type"] == "background_tasks"
    assert info["worker_system"]["enabled"] is False
    assert "script" in info["recipes"]


async def test_system_info_lists_the_formats_that_each_recipes_result_takes(small_api: Api) -> None:
    info = (await small_api.http.get("/api/generation/system-info")).json()
    document = (await small_api.http.get("/openapi.json")).json()
    result = document["paths"]["/api/generation/{job_id}/result"]["get"]

    assert list(info["formats"]) == info["recipes"]
    assert info["formats"]["script"] == ["markdown", "fountain", "docx", "json"]
    assert "fountain" not in info["formats"]["risk_report"]
    [described] = [one["description"] for one in result["parameters"] if one["name"] == "format"]
    assert "`formats`" in described
