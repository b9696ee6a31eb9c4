"""A process that is to end hands its jobs over between two steps: nothing that was paid for is done again."""

import asyncio

from generation_service.database import Database
from generation_service.jobs.model import Job
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing, until
from workers.background_adapter import BackgroundRunner

LONG_SECONDS = 3600.0  # nobody waits for it


class Gate:
    """A step that says when it has begun, and waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, run: StepRun) -> StepOutcome:
        self.begun.set()
        await self.open.wait()
        return StepOutcome(output={"ran": run.step})


def runner_of(core: Core) -> BackgroundRunner:
    return BackgroundRunner(executor=core.executor, heartbeat=core.heartbeat, capacity=4)


async def test_a_step_that_runs_is_let_end_and_the_next_is_the_successors(database: Database) -> None:
    gate = Gate()
    kind = ToyKind({"one": gate, "two": nothing, "three": nothing})
    core = Core(database, kind)
    job = await core.submit()
    async with core.beating():
        runner = runner_of(core)
        runner.start()
        await gate.begun.wait()

        runner.drain()
        stopping = asyncio.create_task(runner.stop(LONG_SECONDS))
        gate.open.set()
        await stopping

    handed = await core.jobs.get(job.id)
    assert (handed.status, handed.failures, handed.steps_since_claim) == ("pending", 0, 1)
    assert {name: step.runs for name, step in kind.toy_steps.items()} == {"one": 1, "two": 0, "three": 0}

    successor = Core(database, kind, name="there")
    async with successor.beating():
        done = await successor.run(handed)
    assert done.status == "completed"
    assert {name: step.runs for name, step in kind.toy_steps.items()} == {"one": 1, "two": 1, "three": 1}


async def test_a_job_in_its_last_step_is_not_handed_over_any_more(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": nothing, "two": gate}))
    job = await core.submit()
    async with core.beating():
        runner = runner_of(core)
        runner.start()
        await gate.begun.wait()

        runner.drain()
        gate.open.set()
        await runner.stop(LONG_SECONDS)

    assert (await core.jobs.get(job.id)).status == "completed"


async def test_a_job_that_was_just_claimed_is_handed_over_before_its_first_step(database: Database) -> None:
    """The claim was on its way when the process was told to end."""
    kind = ToyKind({"one": nothing})
    core = Core(database, kind)
    job = await core.submit()
    async with core.beating():
        core.heartbeat.hand_over_all()

        handed = await core.run(job)

    assert (handed.status, handed.failures, kind.toy_steps["one"].runs) == ("pending", 0, 0)


async def test_a_job_that_is_released_just_between_two_steps_is_given_back_and_not_abandoned(
    database: Database,
) -> None:
    """Its run finds out at the next step's beginning, before it was told: its job must not wait for a lease's end."""
    core: Core

    async def release(run: StepRun) -> StepOutcome:
        asyncio.get_running_loop().call_soon(core.heartbeat.release_all)
        return StepOutcome(output={})

    core = Core(database, ToyKind({f"step{number}": release for number in range(5)}))
    job = await core.submit()
    async with core.beating():
        await until(lambda: _completed_by_giving_back(core, job))


async def _completed_by_giving_back(core: Core, job: Job) -> bool:
    found = await core.run(job)
    assert found.status in {"pending", "completed"}, "it waits for its lease to run out"
    return found.status == "completed"
