"""What the RQ adapter writes, on a Redis made of Python: its logic alone; what Redis does is tested on a real one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from rq import Queue
from rq.serializers import JSONSerializer

from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import PRIORITIES, Job, Priority
from workers import rq_adapter
from workers.names import QUEUE_OF
from workers.rq_adapter import RqBackend


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(server_type="redis", version=(7, 0))


@pytest.fixture
def backend(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RqBackend]:
    monkeypatch.setattr(rq_adapter, "connect", lambda url, **_: FakeStrictRedis(server=server))
    made = RqBackend("redis://nowhere", timeout_seconds=1.0)
    yield made
    made.close()


def waiting_job(priority: Priority = "default", delivery: int = 1) -> Job:
    nothing: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    row = {"id": new_job_id(), "priority": priority, "backend": "rq", "status": "pending", "delivery": delivery}
    return Job(**(nothing | row | {"created_at": datetime.now(UTC), "request": {"title": "비밀"}}))


def delivered(server: FakeServer, priority: Priority) -> list[str]:
    return Queue(QUEUE_OF[priority], connection=FakeStrictRedis(server=server), serializer=JSONSerializer).job_ids


def deliver_and_wait(backend: RqBackend, *jobs: Job) -> None:
    backend.deliver(jobs)
    backend._thread.close(10.0)  # writes what is left


@pytest.mark.parametrize("priority", PRIORITIES)
def test_each_priority_has_its_queue_and_each_delivery_its_own_id(
    backend: RqBackend, server: FakeServer, priority: Priority
) -> None:
    job = waiting_job(priority, delivery=3)

    deliver_and_wait(backend, job)

    assert {name: delivered(server, name) for name in PRIORITIES if delivered(server, name)} == {
        priority: [f"{job.id}-3"]
    }


def test_a_payload_is_a_job_id_in_json_and_nothing_of_the_request(backend: RqBackend, server: FakeServer) -> None:
    job = waiting_job()

    deliver_and_wait(backend, job)

    client = FakeStrictRedis(server=server)
    stored = Queue(QUEUE_OF["default"], connection=client, serializer=JSONSerializer).jobs[0]
    assert (stored.func_name, list(stored.args), stored.kwargs) == ("workers.entrypoints.run_job", [job.id], {})
    assert stored.timeout == -1
    assert stored.retries_left is None
    assert "비밀".encode() not in b"".join(client.hgetall(stored.key).values())


def test_what_is_in_a_queue_is_not_missing_and_what_is_not_is(backend: RqBackend) -> None:
    there, gone = waiting_job(), waiting_job()
    deliver_and_wait(backend, there)

    has_arrived = backend.look()
    assert has_arrived(there.id, 1)
    assert not has_arrived(there.id, 2)
    assert not has_arrived(gone.id, 1)
