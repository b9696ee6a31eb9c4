"""What a job may rely on, the same in both modes and on both databases; a crash is a SIGKILL of a real process."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.behaviour.checks import assert_every_step_was_committed_once
from tests.behaviour.conftest import Service
from tests.support.stack import is_gapless

MODEL_STEPS = ("signal", "validation", "insight")

pytestmark = pytest.mark.timeout(180)


def assert_ended_once(service: Service, job_id: str, status: str) -> dict:
    """One ending, no gap in the events, and an episode if and only if it completed."""
    job = service.stack.wait_for(job_id)
    assert job["status"] == status, job
    events = service.stack.events(job_id)
    assert is_gapless(events)
    assert [event["event"] for event in events if event["event"] in {"completed", "failed", "cancelled"}] == [status]
    episodes = service.stack.http.get(f"/api/projects/{job['project_id']}/episodes").json()["items"]
    saved = [episode["number"] for episode in episodes if episode["job_id"] == job_id]
    assert saved == ([job["result"]["episode_number"]] if status == "completed" else [])
    return job


def test_a_job_runs_once_and_shows_every_step(service: Service) -> None:
    service.start()

    job = service.stack.submit()
    ended = assert_ended_once(service, job["job_id"], "completed")

    assert ended["backend"] == service.mode
    assert ended["progress"] == 100
    assert {step["name"]: step["status"] for step in ended["steps"]} == {
        **dict.fromkeys(("snapshot", "doc_ingest", "context", "signal", "validation", "index", "insight"), "completed"),
        "external": "skipped",
    }
    assert [service.provider.count(step, job["job_id"]) for step in MODEL_STEPS] == [1, 1, 1]


def test_a_job_that_is_delivered_again_and_again_runs_once(service: Service) -> None:
    service.stack.settings |= {"BACKGROUND_MAX_CONCURRENCY": "4", "WORKER_CONCURRENCY": "4"}
    service.start()
    apis = (service.stack.http, service.start_another_runner())
    service.provider.hold("insight")

    with ThreadPoolExecutor(8) as callers:
        running = list(callers.map(lambda number: service.stack.submit(via=apis[number % 2]), range(8)))
        service.provider.wait_until_held("insight", 8)
        waiting = list(callers.map(lambda number: service.stack.submit(via=apis[number % 2]), range(24)))
    job_ids = [job["job_id"] for job in running + waiting]
    deliver_again(service, job_ids)
    for wave in (1, 2, 3):  # each time both runners have room at the same moment, and the same jobs wait for both
        service.provider.wait_for_calls(8 * wave, "insight")
        service.provider.wait_until_held("insight", 8)
        service.provider.release()
        service.provider.hold("insight")
    service.provider.release()

    for job_id in job_ids:
        assert_ended_once(service, job_id, "completed")
        assert claims_told(service, job_id) == 1
        assert [service.provider.count(step, job_id) for step in MODEL_STEPS] == [1, 1, 1]


def claims_told(service: Service, job_id: str) -> int:
    """How often a job was claimed: a claim that another one overtakes at once calls no model, but has its event."""
    events = service.stack.events(job_id)
    return sum(event["event"] == "status" and event["data"]["status"] == "running" for event in events)


def deliver_again(service: Service, job_ids: list[str]) -> None:
    """More hints for the same jobs: RQ entries by hand.

    In-process nobody need do anything for that: a hint names no job. Each submission to a process, and each
    end of a job there, has its runner pull whatever waits, what was delivered to the other process too.
    """
    if service.mode == "rq":
        from redis import Redis  # noqa: PLC0415 - a test of both modes
        from rq import Queue  # noqa: PLC0415
        from rq.serializers import JSONSerializer  # noqa: PLC0415

        with Redis.from_url(service.stack.settings["REDIS_URL"]) as client:
            queue = Queue("rag_processing", connection=client, serializer=JSONSerializer)
            for job_id, number in itertools.product(job_ids, range(20, 23)):
                rq_id = f"{job_id}-{number}"
                queue.enqueue_call("workers.entrypoints.run_job", (job_id,), job_id=rq_id, timeout=-1, at_front=True)


def test_a_waiting_job_that_is_cancelled_never_runs(service: Service) -> None:
    service.stack.settings["BACKGROUND_MAX_CONCURRENCY"] = "1"
    service.provider.hold("signal")
    service.start(runs_jobs=False)
    first = service.stack.submit("first")
    if service.mode == "background_tasks":
        service.provider.wait_until_held("signal")
    waiting = service.stack.submit("waiting")

    answer = service.stack.http.post(f"/api/generation/{waiting['job_id']}/cancel")
    assert answer.status_code == 202
    assert service.stack.http.post(f"/api/generation/{waiting['job_id']}/cancel").status_code == 200

    if service.mode == "rq":
        service.stack.worker()
    service.provider.release()
    assert_ended_once(service, first["job_id"], "completed")
    assert_ended_once(service, waiting["job_id"], "cancelled")
    assert service.provider.count(job_id=waiting["job_id"]) == 0


def test_a_running_job_that_is_cancelled_stops_within_two_seconds(service: Service) -> None:
    service.provider.hold("signal")
    service.start()
    job = service.stack.submit()
    [call] = service.provider.wait_until_held("signal")

    assert service.stack.http.post(f"/api/generation/{job['job_id']}/cancel").status_code == 202

    service.provider.wait_for(lambda: call.outcome == "disconnected", timeout_seconds=10)  # 2 s, but on a busy machine
    assert_ended_once(service, job["job_id"], "cancelled")


def test_a_job_of_a_killed_process_goes_on_from_its_last_committed_step(service: Service) -> None:
    service.provider.hold("validation")
    service.start()
    job = service.stack.submit()
    service.provider.wait_until_held("validation")
    seen = list(itertools.islice(service.stack.follow(job["job_id"]), 8))

    service.crash()
    service.provider.release()
    service.restart_runner()

    ended = assert_ended_once(service, job["job_id"], "completed")
    assert ended["attempt"] == 1
    assert [service.provider.count(step, job["job_id"]) for step in MODEL_STEPS] == [1, 2, 1]
    resumed = seen + service.stack.events(job["job_id"], after=seen[-1]["id"])
    assert is_gapless(resumed)
    assert resumed == service.stack.events(job["job_id"])


def test_a_job_that_runs_too_long_fails_with_its_reason(service: Service) -> None:
    service.stack.settings["JOB_TIMEOUT_SECONDS"] = "1.5"
    service.provider.hold("signal")
    service.start()

    job = assert_ended_once(service, service.stack.submit()["job_id"], "failed")

    assert job["error"]["code"] == "job_timeout"


def test_a_permanent_failure_ends_the_job_at_the_first_call(service: Service) -> None:
    service.provider.fail("signal", "unauthorized", times=None)
    service.start()

    job = assert_ended_once(service, service.stack.submit()["job_id"], "failed")

    assert job["error"]["retryable"] is False
    assert service.provider.count(job_id=job["job_id"]) == 1


def test_a_transient_failure_is_tried_again_until_it_works(service: Service) -> None:
    service.provider.fail("validation", "bad_gateway", times=2)
    service.start()

    job = assert_ended_once(service, service.stack.submit()["job_id"], "completed")

    assert job["attempt"] == 3
    assert [service.provider.count(step, job["job_id"]) for step in MODEL_STEPS] == [1, 3, 1]


def test_a_process_that_is_told_to_end_gives_its_job_back_at_its_last_step(service: Service) -> None:
    service.provider.hold("validation")
    service.start()
    job = service.stack.submit()
    service.provider.wait_until_held("validation")

    assert service.end() == 0
    service.provider.release()
    service.restart_runner()

    ended = assert_ended_once(service, job["job_id"], "completed")
    assert ended["attempt"] == 1
    assert [service.provider.count(step, job["job_id"]) for step in MODEL_STEPS] == [1, 2, 1]


def test_a_process_frozen_past_its_lease_writes_nothing_more(service: Service) -> None:
    service.provider.hold("validation")
    service.start()
    job = service.stack.submit()
    service.provider.wait_until_held("validation")

    service.freeze()
    service.start_another_runner()
    service.provider.wait_until_held("validation", count=2)
    service.provider.release()
    if service.mode == "rq":
        service.stack.wait_for(job["job_id"], "completed")
    else:
        service.provider.wait_for_calls(1, "insight")
    service.thaw()
    taken_away = f"Job {job['job_id']} was taken away"
    service.stack.until(lambda: service.stack.has_logged(service.runner_name, taken_away), "the thawed process knows")

    assert_ended_once(service, job["job_id"], "completed")
    assert_every_step_was_committed_once(service.stack, service.provider, job["job_id"])
    assert [service.provider.count(step, job["job_id"]) for step in MODEL_STEPS] == [1, 2, 1]


def test_fifty_jobs_at_once_in_one_project_get_the_episodes_one_to_fifty(service: Service) -> None:
    service.stack.settings |= {
        "BACKGROUND_MAX_CONCURRENCY": "50",
        "WORKER_CONCURRENCY": "50",
        "JOB_LEASE_SECONDS": "15",
    }
    service.start()
    service.provider.hold("insight")

    with ThreadPoolExecutor(10) as callers:
        jobs = list(callers.map(lambda number: service.stack.submit(f"title {number}", project="fifty"), range(50)))
    service.provider.wait_until_held("insight", len(jobs), timeout_seconds=60)
    service.provider.release()
    for job in jobs:
        service.stack.wait_for(job["job_id"], "completed", seconds=120)

    page = service.stack.http.get("/api/projects/fifty/episodes?limit=100").json()["items"]
    assert sorted(episode["number"] for episode in page) == list(range(1, 51))
    assert {episode["job_id"] for episode in page} == {job["job_id"] for job in jobs}
    assert service.provider.count("insight") == 50
