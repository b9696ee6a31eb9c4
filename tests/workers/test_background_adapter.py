"""The in-process runner pulls what waits, as much as it may at once, and gives everything back in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from generation_service.database import Database
from generation_service.jobs.model import Job
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.jobs.signs import Signs, waits_for
from tests.support.toy import Core, ToyKind, nothing, until
from workers.background_adapter import BackgroundRunner


class Gate:
    """A step that waits until it is let go, and knows how many wait at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = self.most = 0

    async def __call__(self, run: StepRun) -> StepOutcome:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return StepOutcome(output={})


@asynccontextmanager
async def running(core: Core, capacity: int = 2, reserved_for: str | None = None) -> AsyncIterator[BackgroundRunner]:
    runner = BackgroundRunner(
        executor=core.executor,
        heartbeat=core.heartbeat,
        capacity=capacity,
        reserved_for=reserved_for,
        waiting=Signs(core.database).add(waits_for("background_tasks")),
    )
    async with core.beating():
        runner.start()
        try:
            yield runner
        finally:
            await runner.stop(grace_seconds=0.0)


async def statuses(core: Core, jobs: list[Job]) -> list[str]:
    return [(await core.jobs.get(job.id)).status for job in jobs]


async def test_never_more_jobs_run_at_once_than_the_bound_and_all_run_in_the_end(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": gate}))
    jobs = [await core.submit() for _ in range(6)]

    async with running(core, capacity=2) as runner:
        await until(lambda: _is(gate.inside == 2))
        assert sorted(await statuses(core, jobs)) == ["pending"] * 4 + ["running"] * 2
        gate.open.set()
        await until(lambda: _all(core, jobs, "completed"))
        await until(lambda: _is(runner.active == 0))  # the run is put away just after its ending is committed

    assert gate.most == 2


async def test_the_most_urgent_waits_least(database: Database) -> None:
    order: list[str] = []

    async def note(run: StepRun) -> StepOutcome:
        order.append(run.job.priority)
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": note}))
    jobs = [await core.submit(priority=priority) for priority in ("low", "default", "high")]

    async with running(core, capacity=1):
        await until(lambda: _all(core, jobs, "completed"))

    assert order == ["high", "default", "low"]


async def test_a_draining_runner_takes_nothing_new_and_lets_what_runs_go_on(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": gate}))
    first = await core.submit()

    async with running(core) as runner:
        await until(lambda: _is(gate.inside == 1))
        runner.drain()
        second = await core.submit()
        runner.deliver([second])
        gate.open.set()
        await until(lambda: _all(core, [first], "completed"))
        await runner.stop(grace_seconds=0.0)

    assert await statuses(core, [first, second]) == ["completed", "pending"]


async def test_what_runs_when_the_runner_stops_is_given_back(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": nothing, "two": gate}))
    job = await core.submit()

    async with running(core):
        await until(lambda: _is(gate.inside == 1))

    released = await core.jobs.get(job.id)
    assert (released.status, released.failures) == ("pending", 0)


async def test_a_backlog_does_not_hold_up_the_project_that_has_a_slot_of_its_own(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": gate}))
    backlog = [await core.submit(priority="high") for _ in range(4)]

    async with running(core, capacity=2, reserved_for="checks") as runner:
        await until(lambda: _is(gate.inside == 2))
        checks = [await core.submit(project_id="checks") for _ in range(2)]
        runner.deliver(checks)
        await until(lambda: _is(gate.inside == 3))

        assert sorted(await statuses(core, checks)) == ["pending", "running"]
        assert sorted(await statuses(core, backlog)) == ["pending"] * 2 + ["running"] * 2
        gate.open.set()
        await until(lambda: _all(core, backlog + checks, "completed"))

    assert gate.most == 3


async def test_the_reserved_slot_takes_no_other_project(database: Database) -> None:
    gate = Gate()
    core = Core(database, ToyKind({"one": gate}))
    jobs = [await core.submit(project_id="others") for _ in range(4)]

    async with running(core, capacity=2, reserved_for="checks") as runner:
        await until(lambda: _is(gate.inside == 2))
        check = await core.submit(project_id="checks")
        runner.deliver([*jobs, check])  # whoever could take another would have taken it first
        await until(lambda: _is(gate.inside == 3))
        assert await statuses(core, [check]) == ["running"]
        gate.open.set()
        await until(lambda: _all(core, [*jobs, check], "completed"))

    assert gate.most == 3


async def test_while_nothing_waits_it_only_looks_and_finds_what_nobody_has_told_of(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    claims: list[Any] = []
    claim = core.executor.claim_waiting

    async def counted(*given: Any, **named: Any) -> Any:
        claims.append(given)
        return await claim(*given, **named)

    core.executor.claim_waiting = counted
    async with running(core) as runner:
        await until(lambda: _is(bool(claims)))  # once: what waits since before
        await runner._pull()
        assert len(claims) == 1

        job = await core.submit()
        await until(lambda: _all(core, [job], "completed"))


async def test_another_runner_takes_what_the_first_leaves(database: Database) -> None:
    gate = Gate()
    first, second = (Core(database, ToyKind({"one": gate}), name=name) for name in ("a", "b"))
    jobs = [await first.submit() for _ in range(2)]

    async with running(first, capacity=1), running(second, capacity=1):
        await until(lambda: _is(gate.inside == 2))
        gate.open.set()
        await until(lambda: _all(first, jobs, "completed"))

    assert first.kind.toy_steps["one"].runs + second.kind.toy_steps["one"].runs == 2


async def _is(fact: bool) -> bool:  # noqa: FBT001 - a fact, not a switch
    return fact


async def _all(core: Core, jobs: list[Job], status: str) -> bool:
    return set(await statuses(core, jobs)) == {status}
