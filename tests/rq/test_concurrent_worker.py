"""The concurrent worker inside this process, against a real Redis."""

import asyncio
import json
import pickle
import zlib
from typing import Any

import pytest
from redis import Redis
from rq import Worker
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job as RqJob
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from generation_service.jobs.model import JobId
from scripts.embedded.redis_server import EmbeddedRedis
from tests.rq.support.deliveries import a_job, deliver, plant, rq_queue
from tests.rq.support.working import Seen, until, working
from workers.names import rq_id
from workers.payload import ForeignEntry


class Gate:
    """A job body that holds until the test lets it go on."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _job_id: JobId) -> None:
        await self.open.wait()


def fetch(client: Any, id_in_rq: str) -> RqJob:
    return RqJob.fetch(id_in_rq, connection=client, serializer=JSONSerializer)


def states(client: Any) -> list[str]:
    return [worker.get_state() for worker in Worker.all(connection=client)]


def counts(client: Any) -> list[tuple[int, int]]:
    return [(worker.successful_job_count, worker.failed_job_count) for worker in Worker.all(connection=client)]


def executing(client: Any, queue: str = "rag_processing") -> list[str]:
    return StartedJobRegistry(queue, connection=client).get_job_ids(cleanup=False)


async def test_jobs_run_at_once_and_strictly_by_priority(redis_url: str) -> None:
    low, default, high = ([a_job(priority) for _ in range(3)] for priority in ("low", "default", "high"))
    deliver(redis_url, [*low, *default, *high])
    seen = Seen(gate := Gate())

    async with working(redis_url, seen.callbacks(), concurrency=6):
        await until(lambda: len(seen.ran) == 6)
        assert seen.ran == [job.id for job in [*high, *default]], "a low one began while a higher one waited"
        gate.open.set()
        await until(lambda: len(seen.ran) == 9)

    assert seen.ran[6:] == [job.id for job in low]


async def test_rq_sees_what_runs_and_what_has_ended(redis_url: str) -> None:
    jobs = [a_job() for _ in range(16)]
    deliver(redis_url, jobs)
    client = Redis.from_url(redis_url)
    seen = Seen(gate := Gate())

    async with working(redis_url, seen.callbacks(), concurrency=16) as worker:
        await until(lambda: len(executing(client)) == 16)
        [shown] = Worker.all(connection=client)
        assert (shown.name, shown.get_state(), shown.pid) == (worker.name, "busy", worker.pid)
        assert shown.queue_names() == ["rag_processing_high", "rag_processing", "rag_processing_low"]
        assert shown.get_current_job() is None, "rq-dashboard would unpickle it"
        assert client.hget(shown.key, "running") == b"16"
        assert fetch(client, rq_id(jobs[0])).get_status() == "started"
        assert client.llen("rq:queue:rag_processing:intermediate") == 0

        gate.open.set()
        await until(lambda: counts(client) == [(16, 0)])
        await until(lambda: states(client) == ["idle"])
        assert executing(client) == []
        assert len(FinishedJobRegistry("rag_processing", connection=client).get_job_ids()) == 16
        ended = fetch(client, rq_id(jobs[3]))
        assert ended.get_status() == "finished"
        assert ended.worker_name == worker.name
        assert ended.latest_result().type.name == "SUCCESSFUL"
        assert 0 < client.ttl(ended.key) <= 300

    assert Worker.all(connection=client) == []
    assert not client.keys("rq:execution*")


async def test_a_body_that_raises_is_failed_for_rq_and_harms_nobody(redis_url: str) -> None:
    bad, good = a_job(), a_job()
    deliver(redis_url, [bad, good])
    client = Redis.from_url(redis_url)

    async def body(job_id: JobId) -> None:
        if job_id == bad.id:
            raise RuntimeError("a bug")

    async with working(redis_url, Seen(body).callbacks()):
        await until(lambda: FailedJobRegistry("rag_processing", connection=client).get_job_ids() == [rq_id(bad)])
        await until(lambda: FinishedJobRegistry("rag_processing", connection=client).get_job_ids() == [rq_id(good)])

    assert rq_queue(client).job_ids == [], "RQ must retry nothing"


CALLS = {
    "json": zlib.compress(json.dumps(["os.system", None, ["touch {touched}"], {}]).encode()),
    "pickle": zlib.compress(pickle.dumps(("os.system", None, ("touch {touched}",), {}))),
}


@pytest.mark.parametrize("kind", CALLS)
async def test_a_foreign_entry_is_kept_and_never_called(
    redis_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr("os.system", called.append)
    client = Redis.from_url(redis_url)
    plant(client, "evil", CALLS[kind], failure_callback_name="os.system", status="queued")
    plant(client, "odd-\xff", CALLS[kind])
    job = a_job()
    deliver(redis_url, [job])
    seen = Seen()

    async with working(redis_url, seen.callbacks()):
        await until(lambda: len(seen.foreign) == 2 and seen.ran == [job.id])
        await until(lambda: not client.keys("rq:job:evil") and not client.keys("rq:job:odd*"))
        await until(lambda: counts(client) == [(1, 2)])

    assert called == []
    assert {one.raw for one in seen.foreign} == {CALLS[kind]}
    assert rq_queue(client).job_ids == []
    assert client.llen("rq:queue:rag_processing:intermediate") == 0


async def test_a_foreign_entry_comes_again_until_it_is_kept(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    plant(client, "evil", CALLS["json"])
    kept: list[ForeignEntry] = []
    tries = 0

    async def keep(entry: ForeignEntry) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError("the database is away")
        kept.append(entry)

    async with working(redis_url, Seen().callbacks(on_foreign=keep), stale_seconds=1.0):
        await until(lambda: [entry.rq_id for entry in kept] == ["evil"])


async def test_a_tick_fires_the_schedules(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    seen = Seen()

    async with working(redis_url, seen.callbacks()):
        rq_queue(client).enqueue("workers.entrypoints.fire_schedules", job_id="tick-1")
        await until(lambda: seen.ticks == 1)

    assert (seen.ran, seen.foreign) == ([], [])


async def test_an_id_without_its_hash_is_executed_and_shown(redis_url: str) -> None:
    job = a_job()
    deliver(redis_url, [job])
    client = Redis.from_url(redis_url)
    client.delete(f"rq:job:{rq_id(job)}")
    seen = Seen(gate := Gate())

    async with working(redis_url, seen.callbacks()):
        await until(lambda: seen.ran == [job.id])
        await until(lambda: executing(client) == [rq_id(job)] and client.exists(f"rq:job:{rq_id(job)}"))
        assert fetch(client, rq_id(job)).args == [job.id]
        gate.open.set()


async def test_suspension_is_a_barrier(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    seen = Seen()

    async with working(redis_url, seen.callbacks()):
        await until(lambda: len(Worker.all(connection=client)) == 1)
        suspend(client)
        deliver(redis_url, [a_job() for _ in range(20)])
        await until(lambda: states(client) == ["suspended"])
        assert seen.ran == []
        assert len(rq_queue(client).job_ids) == 20

        resume(client)
        await until(lambda: len(seen.ran) == 20)
        await until(lambda: states(client) == ["idle"])


async def test_stop_job_reaches_the_one_job(redis_url: str) -> None:
    jobs = [a_job() for _ in range(3)]
    deliver(redis_url, jobs)
    client = Redis.from_url(redis_url)
    gates = {job.id: asyncio.Event() for job in jobs}

    async def body(job_id: JobId) -> None:
        await gates[job_id].wait()

    seen = Seen(body)

    async def on_stop(job_id: JobId) -> None:
        seen.stopped.append(job_id)
        gates[job_id].set()

    async with working(redis_url, seen.callbacks(on_stop=on_stop)):
        await until(lambda: len(executing(client)) == 3)
        send_stop_job_command(client, rq_id(jobs[1]), serializer=JSONSerializer)
        await until(lambda: fetch(client, rq_id(jobs[1])).get_status() == "stopped")
        assert seen.stopped == [jobs[1].id]
        assert len(executing(client)) == 2
        for gate in gates.values():
            gate.set()


async def test_commands_that_make_no_sense_are_ignored(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    seen = Seen()

    async with working(redis_url, seen.callbacks()) as worker:
        await until(lambda: client.pubsub_numsub(worker.pubsub_channel_name)[0][1] == 1)
        for nonsense in (b"\xff", b"[]", b"{}", b'{"command": "kill-horse"}', b'{"command": "stop-job", "job_id": 7}'):
            client.publish(worker.pubsub_channel_name, nonsense)
        job = a_job()
        deliver(redis_url, [job])
        await until(lambda: seen.ran == [job.id])


async def test_the_shutdown_command_ends_the_worker(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    async with working(redis_url, Seen().callbacks()) as worker:
        await until(lambda: client.pubsub_numsub(worker.pubsub_channel_name)[0][1] == 1)
        send_shutdown_command(client, worker.name)
        await until(lambda: Worker.all(connection=client) == [])


async def test_a_stopping_worker_gives_back_what_outlasts_the_grace(redis_url: str) -> None:
    deliver(redis_url, [a_job() for _ in range(5)])
    client = Redis.from_url(redis_url)
    seen = Seen(gate := Gate())

    async def release_all() -> None:
        seen.releases += 1
        gate.open.set()

    async with working(redis_url, seen.callbacks(release_all=release_all), concurrency=3, shutdown_grace_seconds=0.2):
        await until(lambda: len(executing(client)) == 3)

    assert seen.releases == 1
    assert executing(client) == []
    assert len(rq_queue(client).job_ids) == 2, "what was not begun waits for the next worker"


async def test_a_job_that_hears_nothing_is_cancelled_at_the_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.concurrent_worker._CANCEL_SECONDS", 0.1)
    job = a_job()
    deliver(redis_url, [job])
    client = Redis.from_url(redis_url)
    seen = Seen(Gate())

    async with working(redis_url, seen.callbacks(), shutdown_grace_seconds=0.1):
        await until(lambda: executing(client) == [rq_id(job)])

    assert fetch(client, rq_id(job)).get_status() == "stopped"


async def test_a_burst_ends_when_the_queues_are_empty_and_nothing_runs(redis_url: str) -> None:
    first, second = a_job(), a_job()
    deliver(redis_url, [first])

    async def body(job_id: JobId) -> None:
        if job_id == first.id:  # what a job delivers belongs to the burst
            await asyncio.to_thread(deliver, redis_url, [second])

    seen = Seen(body)
    async with working(redis_url, seen.callbacks(), burst=True) as worker:
        await until(worker._stopping.is_set)

    assert seen.ran == [first.id, second.id]


async def test_a_worker_waits_for_a_redis_that_is_not_there(redis_server: EmbeddedRedis) -> None:
    redis_server.kill()
    seen = Seen()
    async with working(redis_server.url, seen.callbacks()):
        redis_server.start()
        job = a_job()
        deliver(redis_server.url, [job])
        await until(lambda: seen.ran == [job.id])


async def test_running_jobs_and_the_worker_survive_a_redis_that_comes_back_empty(redis_server: EmbeddedRedis) -> None:
    # Given a worker that holds two jobs
    jobs = [a_job() for _ in range(2)]
    deliver(redis_server.url, jobs)
    seen = Seen(gate := Gate())
    async with working(redis_server.url, seen.callbacks()) as worker:
        await until(lambda: len(seen.ran) == 2)

        # When Redis crashes and comes back with nothing
        redis_server.kill()
        redis_server.start()
        client = Redis.from_url(redis_server.url)

        # Then the worker is shown again, with what it runs and did, and goes on
        await until(lambda: [one.name for one in Worker.all(connection=client)] == [worker.name])
        await until(lambda: sorted(executing(client)) == sorted(rq_id(job) for job in jobs))
        await until(lambda: client.exists(f"rq:job:{rq_id(jobs[0])}"))
        assert fetch(client, rq_id(jobs[0])).args == [jobs[0].id]
        gate.open.set()
        await until(lambda: counts(client) == [(2, 0)])
        later = a_job()
        deliver(redis_server.url, [later])
        await until(lambda: seen.ran[2:] == [later.id])


async def test_a_worker_that_finds_itself_forgotten_enters_all_that_it_runs_at_once(
    redis_server: EmbeddedRedis,
) -> None:
    deliver(redis_server.url, first := [a_job(), a_job()])
    seen = Seen(gate := Gate())
    async with working(redis_server.url, seen.callbacks(), heartbeat_seconds=60):
        await until(lambda: len(seen.ran) == 2)
        redis_server.kill()
        redis_server.start()
        deliver(redis_server.url, second := [a_job()])

        client = Redis.from_url(redis_server.url)
        await until(lambda: sorted(executing(client)) == sorted(rq_id(job) for job in first + second))
        gate.open.set()


async def test_a_frozen_redis_holds_up_no_running_job(redis_server: EmbeddedRedis) -> None:
    deliver(redis_server.url, [a_job()])
    seen = Seen(gate := Gate())
    done = asyncio.Event()

    async def body(job_id: JobId) -> None:
        await gate(job_id)
        done.set()

    seen.body = body
    async with working(redis_server.url, seen.callbacks(), redis_timeout_seconds=5.0):
        await until(lambda: len(seen.ran) == 1)
        redis_server.freeze()
        gate.open.set()
        await asyncio.wait_for(done.wait(), 2.0)
        redis_server.thaw()
        # And what was popped in vain while it was frozen comes back by itself.
        client = Redis.from_url(redis_server.url)
        await until(lambda: FinishedJobRegistry("rag_processing", connection=client).count == 1)


async def test_a_full_redis_can_still_be_emptied(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    jobs = [a_job() for _ in range(30)]
    deliver(redis_url, jobs)
    client.config_set("maxmemory", 1)
    seen = Seen()
    try:
        async with working(redis_url, seen.callbacks()):
            await until(lambda: len(seen.ran) == 30)
            await until(lambda: client.llen("rq:queue:rag_processing:intermediate") == 0)
            client.config_set("maxmemory", 0)
            await until(lambda: counts(client) == [(30, 0)])
    finally:
        client.config_set("maxmemory", 0)


async def test_a_read_only_redis_is_waited_for(redis_server: EmbeddedRedis, caplog: pytest.LogCaptureFixture) -> None:
    client = Redis.from_url(redis_server.url)
    seen = Seen()
    async with working(redis_server.url, seen.callbacks()):
        await until(lambda: len(Worker.all(connection=client)) == 1)
        job = a_job()
        client.replicaof("127.0.0.1", 1)
        await until(lambda: "nothing is popped" in caplog.text)
        client.replicaof("NO", "ONE")
        deliver(redis_server.url, [job])
        await until(lambda: job.id in seen.ran)


async def test_what_a_killed_worker_popped_goes_back_to_its_queue_and_runs(redis_url: str) -> None:
    job = a_job()
    deliver(redis_url, [job])
    client = Redis.from_url(redis_url)
    client.lmove("rq:queue:rag_processing", "rq:queue:rag_processing:intermediate")
    seen = Seen()

    async with working(redis_url, seen.callbacks(), stale_seconds=1.0):
        await until(lambda: seen.ran == [job.id])

    assert client.llen("rq:queue:rag_processing:intermediate") == 0


async def test_what_a_killed_worker_ran_is_forgotten_without_callback_or_retry(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr("os.system", called.append)
    job = a_job()
    deliver(redis_url, [job])
    client = Redis.from_url(redis_url)
    client.delete("rq:queue:rag_processing")
    client.hset(f"rq:job:{rq_id(job)}", mapping={"retries_left": 3, "failure_callback_name": "os.system"})
    client.zadd("rq:wip:rag_processing", {f"{rq_id(job)}:abc": 1})
    client.sadd("rq:workers", "rq:worker:dead")
    client.sadd("rq:workers:rag_processing", "rq:worker:dead")

    async with working(redis_url, Seen().callbacks()):
        await until(lambda: client.zcard("rq:wip:rag_processing") == 0)
        assert not client.exists(f"rq:job:{rq_id(job)}")
        assert len(Worker.all_keys(connection=client)) == 1
        assert len(Worker.all_keys(queue=rq_queue(client))) == 1

    assert (called, rq_queue(client).job_ids) == ([], [])
    assert client.zcard("rq:failed:rag_processing") == 0


async def test_a_thread_that_breaks_ends_the_worker_loudly(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("workers.popping.read", broken)
    deliver(redis_url, [a_job()])

    with pytest.raises(LookupError):
        async with working(redis_url, Seen().callbacks()) as worker:
            await until(worker._stopping.is_set)
