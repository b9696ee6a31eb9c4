"""Triggers: what holds for long enough rolls back, once; what may not, never does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes, user_reports, worker_mode
from generation_service.database.tables import counters, events, service_state
from generation_service.jobs.claims import PAUSED
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job
from generation_service.settings import Settings
from generation_service.switching import state
from generation_service.switching.figures import ALIVE_SECONDS
from generation_service.switching.observations import REDIS_SEEN, RedisWatch, note
from generation_service.switching.triggers import Triggers
from tests.support.plans import watched as watched_statements
from tests.support.settings import SettingsFor
from tests.support.switchovers import ROLLBACK, Switching, switching

SWITCHES = ("redis", "crashes", "waiting", "memory", "worker_memory")
LONG_ENOUGH_SECONDS = 2 * ALIVE_SECONDS + 1  # so long gone, a process was not only held up
ADVICE = ("response_time", "ledger", "slowdown", "user_reports")


@dataclass
class Watched:
    """A service with triggers; `memory` is what this host says of its memory."""

    service: Switching
    settings: Settings
    memory: float = 10.0

    def triggers(self, process: str = "here", **changed: Any) -> Triggers:
        return Triggers(
            process=process,
            settings=self.settings.model_copy(update=changed),
            database=self.service.database,
            switchover=self.service.build(process),
            ledger=self.service.jobs.ledger,
            redis=RedisWatch(database=self.service.database, ping=self.service.jobs.rq.ping),
            memory_percent=lambda: self.memory,
        )

    async def write(self, statement: Any) -> None:
        await self.service.database.write(lambda connection: connection.execute(statement))

    async def redis_fails_for(self, seconds: float) -> None:
        """Let every process have failed to reach Redis for so long, until now."""
        await self.service.database.write(lambda connection: _failed(connection, seconds))

    async def worker(self, name: str, state: str = "crashed", **columns: Any) -> None:
        ended = db_now(-LONG_ENOUGH_SECONDS) if state == "crashed" else None
        times = {"started_at": db_now(-60), "seen_at": db_now(), "ended_at": ended}
        row = {"name": name, "role": "worker", "host": "here", "pid": 1, "state": state, "figures": {}}
        await self.write(insert(processes).values(**{**row, **times, **columns}))

    async def the_mode_is_old(self, seconds: float = 7200.0) -> None:
        await self.write(update(worker_mode).values(since=db_now(-seconds)))

    async def all_is_old(self) -> None:
        """Let the mode be in force, and the processes be up, for longer than any job waits."""
        await self.the_mode_is_old()
        await self.write(update(processes).values(started_at=db_now(-7200)))

    async def has_waited(self, job: Job, seconds: float) -> None:
        await self.write(update(events).where(events.c.job_id == job.id).values(created_at=db_now(-seconds)))

    async def fired(self) -> list[str]:
        """By whom rollbacks were begun, the newest first."""
        page = await self.service.switchover.list(limit=10)
        return [switch.said_by for switch in page.items]

    async def shown(self, name: str, **changed: Any) -> dict[str, Any]:
        view = await self.triggers(**changed).view()
        return next(one for one in view if one["name"] == name)


def _failed(connection: Connection, seconds: float) -> None:
    note(connection, reached=False)
    now, since = connection.execute(select(db_now(), db_now(-seconds))).one()
    row = {"reached_at": None, "failing_since": since.isoformat(), "tried_at": now.isoformat()}
    connection.execute(update(service_state).where(service_state.c.name == REDIS_SEEN).values(value=row))


@asynccontextmanager
async def watched(database: Database, redis_url: str, settings: Settings) -> AsyncIterator[Watched]:
    async with switching(database, redis_url) as service:
        await service.jobs.say("rq")
        yield Watched(service, settings)


@pytest.fixture
async def service(database: Database, redis_url: str, settings_for: SettingsFor) -> AsyncIterator[Watched]:
    settings = settings_for(rollback_hold_seconds=0.0, rollback_on_redis_seconds=300.0)
    async with watched(database, redis_url, settings) as built:
        yield built


# What each measures


async def test_redis_away_for_longer_than_its_threshold_rolls_back(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.redis_fails_for(200)
    await service.triggers().turn()
    assert await service.fired() == []

    await service.redis_fails_for(400)
    await service.triggers().turn()

    assert await service.fired() == ["trigger:redis"]
    assert (await service.service.jobs.job(job)).backend == "background_tasks"
    (switch,) = (await service.service.switchover.list(limit=1)).items
    assert (switch.source, switch.status) == ("trigger", "completed")
    assert switch.report["evidence"]["value"] >= 400
    assert switch.report["evidence"]["threshold"] == 300


async def test_more_crashes_than_allowed_since_the_mode_began_roll_back(service: Watched) -> None:
    await service.the_mode_is_old(30)
    for number in range(3):
        await service.worker(f"w{number}")
    await service.worker("before", ended_at=db_now(-60))
    await service.worker("an-api", role="api")
    await service.triggers().turn()
    assert await service.fired() == []

    await service.worker("w3")
    await service.triggers().turn()

    assert await service.fired() == ["trigger:crashes"]


async def test_who_was_only_held_up_is_back_before_it_counts_as_a_crash(service: Watched) -> None:
    await service.the_mode_is_old()
    for number in range(4):
        await service.worker(f"w{number}", ended_at=db_now(-ALIVE_SECONDS - 1))
    await service.triggers().turn()
    assert await service.fired() == []

    await service.write(update(processes).values(ended_at=db_now(-LONG_ENOUGH_SECONDS)))
    await service.triggers().turn()

    assert await service.fired() == ["trigger:crashes"]


async def test_crashes_outside_the_window_do_not_count(service: Watched) -> None:
    await service.the_mode_is_old()
    for number in range(5):
        await service.worker(f"w{number}", ended_at=db_now(-601))

    await service.triggers().turn()

    assert await service.fired() == []


async def test_a_job_that_waits_too_long_for_rq_rolls_back(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)

    assert (await service.shown("waiting"))["evidence"] == {"job_id": job.id}
    await service.triggers().turn()

    assert await service.fired() == ["trigger:waiting"]


async def test_a_job_waits_since_it_came_back_and_one_for_later_not_at_all(service: Watched) -> None:
    came_back, later = (await service.service.jobs.waiting(1))[0], (await service.service.jobs.scheduled(1))[0]
    await service.all_is_old()
    await service.service.jobs.change(came_back, created_at=db_now(-7200))
    await service.has_waited(later, 7200)

    await service.triggers().turn()

    assert await service.fired() == []
    assert (await service.shown("waiting"))["value"] < 600


async def test_while_somebody_has_paused_nobody_waits_too_long(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)
    said = {"by": "ana", "reason": "upkeep"}
    await service.write(insert(service_state).values(name=PAUSED, value=said, updated_at=db_now()))

    await service.triggers().turn()

    assert await service.fired() == []


async def test_a_resume_begins_every_wait_anew(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)
    for wish in ("pause", "resume"):
        await service.service.database.write(partial(state.apply, wish=wish, by="ana", reason="why", grace_seconds=0))

    await service.triggers().turn()
    assert await service.fired() == []

    await service.write(update(service_state).values(updated_at=db_now(-601)))
    await service.triggers().turn()
    assert await service.fired() == ["trigger:waiting"]


async def test_a_mode_that_has_just_been_said_begins_every_wait_anew(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)
    await service.service.jobs.say("rq")

    await service.triggers().turn()

    assert await service.fired() == []


@pytest.mark.parametrize(
    "up", [{"started_at": db_now()}, {"state": "starting"}, {"seen_at": db_now(-60)}, {"role": "scheduler"}]
)
async def test_nobody_waits_since_before_the_service_was_up(service: Watched, up: dict[str, Any]) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)
    await service.write(update(processes).values(**up))

    await service.triggers().turn()

    assert await service.fired() == []


async def test_a_process_that_is_new_beside_an_old_one_changes_nothing(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.all_is_old()
    await service.has_waited(job, 601)
    await service.service.has("worker")

    await service.triggers().turn()

    assert await service.fired() == ["trigger:waiting"]


async def test_a_job_that_tries_a_backend_does_not_count_as_waiting(service: Watched) -> None:
    (job,) = await service.service.jobs.waiting(1)
    await service.service.jobs.change(job, kind="canary")
    await service.all_is_old()
    await service.has_waited(job, 601)

    await service.triggers().turn()

    assert await service.fired() == []


async def test_memory_that_stays_over_its_limit_rolls_back(service: Watched) -> None:
    service.memory = 90.0
    await service.triggers().turn()
    assert await service.fired() == []

    service.memory = 90.1
    await service.triggers().turn()

    assert await service.fired() == ["trigger:memory"]


async def test_the_fullest_host_counts(service: Watched) -> None:
    await service.worker("elsewhere", "serving", figures={"memory_percent": 95.5})

    shown = await service.shown("memory")

    assert (shown["value"], shown["evidence"]) == (95.5, {"process": "elsewhere"})


async def test_while_nothing_is_amiss_a_look_costs_three_statements(service: Watched) -> None:
    triggers = service.triggers()
    with watched_statements(service.service.database) as seen:
        assert await triggers._look() is not None

    assert (len(seen.statements), seen.offences) == (3, [])


async def test_a_level_must_hold_and_one_look_below_begins_anew(service: Watched) -> None:
    triggers = service.triggers(rollback_hold_seconds=3600.0)
    service.memory = 99.0

    await triggers.turn()
    await triggers.turn()

    assert await service.fired() == []
    assert triggers._over_since
    service.memory = 10.0
    await triggers.turn()
    assert not triggers._over_since


@pytest.mark.parametrize("between", ["nothing", "a gap", "another mode"])
async def test_only_what_was_seen_again_and_again_under_one_mode_has_held(service: Watched, between: str) -> None:
    triggers = service.triggers(rollback_hold_seconds=3600.0)
    service.memory = 99.0
    await triggers.turn()
    triggers._over_since["memory"] -= 3601
    if between == "a gap":
        looked_at, epoch = triggers._last_look
        triggers._last_look = (looked_at - 10, epoch)
    elif between == "another mode":
        await service.service.jobs.say("rq")

    await triggers.turn()

    assert await service.fired() == (["trigger:memory"] if between == "nothing" else [])


async def test_a_worker_over_its_own_limit_rolls_back(service: Watched) -> None:
    await service.worker("large", "serving", figures={"rss_bytes": 2000})
    await service.worker("gone", "crashed", figures={"rss_bytes": 9000})
    await service.triggers().turn()
    assert await service.fired() == []  # nobody has limited it

    await service.triggers(worker_memory_limit_bytes=1999).turn()

    assert await service.fired() == ["trigger:worker_memory"]


# What only advises


async def test_advice_is_shown_and_said_once_and_never_switches(
    service: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await service.write(
        update(processes).where(processes.c.role == "api").values(figures={"answers": 10, "answer_seconds": 60.0})
    )
    for _ in range(11):
        row = {"id": uuid7(), "user_id": "ben", "message": "slow", "created_at": db_now()}
        await service.write(insert(user_reports).values(**row))
    await service.write(insert(counters).values(name="accepted", shard=99, value=1))  # more than there are
    triggers = service.triggers()

    await triggers.count()
    await triggers.turn()
    await triggers.turn()

    assert await service.fired() == []
    view = {one["name"]: one for one in await triggers.view()}
    assert [name for name, one in view.items() if one["over"]] == list(ADVICE)
    assert not any(view[name]["armed"] for name in ADVICE)
    assert view["slowdown"]["evidence"] == {"performance_ratio": 0.333}
    said = [record.trigger for record in caplog.records if getattr(record, "action", "") == "trigger_advises"]
    assert sorted(said) == sorted(ADVICE)


# Once, and when


async def test_three_processes_fire_once(service: Watched) -> None:
    await service.redis_fails_for(400)

    await asyncio.gather(*(service.triggers(f"api-{number}").turn() for number in range(3)))
    await asyncio.gather(*(service.triggers(f"late-{number}").turn() for number in range(3)))

    assert await service.fired() == ["trigger:redis"]


async def test_the_epoch_lets_one_firing_through_even_where_the_lease_let_two(service: Watched) -> None:
    await service.redis_fails_for(400)
    first, second = service.triggers("one"), service.triggers("two")
    looked = [await first._look(), await second._look()]
    redis = first._conditions[0]

    for triggers, seen in zip((first, second), looked, strict=True):
        assert seen is not None
        await triggers._fire(redis, seen, "words")

    assert await service.fired() == ["trigger:redis"]


async def test_nothing_fires_while_jobs_run_in_process(service: Watched) -> None:
    await service.service.switchover.rollback(ROLLBACK)
    await service.redis_fails_for(400)

    await service.triggers().turn()

    assert await service.fired() == ["ana"]


async def test_after_a_firing_none_follows_for_the_cool_down(service: Watched) -> None:
    await service.redis_fails_for(400)
    await service.triggers().turn()
    await service.service.jobs.say("rq")
    await service.redis_fails_for(400)
    await service.triggers().turn()
    assert await service.fired() == ["trigger:redis"]
    assert (await service.shown("redis"))["cooling_down"]

    await service.triggers(rollback_cooldown_seconds=0.0).turn()

    assert await service.fired() == ["trigger:redis"] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"rollback_triggers": "dry_run"},
        {"rollback_triggers": "off"},
        {"rollback_dry_run": ("redis",)},
        {"rollback_on_redis_seconds": 0.0},
    ],
)
async def test_a_trigger_that_is_dry_or_off_switches_nothing(service: Watched, changed: dict[str, Any]) -> None:
    await service.redis_fails_for(400)

    await service.triggers(**changed).turn()

    assert await service.fired() == []
    assert not (await service.shown("redis", **changed))["armed"]


async def test_the_view_says_everything_of_each(service: Watched) -> None:
    await service.redis_fails_for(400)
    before = await service.shown("redis")
    await service.triggers().turn()
    after = await service.shown("redis")

    assert {one["name"] for one in await service.triggers().view()} == {*SWITCHES, *ADVICE}
    assert (before["armed"], before["over"], before["threshold"], before["last_fired"]) == (True, True, 300.0, None)
    assert (after["armed"], after["last_rollback"]) == (
        False,
        (await service.service.switchover.list(limit=1)).items[0].id,
    )
    assert after["last_fired"] is not None


async def test_before_anyone_has_said_a_mode_there_is_a_view(
    sqlite_database: Database, redis_url: str, settings_for: SettingsFor
) -> None:
    async with switching(sqlite_database, redis_url) as service:
        view = await Watched(service, settings_for()).triggers().view()

    assert {one["value"] for one in view} == {None}
    assert not any(one["armed"] for one in view)


# The way back


async def test_the_way_back_is_nobodys_but_a_persons(service: Watched) -> None:
    await service.redis_fails_for(400)
    await service.triggers().turn()
    await service.write(service_state.delete().where(service_state.c.name == "redis_seen"))

    await service.triggers(rollforward_stable_seconds=0.0).turn()

    assert not (await service.service.jobs.mode()).enabled


async def test_where_it_is_asked_for_the_way_back_is_taken_once_all_is_calm(service: Watched) -> None:
    automatic = {"rollforward_automatic": True, "rollforward_stable_seconds": 0.0}
    await service.redis_fails_for(400)
    await service.triggers(**automatic).turn()
    await service.triggers(**automatic).turn()
    assert not (await service.service.jobs.mode()).enabled  # Redis is still away
    await service.write(service_state.delete().where(service_state.c.name == "redis_seen"))
    await service.service.has("worker")

    await service.triggers(**automatic).turn()

    mode = await service.service.jobs.mode()
    assert (mode.target, mode.source, mode.said_by) == ("rq", "trigger", "trigger:automatic")


async def test_a_calm_that_nobody_has_watched_is_none(service: Watched) -> None:
    # Given an automatic rollback whose cause is gone, for longer than is asked for, but for a gap between two looks
    await service.redis_fails_for(400)
    triggers = service.triggers(rollforward_automatic=True, rollforward_stable_seconds=3600.0)
    await triggers.turn()
    await service.write(service_state.delete().where(service_state.c.name == "redis_seen"))
    await service.service.has("worker")
    await triggers.turn()
    await triggers.turn()
    assert triggers._calm_since is not None
    triggers._calm_since -= 3601
    looked_at, epoch = triggers._last_look
    triggers._last_look = (looked_at - 10, epoch)

    await triggers.turn()

    assert not (await service.service.jobs.mode()).enabled


async def test_what_a_person_has_switched_is_never_switched_back(service: Watched) -> None:
    await service.service.switchover.rollback(ROLLBACK)

    await service.triggers(rollforward_automatic=True, rollforward_stable_seconds=0.0).turn()

    assert not (await service.service.jobs.mode()).enabled
