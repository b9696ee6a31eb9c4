"""Worker processes: signals at any instant, crashes, and what RQ's own command line shows of them."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis
from rq.registry import StartedJobRegistry

from tests.rq.support.deliveries import a_job, deliver, eventually, rq_queue
from tests.rq.support.working import WorkerProcess, wrote
from workers.names import QUEUES, rq_id

LISTS = [f"rq:queue:{queue}{suffix}" for queue in QUEUES for suffix in ("", ":intermediate")]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "said"


def rq(url: str, *arguments: str) -> str:
    """What RQ's own command line prints."""
    program = Path(sys.executable).with_name("rq")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [program, *arguments, "--url", url], capture_output=True, text=True, check=True, timeout=30, env=environment
    )
    return done.stdout


def test_a_sigterm_at_any_instant_loses_nothing(redis_url: str, log: Path) -> None:
    # Given much more work than one worker can begin before it is told to stop
    client = Redis.from_url(redis_url)
    jobs = [a_job(priority) for _ in range(4000) for priority in ("high", "default", "low")]
    deliver(redis_url, jobs)
    chance = random.Random(7)  # noqa: S311 - instants, not secrets

    # When twenty workers, two at a time, each get a SIGTERM at a random instant
    for _ in range(10):
        already = len(wrote(log, "ran"))
        with (
            WorkerProcess(redis_url, log, "--seconds", "0.003") as first,
            WorkerProcess(redis_url, log, "--seconds", "0.003") as second,
        ):
            for worker in (first, second):
                worker.wait_until_up()
            first.wait_for("ran", already + chance.randrange(1, 400))
            first.send(signal.SIGTERM)
            second.send(signal.SIGTERM)
            assert (first.wait(), second.wait()) == (0, 0)
        assert not any(client.llen(name) for name in LISTS if name.endswith("intermediate"))

    # Then each job has been run once or waits still
    ran = wrote(log, "ran")
    waiting = {one.decode() for name in LISTS for one in client.lrange(name, 0, -1)}
    assert set(Counter(ran).values()) == {1}
    assert {job.id for job in jobs if rq_id(job) not in waiting} == set(ran)
    assert waiting, "the workers were too fast for this test"
    assert not client.smembers("rq:workers")


def test_two_workers_side_by_side_run_everything_once(redis_url: str, log: Path) -> None:
    jobs = [a_job() for _ in range(1000)]
    deliver(redis_url, jobs)

    with WorkerProcess(redis_url, log, "--burst") as one, WorkerProcess(redis_url, log, "--burst") as other:
        assert (one.wait(), other.wait()) == (0, 0)

    assert sorted(wrote(log, "ran")) == sorted(job.id for job in jobs)


def test_a_second_signal_does_not_wait_for_the_grace(redis_url: str, log: Path) -> None:
    deliver(redis_url, [a_job()])
    with WorkerProcess(redis_url, log, "--seconds", "60", "--grace", "60") as worker:
        worker.wait_for("begun")
        worker.send(signal.SIGTERM)
        eventually(lambda: "worker_stopping" in log.with_suffix(".out").read_text())
        # Within a second it counts as the same one, so it is sent until it counts, and never after that:
        # a worker that has ended its work no longer catches it.
        eventually(lambda: wrote(log, "released") or worker.send(signal.SIGINT))
        assert worker.wait() == 0


def test_a_killed_worker_leaves_nothing_that_another_does_not_clean_up(redis_url: str, log: Path) -> None:
    # Given a worker that is killed with sixteen jobs in hand
    jobs = [a_job() for _ in range(20)]
    deliver(redis_url, jobs)
    client = Redis.from_url(redis_url)
    with WorkerProcess(redis_url, log, "--seconds", "60") as worker:
        started = StartedJobRegistry("rag_processing", connection=client)
        eventually(lambda: started.get_job_count(cleanup=False) == 16)
        worker.send(signal.SIGKILL)
        worker.wait()
    assert len(rq_queue(client).job_ids) == 4

    # When its heartbeats have run out (a minute, which is not waited for) and another worker comes
    for member in client.zrange("rq:wip:rag_processing", 0, -1):
        client.zadd("rq:wip:rag_processing", {member: 1})
    [dead] = client.smembers("rq:workers")
    client.delete(dead)
    with WorkerProcess(redis_url, log) as other:
        # Then it forgets what lay there, and runs what waited
        eventually(lambda: started.get_job_count(cleanup=False) == 0)
        eventually(lambda: dead not in client.smembers("rq:workers"))
        other.wait_for("ran", 4)
    assert client.zcard("rq:failed:rag_processing") == 0
    assert len(wrote(log, "begun")) == 20, "what had begun is the database's business"


def test_rq_info_shows_the_truth(redis_url: str, log: Path) -> None:
    deliver(redis_url, [a_job() for _ in range(16)])
    client = Redis.from_url(redis_url)
    with WorkerProcess(redis_url, log, "--seconds", "60", "--concurrency", "20") as worker:
        started = StartedJobRegistry("rag_processing", connection=client)
        eventually(lambda: started.get_job_count(cleanup=False) == 16)
        shown = rq(redis_url, "info", "--raw")
        assert "queue rag_processing 0, 16 executing, 0 finished, 0 failed" in shown
        assert f"{worker.process.pid}) busy rag_processing_high, rag_processing, rag_processing_low" in shown

        rq(redis_url, "suspend")
        eventually(lambda: ") suspended rag_processing_high" in rq(redis_url, "info", "--raw"))
        rq(redis_url, "resume")
        eventually(lambda: ") busy rag_processing_high" in rq(redis_url, "info", "--raw"))
