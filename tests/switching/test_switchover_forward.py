"""A roll-forward goes through its gates and by and by, and gives way to a rollback."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from generation_service.database import Database
from generation_service.errors import Refused
from generation_service.jobs.routing import Rollout
from generation_service.switching.parts import Gate
from generation_service.switching.switches import Switch
from tests.support.switchovers import ROLLBACK, ROLLFORWARD, Switching, found, names, switching

FAILED = Gate(name="redis", passed=False)


@pytest.fixture
async def service(database: Database, redis_url: str) -> AsyncIterator[Switching]:
    async with switching(database, redis_url) as built:
        await built.jobs.say("rq")
        yield built


async def test_a_share_is_raised_by_saying_more(service: Switching) -> None:
    await service.jobs.say("rq", percent=25)
    await service.has("worker")

    switch = await service.switchover.rollforward(replace(ROLLFORWARD, rollout=Rollout(50)))

    assert (switch.status, switch.step("wake")["result"]["said"]) == ("completed", False)
    assert (await service.jobs.mode()).rollout == Rollout(50)


async def test_a_rollforward_switches_on_tries_and_then_sends_jobs_to_rq(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)
    await service.has("worker")
    (stays,) = await service.jobs.waiting(1, "background_tasks")

    switch = await service.switchover.rollforward(replace(ROLLFORWARD, rollout=Rollout(25, ("p1",))))

    assert (switch.status, names(switch)) == ("completed", ["wake", "gates", "flag", "verify", "report"])
    mode = await service.jobs.mode()
    assert (mode.target, mode.rollout, mode.carry, mode.epoch) == ("rq", Rollout(25, ("p1",)), "nothing", switch.epoch)
    assert await service.jobs.backends([stays]) == ["background_tasks"]


async def test_workers_are_called_before_the_gates_while_jobs_stay(service: Switching) -> None:
    async def look() -> None:
        mode = await service.jobs.mode()
        seen.append((mode.enabled, mode.target))

    seen: list[tuple[bool, str]] = []
    await service.switchover.rollback(ROLLBACK)
    service.gating.before = look

    await service.switchover.rollforward(ROLLFORWARD)

    assert seen == [(True, "background_tasks")]


async def test_a_gate_that_fails_leaves_everything_as_it_was(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)
    before = await service.jobs.mode()
    service.gates.gates = (FAILED,)

    switch = await service.switchover.rollforward(ROLLFORWARD)

    assert (switch.status, found(switch)) == ("failed", ["gates_failed"])
    assert names(switch) == ["wake", "gates", "undo", "report"]
    mode = await service.jobs.mode()
    assert (mode.target, mode.enabled, mode.carry) == ("background_tasks", False, before.carry)


async def test_a_word_during_the_gates_is_not_overruled(service: Switching) -> None:
    async def speak() -> None:
        await service.jobs.say("background_tasks", enabled=False)

    await service.switchover.rollback(ROLLBACK)
    service.gating.before = speak

    switch = await service.switchover.rollforward(ROLLFORWARD)

    assert (switch.status, found(switch)) == ("failed", ["mode_overridden"])
    assert not (await service.jobs.mode()).enabled


async def test_gates_that_cannot_be_looked_at_have_not_passed(service: Switching) -> None:
    async def break_down() -> None:
        raise RuntimeError("a mistake of ours")

    await service.switchover.rollback(ROLLBACK)
    service.gating.before = break_down

    switch = await service.switchover.rollforward(ROLLFORWARD)

    assert (switch.status, names(switch)[-2:], found(switch)) == ("failed", ["undo", "report"], ["step_failed"])
    assert not (await service.jobs.mode()).enabled


async def test_a_share_that_was_reached_is_not_lost_to_a_gate_that_fails(service: Switching) -> None:
    before = await service.jobs.say("rq", percent=25)
    service.gates.gates = (FAILED,)

    await service.switchover.rollforward(replace(ROLLFORWARD, rollout=Rollout(50)))

    assert await service.jobs.mode() == before


async def test_force_goes_on_and_is_recorded(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)
    await service.has("worker")
    service.gates.gates = (FAILED,)

    switch = await service.switchover.rollforward(replace(ROLLFORWARD, force=True))

    assert (switch.status, found(switch)) == ("completed", ["gates_forced"])
    assert (await service.jobs.mode()).target == "rq"


async def test_what_people_say_to_the_criteria_reaches_the_gates_of_whoever_goes_on(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)
    said = {"root_cause": "a full disk", "approved_by": "ben"}
    await service.abandoned(service.gating, replace(ROLLFORWARD, criteria=said))

    await service.another().resume()

    assert service.gates.told == [
        {"root_cause": "a full disk", "load_test": None, "no_leak": None, "approved_by": "ben"}
    ]


async def test_what_waits_goes_along_where_that_is_asked_for(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)
    await service.has("worker")
    moving = await service.jobs.waiting(3, "background_tasks")

    switch = await service.switchover.rollforward(replace(ROLLFORWARD, carry="waiting"))

    assert (switch.status, switch.report["outcome"]["jobs_moved"]) == ("completed", 3)
    assert await service.jobs.backends(moving) == ["rq"] * 3


async def test_nobody_waits_for_gates_in_an_emergency(service: Switching) -> None:
    async def emergency() -> None:
        done.append(await service.another().rollback(ROLLBACK))

    done: list[Switch] = []
    await service.switchover.rollback(ROLLBACK)
    service.gating.before = emergency
    with pytest.raises(Refused, match="switch_taken_over"):
        await service.switchover.rollforward(ROLLFORWARD)

    (rollback,) = done
    assert rollback.status == "completed"
    assert not (await service.jobs.mode()).enabled
    superseded = (await service.switchover.list(limit=3)).items[1]
    assert (superseded.kind, superseded.status, found(superseded)) == ("rollforward", "failed", ["superseded"])
