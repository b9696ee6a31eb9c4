"""Deliveries for tests: jobs as values, a backend, and what RQ itself says of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import Job, Priority
from scripts.embedded.waiting import wait_until
from workers.names import rq_id
from workers.rq_adapter import RqBackend

DEADLINE_SECONDS = 20.0


def a_job(priority: Priority = "default", *, delivery: int = 1) -> Job:
    """A pending job that has just been accepted; its request is what must never be seen in Redis."""
    now = datetime.now(UTC)
    return Job(
        id=new_job_id(),
        kind="generation",
        recipe="script",
        project_id="p1",
        user_id="ana",
        request={"title": "the secret of the novel"},
        priority=priority,
        backend="rq",
        status="pending",
        fence=0,
        seq=1,
        failures=0,
        max_attempts=4,
        steps_since_claim=0,
        claims=0,
        holder=None,
        lease_until=None,
        due_at=None,
        delivery=delivery,
        delivered_at=now,
        progress=0.0,
        budget_tokens=None,
        input_tokens=0,
        output_tokens=0,
        saved_tokens=0,
        error=None,
        result=None,
        created_at=now,
        started_at=None,
        completed_at=None,
    )


@contextmanager
def a_backend(url: str, *, timeout_seconds: float = 1.0) -> Iterator[RqBackend]:
    backend = RqBackend(url, timeout_seconds=timeout_seconds)
    yield backend
    backend.close()


def deliver(url: str, jobs: Sequence[Job]) -> None:
    """Deliver these jobs and return when they are in Redis."""
    traces = [f"rq:job:{rq_id(job)}" for job in jobs]
    with a_backend(url) as backend, Redis.from_url(url) as client:
        backend.deliver(jobs)
        eventually(lambda: client.exists(*traces) == len(jobs), "not all were delivered")


def rq_queue(client: Any, name: str = "rag_processing") -> Queue:
    """The queue as RQ sees it."""
    return Queue(name, connection=client, serializer=JSONSerializer)


def plant(client: Any, rq_id: str, payload: bytes, queue: str = "rag_processing", **fields: str) -> None:
    """Put an entry into a queue as someone with access to Redis could."""
    client.hset(f"rq:job:{rq_id}", mapping={"data": payload, "origin": queue, "status": "queued", **fields})
    client.rpush(f"rq:queue:{queue}", rq_id)


def eventually(condition: Any, what: str = "it never came true") -> None:
    """Wait for `condition`; fail at the deadline."""
    assert wait_until(condition, DEADLINE_SECONDS), what
