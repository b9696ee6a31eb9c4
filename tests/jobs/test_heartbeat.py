"""A heartbeat keeps the leases of jobs that can run, and of no others."""

import asyncio
import threading
import time
from datetime import datetime

import pytest
from sqlalchemy import Connection, select

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.errors import Fenced
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, until


def lease_until(connection: Connection) -> datetime | None:
    return connection.execute(select(jobs.c.lease_until)).scalar_one()


async def test_a_lease_is_renewed_for_as_long_as_its_job_runs(database: Database) -> None:
    renewed = asyncio.Event()

    async def waits(run: StepRun) -> StepOutcome:
        await renewed.wait()
        run.check_lease()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": waits}), lease_seconds=2.0)
    async with core.beating():
        running = asyncio.create_task(core.run(await core.submit()))
        await until(lambda: has_lease(database))
        first = await database.read(lease_until)

        async def later() -> bool:
            now = await database.read(lease_until)
            return now is not None and first is not None and now > first

        await until(later)
        renewed.set()
        assert (await running).status == "completed"


async def test_a_process_whose_event_loop_stands_still_lets_its_leases_run_out(database: Database) -> None:
    seen: dict[str, object] = {}

    async def blocks(run: StepRun) -> StepOutcome:
        time.sleep(3.5)  # noqa: ASYNC251 - it is what must not happen, on purpose
        seen["expired"] = database.read_now(
            lambda connection: connection.execute(select(jobs.c.lease_until < db_now())).scalar()
        )
        with pytest.raises(Fenced) as refused:
            run.check_lease()
        seen["refused"] = refused.value.job_id
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": blocks}), lease_seconds=2.0)
    async with core.beating():
        job = await core.run(await core.submit())

    assert seen == {"expired": True, "refused": job.id}


async def has_lease(database: Database) -> bool:
    return await database.read(lease_until) is not None


async def test_past_its_lease_a_run_starts_no_further_call(database: Database) -> None:
    core = Core(database, ToyKind({}), lease_seconds=2.0)
    await core.submit()
    [claim] = await core.executor.claim_waiting("background_tasks", 1)

    with core.heartbeat.hold(claim, claimed_at=time.monotonic() - 2.1) as lease, pytest.raises(Fenced):
        lease.check()


async def test_a_beat_that_fails_is_not_the_last_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed, failed = asyncio.Event(), threading.Event()

    async def waits(run: StepRun) -> StepOutcome:
        await renewed.wait()
        run.check_lease()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": waits}), lease_seconds=2.0)
    look = core.heartbeat._look

    def fails_once(*, renew: bool) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("Event loop is closed")
        look(renew=renew)

    monkeypatch.setattr(core.heartbeat, "_look", fails_once)
    job = await core.submit()
    async with core.beating():
        running = asyncio.create_task(core.run(job))
        await until(lambda: has_lease(database))
        first = await database.read(lease_until)

        async def later() -> bool:
            now = await database.read(lease_until)
            return now is not None and first is not None and now > first

        await until(later)
        renewed.set()
        assert (await running).status == "completed"
    assert failed.is_set()
