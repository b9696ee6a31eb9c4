"""Processes are killed again and again: every job ends once, no committed step runs again, no event is missing."""

from collections import Counter

import pytest

from tests.behaviour.conftest import Service
from tests.support.stack import is_gapless

pytestmark = pytest.mark.timeout(300)

_JOBS = 20
_MODEL_STEPS = ("signal", "validation", "insight")


def test_jobs_survive_a_kill_in_the_midst_of_each_model_call(service: Service) -> None:
    service.stack.settings |= {"WORKER_CONCURRENCY": "3", "BACKGROUND_MAX_CONCURRENCY": "3"}
    for step in _MODEL_STEPS:
        service.provider.hold(step)
    service.start()
    service.start_another_runner()
    accepted = [service.stack.submit(f"title {number}", project="chaos", max_attempts=20) for number in range(_JOBS)]

    for step in _MODEL_STEPS:
        service.provider.wait_until_held(step, count=4)
        service.crash()
        service.provider.release(step)
        service.restart_runner()

    for job in accepted:
        assert service.stack.wait_for(job["job_id"], seconds=120)["status"] == "completed"
        assert_every_step_was_committed_once(service, job["job_id"])
    page = service.stack.http.get("/api/projects/chaos/episodes?limit=100").json()["items"]
    assert sorted(episode["number"] for episode in page) == list(range(1, _JOBS + 1))
    assert {episode["job_id"] for episode in page} == {job["job_id"] for job in accepted}


def assert_every_step_was_committed_once(service: Service, job_id: str) -> None:
    events = service.stack.events(job_id)
    assert is_gapless(events)
    committed = Counter(
        event["data"]["step"]
        for event in events
        if event["event"] == "step" and event["data"]["status"] in {"completed", "skipped"}
    )
    assert set(committed.values()) == {1}
    assert len(committed) == 8
    assert [event["event"] for event in events].count("completed") == 1
    for step in _MODEL_STEPS:
        starts = [event["data"] for event in events if event["event"] == "step" and event["data"]["step"] == step]
        running = sum(start["status"] == "running" for start in starts)
        assert service.provider.count(step, job_id) <= running
