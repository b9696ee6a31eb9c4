"""What a holder that is gone has left is rescued, once, by compare-and-sets, and not before its time."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import dead_letters, jobs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import settlement
from generation_service.jobs.model import Job
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing


async def abandoned(core: Core) -> Job:
    """A job that was claimed by a process which is no more."""
    job = await core.submit()
    await core.executor.claim_waiting("background_tasks", 10)
    core.database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))
    return job


async def test_a_job_whose_holder_is_silent_is_rescued_and_runs(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)

    await core.recover()

    assert (await core.run(job)).status == "completed"


async def test_a_poison_job_ends_in_the_dead_letters_after_its_last_attempt(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit(max_attempts=3)

    for _ in range(3):
        await core.executor.claim_waiting("background_tasks", 10)
        database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))
        await core.recover()

    ended = await core.jobs.get(job.id)
    assert ended.error is not None
    assert (ended.status, ended.failures, ended.error["code"]) == ("failed", 3, "abandoned")
    assert database.read_now(lambda connection: connection.execute(select(dead_letters.c.job_id)).scalars().all()) == [
        job.id
    ]
    assert await core.executor.claim_waiting("background_tasks", 10) == []


async def test_a_crash_after_a_committed_step_uses_up_no_attempt(database: Database) -> None:
    reached = asyncio.Event()

    async def hangs(run: StepRun) -> StepOutcome:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    core = Core(database, ToyKind({"one": nothing, "two": hangs}))
    job = await core.submit(max_attempts=1)
    dying = asyncio.create_task(core.run(job))
    await reached.wait()
    database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))

    await core.recover()

    rescued = await core.jobs.get(job.id)
    assert (rescued.status, rescued.failures) == ("pending", 0)
    dying.cancel()
    await asyncio.wait([dying])


async def test_a_holder_that_is_back_in_time_keeps_its_job(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    await core.executor.claim_waiting("background_tasks", 1)

    await core.recover()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_a_lease_renewed_after_it_was_seen_to_have_run_out_is_respected(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    [claim] = await core.executor.claim_waiting("background_tasks", 1)

    rescued = database.write_now(lambda connection: settlement.rescue(connection, claim.job, core.kinds, core.policy))

    assert rescued is None
    assert (await core.jobs.get(job.id)).fence == claim.fence


async def test_two_rescuers_at_once_rescue_once(database: Database) -> None:
    first, second = (Core(database, ToyKind({"one": nothing}), name=name) for name in ("a", "b"))
    job = await abandoned(first)

    for core in (first, second):
        core.recovery._lead = _always  # two that both believe to lead
    await asyncio.gather(first.recover(), second.recover())

    rescued = await first.jobs.get(job.id)
    assert (rescued.status, rescued.failures, rescued.fence) == ("pending", 1, 2)


async def test_a_fresh_leader_waits_one_heartbeat_before_it_rescues(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)

    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_nothing_is_rescued_after_an_outage_until_holders_had_a_chance(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await core.recover()
    database.write_now(
        lambda connection: connection.execute(update(jobs).values(status="running", lease_until=db_now(-1)))
    )

    core.recovery._lead, leads = _unavailable, core.recovery._lead
    try:
        await core.recovery.turn()
    except DatabaseUnavailable:
        core.recovery._lead = leads
    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_nothing_is_rescued_when_the_wall_clock_has_jumped(sqlite_database: Database) -> None:
    core = Core(sqlite_database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    core.recovery._leads = True

    core.recovery._clock = lambda: core.recovery._clocks[0] + 3600
    core.recovery._quiet_until = 0
    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def _always(*_: object) -> bool:
    return True


async def _unavailable(*_: object) -> bool:
    raise DatabaseUnavailable("away")


class Cracked(ToyKind):
    """Its hook breaks when a job fails."""

    def on_ended(self, *given: object) -> NoReturn:
        raise ZeroDivisionError


async def test_one_job_that_cannot_be_rescued_keeps_nobody_else_waiting(database: Database) -> None:
    core = Core(database, Cracked({"one": nothing}))
    broken = await core.submit(max_attempts=1)
    other = await core.submit()
    await core.executor.claim_waiting("background_tasks", 10)
    database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))

    await core.recover()

    assert [(await core.jobs.get(job.id)).status for job in (broken, other)] == ["running", "pending"]


async def test_a_row_that_somebody_holds_holds_up_no_other_rescue(postgresql_database: Database) -> None:
    database = postgresql_database
    core = Core(database, ToyKind({"one": nothing}))
    first, second = await core.submit(), await abandoned(core)

    def holds(connection: Connection) -> None:
        connection.execute(select(jobs).where(jobs.c.id == first.id).with_for_update())
        asyncio.run_coroutine_threadsafe(core.recover(), loop).result(20)

    loop = asyncio.get_running_loop()
    await database.write(holds)

    assert [(await core.jobs.get(job.id)).status for job in (first, second)] == ["running", "pending"]
    await core.recover()
    assert (await core.jobs.get(first.id)).status == "pending"


async def test_nothing_is_rescued_right_after_a_freeze(database: Database) -> None:
    """Whoever was frozen along with this process has had no chance to renew its leases."""
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await core.recovery.turn()
    assert core.recovery._turned_at is not None
    core.recovery._turned_at -= 60

    await core.recover()
    assert (await core.jobs.get(job.id)).status == "running"

    await core.recover()
    assert (await core.jobs.get(job.id)).status == "pending"


@pytest.mark.parametrize("stalls", ["write", "read"])
async def test_nothing_is_rescued_in_the_turn_in_which_the_database_stalls(
    database: Database, monkeypatch: pytest.MonkeyPatch, stalls: str
) -> None:
    """Without an error: whoever shares the database has had no chance to renew its leases either."""
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await core.recovery.turn()
    answers = getattr(database, stalls)

    async def answers_late(unit: Callable[[Connection], Any]) -> Any:
        assert core.recovery._turned_at is not None
        core.recovery._turned_at -= 60
        return await answers(unit)

    with monkeypatch.context() as stalled:
        stalled.setattr(database, stalls, answers_late)
        await core.recover()
    assert (await core.jobs.get(job.id)).status == "running"

    await core.recover()
    assert (await core.jobs.get(job.id)).status == "pending"


async def test_a_turn_that_goes_on_for_long_after_its_rescue_keeps_nobody_from_the_next(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await core.recover()
    job = await abandoned(core)
    delivers = core.recovery._redelivery.deliver_undelivered

    async def delivers_much() -> None:
        assert core.recovery._turned_at is not None
        core.recovery._turned_at -= 60
        await delivers()

    core.recovery._redelivery.deliver_undelivered = delivers_much
    await core.recover()
    assert (await core.jobs.get(job.id)).status == "pending"
    other = await abandoned(core)

    await core.recover()

    assert (await core.jobs.get(other.id)).status == "pending"
