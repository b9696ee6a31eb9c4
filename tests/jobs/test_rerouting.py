"""Jobs change their backend by compare-and-set, waiting or running, and nothing of them is lost or done twice."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, update

from generation_service.database import Database, db_now
from generation_service.database.operations import worker_mode
from generation_service.database.tables import jobs
from generation_service.errors import TransientError
from generation_service.jobs import leadership, rerouting, settlement
from generation_service.jobs.model import Backend, Job, JobId
from generation_service.jobs.moving import MIGRATION_LEASE
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.jobs.recovery import Rerouted
from generation_service.jobs.routing import Carry, Mode, Rollout, current_mode
from generation_service.switching.mode import Flag, Word, say
from tests.support.toy import Core, ToyKind, nothing, until


async def switch(
    core: Core, backend: Backend, carry: Carry, rollout: Rollout | None = None, *, enabled: bool = True
) -> Mode:
    flag = Flag(backend == "rq", enabled, rollout or Rollout())
    word = Word(flag=flag, carry=carry, reason="a test", said_by="ana", source="operator")

    def unit(connection: Connection) -> Mode | None:
        mode = current_mode(connection)
        return say(connection, word, after=mode.epoch if mode else 0)

    mode = await core.database.write(unit)
    assert mode is not None
    return mode


async def of_project(core: Core, count: int) -> list[Job]:
    return [await core.submit(project_id=f"p{number}") for number in range(count)]


async def backends(core: Core, submitted: Sequence[Job]) -> list[str]:
    return [(await core.jobs.get(job.id)).backend for job in submitted]


async def age(core: Core, mode: Mode, seconds: float) -> None:
    """Let this mode be as old as if it had been said so long ago."""
    since = update(worker_mode).where(worker_mode.c.epoch == mode.epoch).values(since=db_now(-seconds))
    await core.database.write(lambda connection: connection.execute(since))


@pytest.fixture
def core(database: Database) -> Core:
    return Core(database, ToyKind({"one": nothing, "two": nothing}))


async def test_what_waits_goes_along_with_its_number_of_events(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 3)

    moved = await core.recovery.reroute(await switch(core, "background_tasks", "waiting"))

    assert [job.id for job in moved.waiting] == [job.id for job in submitted]
    assert await backends(core, submitted) == ["background_tasks"] * 3
    (first, _), (second, data) = await core.events(submitted[0].id)
    assert (first, second) == ("status", "switched")
    assert (data["sequence"], data["from"], data["backend"]) == (2, "rq", "background_tasks")


async def test_more_than_one_batch_is_moved_and_the_second_time_nothing(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerouting.find_misplaced, "__kwdefaults__", {"limit": 2})
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 5)
    mode = await switch(core, "background_tasks", "waiting")

    first, again = await core.recovery.reroute(mode), await core.recovery.reroute(mode)

    assert (len(first.waiting), len(again.waiting)) == (5, 0)
    assert await backends(core, submitted) == ["background_tasks"] * 5


async def test_two_at_once_move_nothing_twice(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 20)
    mode = await switch(core, "background_tasks", "waiting")

    found: list[Rerouted] = await asyncio.gather(*(core.recovery.reroute(mode) for _ in range(4)))

    moved = [job.id for one in found for job in one.waiting]
    assert sorted(moved) == sorted(job.id for job in submitted)
    assert [len(await core.events(job.id)) for job in submitted] == [2] * 20


async def test_a_switch_that_was_overtaken_moves_nothing(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 2)
    slow = await switch(core, "background_tasks", "waiting")
    await switch(core, "rq", "waiting")

    assert (await core.recovery.reroute(slow)).waiting == []
    assert await backends(core, submitted) == ["rq", "rq"]


async def test_with_nothing_carried_jobs_stay_where_they_are(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 2)
    await switch(core, "background_tasks", "nothing")

    await core.recovery.turn()

    assert await backends(core, submitted) == ["rq", "rq"]


async def test_without_an_rq_part_what_waits_for_it_always_goes(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 2)
    mode = await switch(core, "rq", "nothing", enabled=False)
    await core.recovery.turn()
    assert await backends(core, submitted) == ["rq"] * 2, "who asks for it by name counts it, for a while"

    await age(core, mode, 5.1)
    await core.recovery.turn()

    assert await backends(core, submitted) == ["background_tasks"] * 2


async def test_what_somebody_moves_just_now_is_left_to_it(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 2)
    await switch(core, "background_tasks", "waiting")
    hold = partial(leadership.take_or_keep, name=MIGRATION_LEASE, holder="somebody", seconds=60)
    await core.database.write(hold)

    await core.recovery.turn()
    assert await backends(core, submitted) == ["rq"] * 2

    # When it has died, recovery goes on
    await core.database.write(partial(leadership.give_up, name=MIGRATION_LEASE, holder="somebody"))
    await core.recovery.turn()
    assert await backends(core, submitted) == ["background_tasks"] * 2


async def test_recovery_lets_others_move_once_it_has_done_so(core: Core) -> None:
    await switch(core, "rq", "nothing")
    await of_project(core, 2)
    await switch(core, "background_tasks", "waiting")

    await core.recovery.turn()

    assert await core.database.write(
        partial(leadership.take_or_keep, name=MIGRATION_LEASE, holder="somebody", seconds=60)
    )


@pytest.mark.parametrize("delivery", [1, 2])
async def test_a_delivery_is_taken_back_only_as_it_was_seen(core: Core, delivery: int) -> None:
    await switch(core, "rq", "nothing")
    (job,) = await of_project(core, 1)

    changed = await core.database.write(partial(rerouting.mark_undelivered, seen=[(job.id, delivery)]))

    seen = delivery == job.delivery
    assert changed == int(seen)
    assert ((await core.jobs.get(job.id)).delivered_at is None) is seen


async def test_recovery_keeps_fulfilling_the_wish(core: Core) -> None:
    await switch(core, "rq", "nothing")
    late = await core.submit()
    await switch(core, "background_tasks", "waiting")
    await core.recovery.turn()
    # A submission that had read the mode before the switch, and commits only now.
    later = await core.submit(backend="rq", project_id="p1")

    await core.recovery.turn()

    assert (await core.jobs.get(late.id)).backend == "background_tasks"
    assert (await core.jobs.get(later.id)).backend == "background_tasks"


async def test_a_gradual_way_covers_some_projects_and_always_the_same(core: Core) -> None:
    await switch(core, "rq", "nothing", Rollout(40, ("p3",)))
    first, second = await of_project(core, 40), await of_project(core, 40)

    placed = await backends(core, first)

    assert placed == await backends(core, second)
    assert placed[3] == "rq"
    assert 5 < placed.count("rq") < 30
    assert (await core.submit()).backend == "background_tasks"  # of no project: only with all of them


async def test_a_gradual_way_takes_along_what_it_covers(core: Core) -> None:
    await switch(core, "background_tasks", "nothing")
    submitted = await of_project(core, 10)
    mode = await switch(core, "rq", "waiting", Rollout(0, ("p3", "p4")))

    moved = await core.recovery.reroute(mode)

    assert len(moved.waiting) == 2
    assert {job.project_id for job in moved.waiting} == {"p3", "p4"}  # of one millisecond: in any order
    assert (await backends(core, submitted)).count("rq") == 2


async def test_a_running_job_is_taken_over_at_its_last_step(database: Database) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def hangs_once(_: StepRun) -> StepOutcome:
        if not begun.is_set():
            begun.set()
            await never.wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": hangs_once}))
    await switch(core, "rq", "nothing")
    async with core.beating():
        job = await core.submit()
        old = asyncio.create_task(core.executor.execute(job.id, "rq"))
        await begun.wait()

        # When it is switched while it runs
        moved = await core.recovery.reroute(await switch(core, "background_tasks", "running"))

        # Then the old run ends without a word, and the job goes on elsewhere from where it was
        assert [one.id for one in moved.running] == [job.id]
        await asyncio.wait_for(old, 10)
        done = await core.run(job)
    assert (done.status, done.attempt, done.backend) == ("completed", 1, "background_tasks")
    assert [step.runs for step in core.kind.toy_steps.values()] == [1, 2]
    assert len(core.kind.endings) == 1
    numbers = [data["sequence"] for _, data in await core.events(job.id)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_job_that_was_claimed_anew_is_not_taken_over_as_it_was_seen(core: Core) -> None:
    await switch(core, "rq", "nothing")
    job = await core.submit()
    (claim,) = await core.executor.claim_waiting("rq", 1)
    mode = await switch(core, "background_tasks", "running")
    seen = await core.database.read(partial(rerouting.find_misplaced, mode=mode, status="running", after=JobId("")))
    await core.database.write(lambda connection: settlement.release(connection, claim, "a test"))
    await core.executor.claim_waiting("background_tasks", 1)

    moved = await core.database.write(lambda connection: rerouting.take_over(connection, seen, "background_tasks"))

    assert moved == []
    assert (await core.jobs.get(job.id)).status == "running"


async def test_a_job_whose_fence_has_risen_since_is_not_taken_over(core: Core) -> None:
    await switch(core, "rq", "nothing")
    job = await core.submit()
    await core.executor.claim_waiting("rq", 1)
    mode = await switch(core, "background_tasks", "running")
    seen = await core.database.read(partial(rerouting.find_misplaced, mode=mode, status="running", after=JobId("")))
    await core.database.write(lambda connection: connection.execute(update(jobs).values(fence=jobs.c.fence + 1)))

    moved = await core.database.write(lambda connection: rerouting.take_over(connection, seen, "background_tasks"))

    assert (moved, (await core.jobs.get(job.id)).status) == ([], "running")


async def test_the_event_of_a_move_has_the_number_that_it_says(core: Core) -> None:
    await switch(core, "rq", "nothing")
    submitted = await of_project(core, 3)

    await core.recovery.reroute(await switch(core, "background_tasks", "waiting"))

    for job in submitted:
        events = await core.log(job.id)
        assert [event.sequence for event in events] == [event.data["sequence"] for event in events] == [1, 2]
        assert events[1].data == {
            "sequence": 2,
            "status": "pending",
            "backend": "background_tasks",
            "from": "rq",
            "attempt": 1,
        }
        assert (await core.jobs.get(job.id)).seq == 2


async def test_what_returns_to_waiting_is_routed_anew(database: Database) -> None:
    async def fails_once(run: StepRun) -> StepOutcome:
        if run.attempt == 1:
            raise TransientError("away", "it is away")
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": fails_once}))
    await switch(core, "rq", "nothing")
    job = await core.submit()
    await switch(core, "background_tasks", "nothing")

    await core.executor.execute(job.id, "rq")

    async def waits_elsewhere() -> bool:
        return (await core.jobs.get(job.id)).backend == "background_tasks"

    await until(waits_elsewhere)
    assert [name for name, _ in await core.events(job.id)][-2:] == ["retry", "switched"]
    assert (await core.run(job)).status == "completed"


async def test_what_tries_a_backend_is_not_moved_off_it(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}, kind="canary"))
    await switch(core, "background_tasks", "nothing")
    job = await core.submit(backend="rq")

    await core.recovery.reroute(await switch(core, "background_tasks", "running"))

    assert (await core.jobs.get(job.id)).backend == "rq"
