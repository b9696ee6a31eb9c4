"""Delivering to RQ, and looking for what was lost."""

import time
from collections.abc import Sequence
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from generation_service.jobs.model import JobId
from scripts.embedded.redis_server import EmbeddedRedis
from tests.rq.support.deliveries import a_backend, a_job, deliver, eventually, rq_queue
from workers.delivery import DeliveryThread, Entry
from workers.names import QUEUES, rq_id


def test_a_delivery_is_the_jobs_id_and_nothing_else(redis_url: str) -> None:
    job = a_job(delivery=3)

    deliver(redis_url, [job])

    client = Redis.from_url(redis_url)
    entry = RqJob.fetch(f"{job.id}-3", connection=client, serializer=JSONSerializer)
    assert (entry.func_name, entry.args, entry.kwargs) == ("workers.entrypoints.run_job", [job.id], {})
    assert (entry.timeout, entry.ttl, entry.retries_left, entry.description) == (-1, None, None, f"job {job.id}")
    assert b"secret" not in b"".join(client.hgetall(entry.key).values())
    assert client.ttl(entry.key) == -1, "a delivery must not expire while it waits"


def test_each_priority_has_its_queue_and_keeps_its_order(redis_url: str) -> None:
    jobs = [a_job(priority) for priority in ("low", "default", "high", "low", "high")]

    deliver(redis_url, jobs)

    client = Redis.from_url(redis_url)
    assert rq_queue(client, "rag_processing_high").job_ids == [rq_id(jobs[2]), rq_id(jobs[4])]
    assert rq_queue(client, "rag_processing").job_ids == [rq_id(jobs[1])]
    assert rq_queue(client, "rag_processing_low").job_ids == [rq_id(jobs[0]), rq_id(jobs[3])]
    with a_backend(redis_url) as backend:
        assert backend.queue_depths() == {"rag_processing_high": 2, "rag_processing": 1, "rag_processing_low": 2}


def test_many_deliveries_take_one_round_trip(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    deliver(redis_url, [a_job()])
    client.config_resetstat()

    deliver(redis_url, [a_job() for _ in range(300)])

    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 1


def test_a_frozen_redis_does_not_hold_up_a_delivery(redis_server: EmbeddedRedis) -> None:
    client = Redis.from_url(redis_server.url)
    with a_backend(redis_server.url, timeout_seconds=1.0) as backend:
        redis_server.freeze()
        began = time.monotonic()
        for _ in range(200):
            backend.deliver([a_job()])
        took = time.monotonic() - began
        redis_server.thaw()

        assert took < 0.5
        # What was dropped is recovery's business; what is delivered from now on arrives.
        eventually(lambda: backend.deliver([a_job()]) or backend.queue_depths()["rag_processing"] > 0)
    client.close()


def test_a_redis_that_is_away_is_not_asked_with_every_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.delivery._LONGEST_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr("workers.delivery._FIRST_PAUSE_SECONDS", 60.0)
    asked: list[int] = []

    def fail(entries: Sequence[Entry]) -> None:
        asked.append(len(entries))
        raise RedisTimeoutError

    thread = DeliveryThread(fail, most_pending=10)
    entry = Entry("a-1", JobId("a"), "high")
    thread.put([entry] * 11)  # more than may wait
    thread.put([entry])
    eventually(lambda: asked == [1])
    for _ in range(10):
        thread.put([entry])
    thread.close(5)

    assert asked == [1]


def test_deliveries_go_on_after_one_that_broke() -> None:
    sent: list[str] = []

    def break_once(entries: Sequence[Entry]) -> None:
        sent.extend(entry.rq_id for entry in entries)
        if len(sent) == 1:
            raise ZeroDivisionError

    thread = DeliveryThread(break_once, most_pending=10)
    thread.put([Entry("a-1", JobId("a"), "high")])
    eventually(lambda: sent == ["a-1"])
    thread.put([Entry("b-1", JobId("b"), "high")])
    thread.close(5)

    assert sent == ["a-1", "b-1"]


def test_deliveries_go_on_when_redis_comes_back(redis_server: EmbeddedRedis) -> None:
    redis_server.kill()
    with a_backend(redis_server.url) as backend:
        backend.deliver([a_job()])
        assert not backend.ping()
        redis_server.start()

        eventually(backend.ping)
        eventually(lambda: backend.deliver([a_job()]) or backend.queue_depths()["rag_processing"] > 0)


def test_a_delivery_is_missing_only_where_it_is_in_no_list_and_no_registry(redis_url: str) -> None:
    waiting, popped, started, lost, again = (a_job() for _ in range(5))
    deliver(redis_url, [waiting])
    client = Redis.from_url(redis_url)
    client.rpush("rq:queue:rag_processing_low:intermediate", rq_id(popped))
    client.zadd("rq:wip:rag_processing_high", {f"{rq_id(started)}:{uuid4().hex}": 1})
    client.rpush("rq:queue:rag_processing", f"{again.id}-0")  # an earlier delivery of the same job

    with a_backend(redis_url) as backend:
        has_arrived = backend.look()

    assert [has_arrived(job.id, 1) for job in (waiting, popped, started)] == [True] * 3
    assert [has_arrived(job.id, 1) for job in (lost, again)] == [False] * 2


def test_looking_for_missing_deliveries_cleans_nothing_up(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    abandoned = a_job()
    deliver(redis_url, [abandoned])
    client.delete("rq:queue:rag_processing")
    client.zadd("rq:wip:rag_processing", {f"{rq_id(abandoned)}:{uuid4().hex}": 1})

    with a_backend(redis_url) as backend:
        assert backend.look()(abandoned.id, 1)

    assert client.zcard("rq:wip:rag_processing") == 1
    assert client.zcard("rq:failed:rag_processing") == 0


def test_what_cannot_be_looked_up_is_not_called_missing(redis_server: EmbeddedRedis) -> None:
    redis_server.kill()
    with a_backend(redis_server.url) as backend:
        with pytest.raises(ConnectionError):
            backend.look()
        with pytest.raises(ConnectionError):
            backend.queue_depths()


def test_what_was_delivered_before_the_end_is_sent(redis_url: str) -> None:
    jobs = [a_job() for _ in range(1200)]

    with a_backend(redis_url) as backend:
        backend.deliver(jobs)

    client = Redis.from_url(redis_url)
    assert sum(len(rq_queue(client, queue).job_ids) for queue in QUEUES) == 1200


def test_a_queue_that_cannot_be_written_to_holds_up_no_other(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    client.set("rq:queue:rag_processing_high", "no list")
    jobs = [a_job(priority) for priority in ("high", "default", "low")]

    with a_backend(redis_url) as backend:
        backend.deliver(jobs)

    assert rq_queue(client, "rag_processing").job_ids == [rq_id(jobs[1])]
    assert rq_queue(client, "rag_processing_low").job_ids == [rq_id(jobs[2])]
