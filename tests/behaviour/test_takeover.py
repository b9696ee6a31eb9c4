"""A worker dies in the middle of a step while another one is alive: nobody has to restart anything."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.provider import Provider
from tests.support.stack import Stack, is_gapless, stack

pytestmark = pytest.mark.timeout(180)

_LEASE_SECONDS = 3.0


@pytest.fixture
def two_workers(database_url: str, redis_url: str, provider: Provider, tmp_path: Path) -> Iterator[Stack]:
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_url,
        **provider.settings,
        "JOB_LEASE_SECONDS": str(_LEASE_SECONDS),
    }
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        yield running


@pytest.mark.parametrize("step", ["signal", "insight"])
def test_a_second_worker_takes_over_from_a_killed_one_within_its_lease_and_ten_seconds(
    two_workers: Stack, provider: Provider, redis_url: str, step: str
) -> None:
    provider.hold(step)
    job = two_workers.submit()
    provider.wait_until_held(step)
    two_workers.worker("worker-2")
    two_workers.until(lambda: workers_seen(redis_url) == 2, "the second worker is there")
    reader = two_workers.follow(job["job_id"])
    seen = [next(reader) for _ in range(4)]

    two_workers.children["worker"].kill()
    killed_at = time.monotonic()
    provider.release()

    ended = two_workers.wait_for(job["job_id"], "completed")
    taken = time.monotonic() - killed_at
    committed = ("signal", "validation", "insight")[: ("signal", "validation", "insight").index(step)]
    assert [provider.count(name, job["job_id"]) for name in committed] == [1] * len(committed)
    assert provider.count(step, job["job_id"]) == 2
    assert len({call.key for call in provider.seen(step, job["job_id"])}) == 1
    assert ended["attempt"] == 1
    resumed = seen + two_workers.events(job["job_id"], after=seen[-1]["id"])
    assert is_gapless(resumed)
    assert taken < _LEASE_SECONDS + 10


def test_text_that_a_killed_worker_had_streamed_is_taken_back_by_the_step_that_runs_again(
    two_workers: Stack, provider: Provider
) -> None:
    provider.hold("insight")
    job = two_workers.submit()
    provider.wait_until_held("insight")
    two_workers.until(lambda: has_text(two_workers, job["job_id"]), "some text was committed")
    two_workers.children["worker"].kill()
    provider.release()
    two_workers.worker("worker-2")
    two_workers.wait_for(job["job_id"], "completed")

    events = two_workers.events(job["job_id"])
    again = next(event for event in events if event["data"].get("discard_after"))
    kept = [
        event["data"]["text"]
        for event in events
        if event["event"] == "token" and not again["data"]["discard_after"] < event["id"] < again["id"]
    ]
    result = two_workers.http.get(f"/api/generation/{job['job_id']}/result?format=markdown").text
    assert again["data"]["step"] == "insight"
    assert "".join(kept) == result


def workers_seen(redis_url: str) -> int:
    """How many workers have told Redis that they are there."""
    with Redis.from_url(redis_url) as client:
        return int(client.scard("rq:workers"))


def has_text(running: Stack, job_id: str) -> bool:
    """Follow a job that still runs until its first text."""
    return any(event["event"] == "token" for event in running.follow(job_id))
