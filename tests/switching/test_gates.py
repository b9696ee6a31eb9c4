"""The gates of a roll-forward: each passes where all is well, and fails on what it is there for."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import insert

from generation_service.database import Database, db_now
from generation_service.database.tables import counters, service_state
from generation_service.jobs.claims import PAUSED
from generation_service.jobs.model import Job, NewJob, Submitted
from generation_service.switching.asked import CRITERIA
from generation_service.switching.canary import CANARY, Canary, CanaryKind
from generation_service.switching.gates import Gates
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.switchovers import ROLLBACK, Switching, switching
from tests.support.toy import until
from workers.probe import write_and_read_back

SAID = dict.fromkeys(CRITERIA, "seen to")


class Worker:
    """Takes deliveries, and runs them as a worker of `backend` would."""

    def __init__(self, service: Switching, backend: str = "rq") -> None:
        self.service = service
        self.backend = backend
        self.tasks: list[asyncio.Task[None]] = []
        self.delivered: list[Job] = []

    def deliver(self, jobs: Iterable[Job]) -> None:
        self.delivered += jobs
        for job in self.delivered:
            run = self.service.jobs.core.executor.execute(job.id, self.backend)
            self.tasks.append(asyncio.create_task(run))


@pytest.fixture
async def service(database: Database, redis_url: str) -> AsyncIterator[Switching]:
    async with switching(database, redis_url) as built:
        built.jobs.core.kinds[CANARY] = CanaryKind()
        await built.has("worker")
        yield built


async def look(
    service: Switching, delivery: Any, url: str, patience: float = 5.0, **said: str | None
) -> dict[str, bool]:
    core = service.jobs.core
    gates = Gates(
        database=core.database,
        probe=partial(write_and_read_back, url, timeout_seconds=0.5),
        canary=Canary(jobs=core.jobs, delivery=delivery, patience_seconds=patience),
        ledger=service.jobs.ledger,
        patience_seconds=patience,
    )
    return {gate.name: gate.passed for gate in await gates.check({**SAID, **said})}


async def test_all_pass_where_all_is_well(service: Switching, redis_url: str) -> None:
    worker = Worker(service)

    passed = await look(service, worker, redis_url)

    assert passed == dict.fromkeys([*CRITERIA, "redis", "workers", "canary", "ledger"], True)
    (canary,) = worker.delivered
    assert (canary.kind, canary.backend, canary.priority, canary.user_id) == ("canary", "rq", "high", "system")
    await asyncio.gather(*worker.tasks)


async def test_a_canary_reaches_rq_while_jobs_run_in_process(service: Switching, redis_url: str) -> None:
    await service.switchover.rollback(ROLLBACK)
    worker = Worker(service)

    assert (await look(service, worker, redis_url))["canary"]
    await asyncio.gather(*worker.tasks)


@pytest.mark.parametrize("name", CRITERIA)
async def test_what_nobody_has_seen_to_does_not_pass(service: Switching, redis_url: str, name: str) -> None:
    worker = Worker(service)

    passed = await look(service, worker, redis_url, **{name: "  "})

    assert [one for one, has_passed in passed.items() if not has_passed] == [name]
    await asyncio.gather(*worker.tasks)


async def test_without_redis_workers_are_not_waited_for(service: Switching) -> None:
    worker = Worker(service)

    passed = await look(service, worker, "redis://127.0.0.1:1/0", patience=600.0)

    assert (passed["redis"], passed["workers"], passed["canary"], passed["ledger"]) == (False, False, False, True)
    assert worker.delivered == []


async def test_a_redis_that_takes_no_writes_does_not_pass(service: Switching, redis_server: EmbeddedRedis) -> None:
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory", "1")

    assert not (await look(service, Worker(service), redis_server.url))["redis"]


async def test_workers_on_standby_are_waited_for_and_then_do_not_pass(service: Switching, redis_url: str) -> None:
    await service.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE processes SET state = 'standby' WHERE role = 'worker'")
    )

    passed = await look(service, Worker(service), redis_url, patience=0.5)

    assert (passed["workers"], passed["canary"]) == (False, False)


async def test_a_canary_that_nobody_runs_does_not_pass_and_is_cancelled(service: Switching, redis_url: str) -> None:
    worker = Worker(service, backend="background_tasks")  # no claim of it counts

    passed = await look(service, worker, redis_url, patience=0.5)

    assert not passed["canary"]
    (canary,) = worker.delivered
    assert (await service.jobs.job(canary)).status == "cancelled"
    await asyncio.gather(*worker.tasks)


async def test_nobody_waits_for_a_canary_while_everything_is_paused(service: Switching, redis_url: str) -> None:
    said = {"by": "ana", "reason": "upkeep"}
    await service.database.write(
        lambda connection: connection.execute(
            insert(service_state).values(name=PAUSED, value=said, updated_at=db_now())
        )
    )
    worker = Worker(service)

    assert not (await look(service, worker, redis_url, patience=600.0))["canary"]
    assert worker.delivered == []


async def test_a_ledger_that_is_not_clean_does_not_pass(
    service: Switching, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.gates._LEDGER_SECONDS", 0.0)
    await service.database.write(
        lambda connection: connection.execute(insert(counters).values(name="accepted", shard=99, value=1))
    )
    worker = Worker(service)

    assert not (await look(service, worker, redis_url))["ledger"]
    await asyncio.gather(*worker.tasks)


@pytest.mark.parametrize("when", ["submitting", "waiting"])
async def test_a_canary_that_is_not_waited_for_any_more_is_cancelled(
    service: Switching, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Whoever sent it is about to end: it would be left for workers that may never come back."""
    jobs = service.jobs.core.jobs
    submit = jobs.submit
    sent, committed, answered = [], asyncio.Event(), asyncio.Event()
    worker = Worker(service, backend="background_tasks")  # no claim of it counts

    async def answers_late(wanted: NewJob) -> Submitted:
        found = await submit(wanted)
        sent.append(found.job)
        committed.set()
        await answered.wait()
        return found

    async def is_delivered() -> bool:
        return bool(worker.delivered)

    monkeypatch.setattr(jobs, "submit", answers_late)
    sending = asyncio.create_task(Canary(jobs=jobs, delivery=worker, patience_seconds=600.0).send())
    await committed.wait()
    if when == "waiting":
        answered.set()
        await until(is_delivered)

    sending.cancel()
    asyncio.get_running_loop().call_soon(answered.set)
    await asyncio.wait([sending])

    assert sending.cancelled()
    assert (await service.jobs.job(sent[0])).status == "cancelled"
    await asyncio.gather(*worker.tasks)
