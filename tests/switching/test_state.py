"""Pause and drain hold in every process that follows the row; twice is once."""

import asyncio
from typing import Any

from generation_service.database import Database
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.switching import state
from generation_service.switching.state import State, StateFollower
from tests.support.toy import Core, ToyKind, nothing, until
from workers.background_adapter import BackgroundRunner


def wish(database: Database, name: Any, *, grace_seconds: float = 0.0) -> bool:
    return database.write_now(
        lambda connection: state.apply(connection, name, by="ana", reason="why", grace_seconds=grace_seconds)
    )


def now(database: Database) -> State:
    return database.read_now(state.read_state)


def test_a_drain_is_a_pause_and_a_resume_ends_both(database: Database) -> None:
    assert wish(database, "drain", grace_seconds=60)
    drained = now(database)
    assert drained.paused
    assert drained.draining
    assert (drained.draining.grace_seconds, drained.draining.grace_over) == (60, False)

    assert wish(database, "resume")
    assert now(database) == State(paused=None, draining=None)
    assert not wish(database, "resume")


def test_a_pause_becomes_a_drain_and_stays_the_first_ones(database: Database) -> None:
    assert wish(database, "pause")
    paused = now(database).paused

    assert wish(database, "drain")
    assert not wish(database, "pause")

    assert now(database).paused == paused


def test_the_grace_of_a_drain_runs_out(database: Database) -> None:
    wish(database, "drain", grace_seconds=0.0)

    draining = now(database).draining

    assert draining
    assert draining.grace_over


def test_the_last_resume_is_remembered_and_one_that_ends_nothing_is_none(database: Database) -> None:
    assert not wish(database, "resume")
    assert database.read_now(state.resumed_at) is None

    resumes = []
    for begin in ("pause", "drain"):
        wish(database, begin)
        wish(database, "resume")
        resumes.append(database.read_now(state.resumed_at))
    assert not wish(database, "resume")

    assert None not in resumes
    assert resumes[0] < resumes[1] == database.read_now(state.resumed_at)


async def test_what_runs_is_given_back_at_its_last_step_once_the_grace_is_over(database: Database) -> None:
    """Given a job in its second step; drained, it waits, and nobody takes it; resumed, it goes on from there."""
    gate = asyncio.Event()

    async def wait(run: StepRun) -> StepOutcome:
        await gate.wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": wait}))
    job = await core.submit()
    runner = BackgroundRunner(executor=core.executor, heartbeat=core.heartbeat, capacity=2)
    follower = StateFollower(database=database, release_all=core.heartbeat.release_all)
    async with core.beating():
        runner.start()
        follower.start()
        await until(lambda: _runs(core, "two", 1))
        wish(database, "drain")
        await until(lambda: _is_waiting(core, job.id))
        await until(lambda: _idle(runner))
        assert await core.executor.claim_waiting("background_tasks", 5) == []
        gate.set()
        wish(database, "resume")
        await until(lambda: _is_completed(core, job.id))
        await follower.stop()
        await runner.stop(0.0)

    assert core.kind.toy_steps["one"].runs == 1
    assert (await core.jobs.get(job.id)).failures == 0


async def test_while_the_grace_lasts_and_while_paused_what_runs_goes_on(database: Database) -> None:
    released: list[bool] = []
    follower = StateFollower(database=database, release_all=lambda: released.append(True))

    await follower.turn()
    wish(database, "pause")
    await follower.turn()
    wish(database, "drain", grace_seconds=60)
    await follower.turn()

    assert released == []


async def _runs(core: Core, step: str, count: int) -> bool:
    return core.kind.toy_steps[step].runs == count


async def _idle(runner: BackgroundRunner) -> bool:
    return runner.active == 0


async def _is_waiting(core: Core, job_id: Any) -> bool:
    return (await core.jobs.get(job_id)).status == "pending"


async def _is_completed(core: Core, job_id: Any) -> bool:
    return (await core.jobs.get(job_id)).status == "completed"


async def test_a_delivery_that_meets_a_pause_is_made_again_after_it_and_not_before(database: Database) -> None:
    """Given a worker that took a job's entry out of RQ while paused: no recovery delivers it before the resume."""
    core = Core(database, ToyKind({"one": nothing}))
    wish(database, "pause")
    job = await core.submit(backend="rq")

    await core.executor.execute(job.id, "rq")
    await core.recovery.turn()
    paused = await core.jobs.get(job.id)
    wish(database, "resume")
    await core.recovery.turn()
    resumed = await core.jobs.get(job.id)

    assert (paused.status, paused.delivered_at, paused.delivery) == ("pending", None, job.delivery)
    assert resumed.delivered_at is not None
    assert resumed.delivery == job.delivery + 1


async def test_a_pause_does_not_touch_what_another_backend_is_to_run(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    wish(database, "pause")
    job = await core.submit(backend="rq")

    await core.executor.execute(job.id, "background_tasks")

    assert (await core.jobs.get(job.id)).delivered_at == job.delivered_at
