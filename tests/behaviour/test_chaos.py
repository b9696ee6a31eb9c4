"""Processes are killed again and again: every job ends once, no committed step runs again, no event is missing."""

import pytest

from tests.behaviour.checks import MODEL_STEPS, assert_every_step_was_committed_once, assert_one_episode_each
from tests.behaviour.conftest import Service

pytestmark = pytest.mark.timeout(300)

_JOBS = 20


def test_jobs_survive_a_kill_in_the_midst_of_each_model_call(service: Service) -> None:
    service.stack.settings |= {"WORKER_CONCURRENCY": "3", "BACKGROUND_MAX_CONCURRENCY": "3"}
    for step in MODEL_STEPS:
        service.provider.hold(step)
    service.start()
    service.start_another_runner()
    accepted = [service.stack.submit(f"title {number}", project="chaos", max_attempts=20) for number in range(_JOBS)]

    for step in MODEL_STEPS:
        service.provider.wait_until_held(step, count=4)
        service.crash()
        service.provider.release(step)
        service.restart_runner()

    for job in accepted:
        assert service.stack.wait_for(job["job_id"], seconds=120)["status"] == "completed"
        assert_every_step_was_committed_once(service.stack, service.provider, job["job_id"])
    assert_one_episode_each(service.stack, "chaos", [job["job_id"] for job in accepted])
