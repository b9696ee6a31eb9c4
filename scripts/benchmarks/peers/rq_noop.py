"""Stock RQ with nothing to do: jobs that call a function of the interpreter, run by one `rq worker`.

`time.monotonic` is imported in every worker already, so a fork of RQ's pays for nothing but RQ itself.
"""

import sys
from pathlib import Path

from redis import Redis
from rq import Queue
from rq.job import Job

from scripts.benchmarks.ground import Ground
from scripts.benchmarks.running import Running
from scripts.embedded.children import Program

PEER = "rq worker, no-op"
_QUEUE = "benchmark"
_MOST_SECONDS = 300.0


def per_second(ground: Ground, count: int) -> float:
    """Jobs a second of one `rq worker --burst`, from the first start to the last end; enqueued before it starts."""
    ground.empty_redis()
    connection = Redis.from_url(ground.redis_url)
    try:
        queue = Queue(_QUEUE, connection=connection)
        enqueued = [queue.enqueue("time.monotonic") for _ in range(count)]
        _work(ground)
        jobs = Job.fetch_many([job.id for job in enqueued], connection=connection)
        started = [job.started_at for job in jobs if job and job.started_at]
        ended = [job.ended_at for job in jobs if job and job.ended_at]
        if len(ended) < count:
            raise RuntimeError(f"rq worker ended {len(ended)} of {count} jobs")
        return count / (max(ended) - min(started)).total_seconds()
    finally:
        connection.close()


def _work(ground: Ground) -> None:
    command = [str(Path(sys.executable).with_name("rq")), "worker", "--burst", "--url", ground.redis_url, _QUEUE]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(ground.folder)}
    log = ground.folder / "rq-worker.log"
    worker = Running(Program(command=command, environment=environment, folder=ground.folder, log=log), "rq worker")
    try:
        worker.child.wait(_MOST_SECONDS)
    finally:
        worker.kill()
