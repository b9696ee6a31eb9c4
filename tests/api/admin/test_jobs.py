"""Pause, resume and drain, in both modes; dead letters are shown and run again."""

import base64
from typing import Any

import pytest
from sqlalchemy import Connection

from generation_service.jobs import dead_letters
from generation_service.jobs.model import JobError, JobId
from tests.api.admin.conftest import TOKEN, Operator, operating
from tests.support.provider import Provider
from tests.support.settings import SettingsFor
from tests.support.toy import until


async def test_while_paused_jobs_are_accepted_and_nothing_starts(operator: Operator) -> None:
    paused = await operator.post("pause", reason="an update")
    job = await operator.submit()

    for backend in ("rq", "background_tasks"):
        assert await operator.runtime.executor.claim_waiting(backend, 5) == []
    await operator.runtime.executor.execute(JobId(job["job_id"]), "background_tasks")
    assert (await _job(operator, job))["status"] == "pending"
    assert (paused["paused"], paused["draining"], paused["pause"]["reason"]) == (True, False, "an update")
    assert (await operator.http.get("/readyz")).status_code == 200

    resumed = await operator.post("resume")

    assert (resumed["paused"], resumed["changed"]) == (False, True)
    await _completes(operator, job)


@pytest.mark.parametrize("wish", ["pause", "drain", "resume"])
async def test_a_wish_twice_is_a_wish_once(operator: Operator, wish: str) -> None:
    await operator.post("pause" if wish == "resume" else "resume")

    first = await operator.post(wish, reason="one")
    again = await operator.post(wish, reason="two")

    assert (first["changed"], again["changed"]) == (True, False)
    assert (again["pause"], again["drain"]) == (first["pause"], first["drain"])


@pytest.mark.parametrize("wish", ["pause", "drain", "resume"])
async def test_a_dry_run_only_says_what_would_change(operator: Operator, wish: str) -> None:
    await operator.post("pause" if wish == "resume" else "resume")

    seen = await operator.post(wish, dry_run=True)

    assert (seen["dry_run"], seen["changed"]) == (True, True)
    assert (seen["paused"], seen["draining"]) == (wish == "resume", False)


async def test_while_drained_no_process_is_ready_until_somebody_resumes(operator: Operator) -> None:
    await operator.http.get("/readyz")

    drained = await operator.post("drain", grace_seconds=7)

    assert (drained["paused"], drained["draining"], drained["drain"]["grace_seconds"]) == (True, True, 7)
    unready = await operator.http.get("/readyz")
    assert (unready.status_code, unready.json()["status"]) == (503, "draining")
    assert (await operator.http.get("/livez")).status_code == 200
    assert (await operator.http.get("/health")).status_code == 200

    await operator.post("resume")

    assert (await operator.http.get("/readyz")).status_code == 200


async def test_a_drain_takes_the_grace_of_the_settings_where_none_is_given(operator: Operator) -> None:
    drained = await operator.post("drain")

    assert drained["drain"]["grace_seconds"] == operator.runtime.settings.shutdown_grace_seconds


@pytest.mark.parametrize("grace", [-1, "5", 1e9, None])
async def test_a_grace_that_is_none_is_refused(small_operator: Operator, grace: Any) -> None:
    answer = await small_operator.http.post("/api/admin/drain", json={"grace_seconds": grace})

    assert answer.status_code == (200 if grace is None else 422)


async def test_the_answer_says_what_waits_and_runs(operator: Operator) -> None:
    await operator.post("pause")
    await operator.submit()

    paused = await operator.post("pause")

    assert paused["jobs"]["background_tasks"] == {"waiting": 1, "scheduled": 0, "running": 0}


async def test_a_failed_job_is_among_the_dead_letters_and_runs_again(
    settings_for: SettingsFor, database_url: str
) -> None:
    with Provider() as provider:
        model = {"llm_provider": "openai", "llm_base_url": provider.base_url, "llm_model": "mock"}
        provider.fail("signal", "unauthorized")
        async with operating(settings_for(database_url=database_url, admin_token=TOKEN, **model)) as operator:
            await _replay(operator)


async def _replay(operator: Operator) -> None:
    job = await operator.submit()
    await _ends(operator, job, "failed")

    (letter,) = (await operator.get("dead-letters"))["items"]
    assert (letter["job_id"], letter["origin"]) == (job["job_id"], "jobs")
    assert letter["reason"] == (await _job(operator, job))["error"]["code"]
    assert letter["message"] == (await _job(operator, job))["error"]["message"] != letter["detail"]
    assert (letter["job"]["status"], letter["raw"]) == ("failed", None)

    seen = await operator.post(f"dead-letters/{job['job_id']}/replay", dry_run=True)
    assert (await _job(operator, job))["status"] == "failed"
    replayed = await operator.post(f"dead-letters/{job['job_id']}/replay", 202, reason="the key is right now")

    assert (seen["dry_run"], seen["status"]) == (True, "failed")
    assert (replayed["job_id"], replayed["status"]) == (job["job_id"], "pending")
    await _completes(operator, job)
    assert (await operator.get("dead-letters"))["items"] == []
    (resolved,) = (await operator.get("dead-letters", resolved=True))["items"]
    assert resolved["resolved_at"] is not None


async def test_only_a_failed_job_is_replayed(operator: Operator) -> None:
    """Given a dead letter whose job has run again meanwhile."""
    job = await operator.submit()
    await _completes(operator, job)
    done = await operator.runtime.jobs.get(job["job_id"])
    error = JobError(code="abandoned", message="once", retryable=True)
    await operator.runtime.database.write(lambda connection: dead_letters.keep_job(connection, done, error))

    for dry_run in (True, False):
        refused = await operator.post(f"dead-letters/{job['job_id']}/replay", 409, dry_run=dry_run)
        assert refused["code"] == "job_not_failed"


@pytest.mark.parametrize("name", ["nothing", "019a0000-0000-7000-8000-000000000000", "..%2Fjobs", "%00"])
async def test_a_dead_letter_that_is_not_there_is_404(small_operator: Operator, name: str) -> None:
    answer = await small_operator.http.post(f"/api/admin/dead-letters/{name}/replay")

    assert answer.status_code == 404


async def test_what_is_no_job_of_ours_is_shown_and_cannot_be_replayed(operator: Operator) -> None:
    raw = b"\x80\x04os.system" + b"x" * 10_000

    def keep(connection: Connection) -> None:
        dead_letters.keep_foreign(connection, origin="rag_processing", reason="not_ours", detail="abc", raw=raw)

    await operator.runtime.database.write(keep)
    (letter,) = (await operator.get("dead-letters"))["items"]

    assert (letter["job"], letter["job_id"], letter["origin"]) == (None, None, "rag_processing")
    assert (base64.b64decode(letter["raw"]), letter["raw_bytes"]) == (raw[:4096], len(raw))
    refused = await operator.post(f"dead-letters/{letter['id']}/replay", 409)
    assert refused["code"] == "dead_letter_without_job"


async def test_dead_letters_come_in_pages_the_newest_first(operator: Operator) -> None:
    def keep(connection: Connection) -> None:
        for number in range(5):
            dead_letters.keep_foreign(connection, origin="q", reason="not_ours", detail=str(number), raw=b"")

    await operator.runtime.database.write(keep)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = await operator.get("dead-letters", limit=2, **cursor)
        seen += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}

    assert seen == sorted(set(seen), reverse=True)
    assert (len(seen), page["next_cursor"]) == (5, None)
    answer = await operator.http.get("/api/admin/dead-letters", params={"cursor": "5"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def _job(operator: Operator, job: dict[str, Any]) -> dict[str, Any]:
    return dict((await operator.http.get(job["urls"]["self"])).json())


async def _completes(operator: Operator, job: dict[str, Any]) -> None:
    await _ends(operator, job, "completed")


async def _ends(operator: Operator, job: dict[str, Any], status: str) -> None:
    async def there() -> bool:
        return bool((await _job(operator, job))["status"] == status)

    await until(there)
