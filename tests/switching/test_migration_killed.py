"""A migration that dies at whatever line, before or after a commit or a call to Redis, is finished by the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from generation_service.database import Database
from generation_service.database.tables import events
from generation_service.jobs import rerouting
from generation_service.jobs.model import Job
from generation_service.switching.ports import RqView
from tests.support.switched import Switched, switched

_FEWEST_STEPS, _MOST_STEPS = 11, 60  # how many there are depends on how often a lease is renewed meanwhile: on time


class Died(BaseException):
    """What a process does when it is killed: nothing of it runs any more."""


class Death:
    """Lets so many steps happen, and then none: the last one happens, or not, but nobody hears of it."""

    def __init__(self, steps: int, *, happens: bool) -> None:
        self.left = steps
        self._happens = happens

    def step(self, act: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self._happens):
            raise Died
        answer = act()
        if self.left == 0:
            raise Died
        return answer

    async def astep(self, act: Callable[[], Awaitable[Any]]) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self._happens):
            raise Died
        answer = await act()
        if self.left == 0:
            raise Died
        return answer


class Mortal:
    """A view of RQ that dies on the way."""

    def __init__(self, view: RqView, death: Death) -> None:
        self._view = view
        self._death = death

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._view, name)
        if name in {"pages", "letters"}:
            return call
        return lambda *given: self._death.step(lambda: call(*given))


async def die(parts: Switched, death: Death, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Migrate until death; whether it came."""
    database = parts.core.database
    write = database.write
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", lambda unit: death.astep(lambda: write(unit)))
        patched.setattr(parts.migration._sweep, "_view", Mortal(parts.view, death))
        try:
            await parts.migration.run("rq", "background_tasks", include_running=True, dry_run=False, by="ana")
        except Died:
            return True
    return False


async def a_bit_of_everything(parts: Switched) -> list[Job]:
    await parts.say("rq")
    submitted = [*await parts.waiting(5), *await parts.scheduled(2)]
    submitted += [claim.job for claim in await parts.running(2)]
    parts.redis.rpush("rq:queue:rag_processing", "whose", b"\x00")
    parts.redis.rpush("rq:queue:migration_failed", "left")
    await parts.say("background_tasks")
    return submitted


async def switched_events(parts: Switched) -> int:
    said = select(func.count()).where(events.c.type == "switched")
    return await parts.core.database.read(lambda connection: connection.execute(said).scalar_one())


@pytest.mark.parametrize("dies", ["after", "before"])
async def test_killed_at_any_step_and_run_again_everything_is_moved_once(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    monkeypatch.setattr(rerouting.find_misplaced, "__kwdefaults__", {**_defaults(), "limit": 2})
    monkeypatch.setattr("generation_service.switching.migration._LEASE_SECONDS", 0.02)
    monkeypatch.setattr("generation_service.jobs.recovery._MOVING_SECONDS", 0.02)
    for steps in range(1, _MOST_STEPS):
        async with switched(database, redis_url) as parts:
            before = await switched_events(parts)
            letters = len(await parts.letters())
            submitted = await a_bit_of_everything(parts)

            died = await die(parts, Death(steps, happens=dies == "after"), monkeypatch)
            result = await parts.migration.run("rq", "background_tasks", include_running=True, dry_run=False, by="bo")

            assert (result.remaining, result.redis) == (0, "ok")
            assert await parts.backends(submitted) == ["background_tasks"] * 9
            assert await switched_events(parts) - before == 9
            assert parts.all_queued() == 0
            assert len(await parts.letters()) == (letters or 3)
            aside = parts.redis.lrange("rq:queue:migration_failed", 0, -1)
            assert len(aside) == 3, aside
            await end_all(parts, submitted)
            parts.redis.flushall()
            if not died:
                assert steps > _FEWEST_STEPS
                return
    raise AssertionError("it never came to its end")


def _defaults() -> dict[str, Any]:
    return dict(rerouting.find_misplaced.__kwdefaults__ or {})


async def end_all(parts: Switched, submitted: list[Job]) -> None:
    for job in submitted:
        await parts.core.jobs.cancel(job.id)


async def test_recovery_finishes_what_a_killed_migration_has_begun(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.migration._LEASE_SECONDS", 0.02)
    async with switched(database, redis_url) as parts:
        submitted = await a_bit_of_everything(parts)
        # It has written down its wish, and nothing else.
        assert await die(parts, Death(2, happens=True), monkeypatch)
        assert await parts.backends(submitted) == ["rq"] * 9

        async def moved() -> bool:
            await parts.core.recovery.turn()
            return await parts.backends(submitted) == ["background_tasks"] * 9

        async with asyncio.timeout(20):
            while not await moved():
                pass


async def test_rows_that_a_frozen_process_holds_are_said_and_moved_by_the_next_one(
    postgresql_database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.migration._IDLE_PAUSE_SECONDS", 0.0)
    async with switched(postgresql_database, redis_url) as parts:
        await parts.say("rq")
        held, free = await parts.waiting(2)
        await parts.say("background_tasks")
        with postgresql_database.exclusive_connection() as connection, connection.begin():
            connection.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": held.id})

            result = await parts.migration.run("rq", "background_tasks", include_running=True, dry_run=False, by="ana")

            assert (result.migrated, result.failed, result.remaining) == (1, 1, 1)
        again = await parts.migration.run("rq", "background_tasks", include_running=True, dry_run=False, by="ana")

        assert (again.migrated, again.remaining) == (1, 0)
        assert await parts.backends([held, free]) == ["background_tasks"] * 2
