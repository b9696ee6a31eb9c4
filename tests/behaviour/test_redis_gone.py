"""With Redis stopped, frozen or empty, POST answers as ever, and every job runs once Redis is back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.stack import Stack, is_gapless, stack

pytestmark = pytest.mark.timeout(180)

_SOON_SECONDS = 1.0


@pytest.fixture
def durable(database_url: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    """API and one worker on a Redis of this test's own, with the offline drafter."""
    settings = {"USE_DURABLE_WORKER": "true", "REDIS_URL": redis_server.url}
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        running.wait_for(running.submit("before")["job_id"], "completed")
        yield running


def submit_soon(service: Stack, title: str) -> str:
    """A submission whose answer came in time: the best of three, since the machine may be busy with others."""
    taken = []
    for attempt in range(3):
        began = time.monotonic()
        job_id = service.submit(title, key=f"{title}-{attempt}")["job_id"]
        taken.append(time.monotonic() - began)
        if taken[-1] < _SOON_SECONDS:
            return str(job_id)
    raise AssertionError(f"answers took {taken} s")


def assert_runs(service: Stack, job_ids: list[str]) -> None:
    for job_id in job_ids:
        service.wait_for(job_id, "completed")
        assert is_gapless(service.events(job_id))


def test_jobs_accepted_while_redis_is_stopped_run_when_it_is_back_empty(
    durable: Stack, redis_server: EmbeddedRedis
) -> None:
    redis_server.stop()

    accepted = [submit_soon(durable, f"stopped {number}") for number in range(5)]
    assert {durable.job(job_id)["status"] for job_id in accepted} == {"pending"}
    assert durable.http.get("/readyz").status_code == 200

    redis_server.start()
    assert_runs(durable, accepted)


def test_jobs_accepted_while_redis_is_frozen_run_when_it_thaws(durable: Stack, redis_server: EmbeddedRedis) -> None:
    redis_server.freeze()

    accepted = [submit_soon(durable, f"frozen {number}") for number in range(5)]

    redis_server.thaw()
    assert_runs(durable, accepted)


def test_waiting_jobs_survive_a_redis_that_forgets_everything(durable: Stack, redis_server: EmbeddedRedis) -> None:
    durable.children["worker"].stop()
    accepted = [durable.submit(f"waiting {number}")["job_id"] for number in range(5)]

    redis_server.kill()
    redis_server.start()
    durable.worker()

    assert_runs(durable, accepted)
