"""Migrations move what was asked for, once, whatever becomes of Redis or of whoever migrates."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from generation_service.database import Database
from generation_service.errors import Refused
from generation_service.jobs import leadership
from generation_service.jobs.model import Backend
from generation_service.jobs.moving import MIGRATION_LEASE
from generation_service.jobs.routing import Carry
from generation_service.switching.migration import MigrationResult
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.switched import Switched, switched
from workers.names import rq_id

MOVED = ("migrated", "waiting", "scheduled", "running", "skipped", "failed", "remaining")


async def to_background(parts: Switched, **options: Any) -> MigrationResult:
    return await migrate(parts, "rq", "background_tasks", **options)


async def to_rq(parts: Switched, **options: Any) -> MigrationResult:
    return await migrate(parts, "background_tasks", "rq", **options)


async def migrate(parts: Switched, source: Backend, target: Backend, **options: Any) -> MigrationResult:
    asked = {"include_running": False, "dry_run": False, **options}
    return await parts.migration.run(source, target, by="ana", **asked)


def counted(result: MigrationResult) -> dict[str, Any]:
    told = result.as_json()
    return {name: told[name] for name in MOVED if told[name]}


@pytest.fixture
async def parts(database: Database, redis_url: str) -> AsyncIterator[Switched]:
    async with switched(database, redis_url) as built:
        await built.say("rq")
        yield built


async def test_what_waits_and_what_is_due_later_moves_and_runs_at_the_other_side(parts: Switched) -> None:
    waiting = await parts.waiting(3, priority="high")
    (later,) = await parts.scheduled(1)
    await parts.say("background_tasks")

    result = await to_background(parts)

    assert counted(result) == {"migrated": 4, "waiting": 3, "scheduled": 1}
    assert await parts.backends([*waiting, later]) == ["background_tasks"] * 4
    moved = await parts.job(later)
    assert (moved.due_at, moved.delivered_at) == (later.due_at, None)
    assert (await parts.job(waiting[0])).priority == "high"
    assert (result.redis, result.forgotten, parts.all_queued()) == ("ok", 3, 0)
    done = await parts.core.run(waiting[0])
    assert (done.status, done.attempt) == ("completed", 1)


async def test_what_moves_to_rq_is_delivered_there(parts: Switched) -> None:
    waiting = await parts.waiting(3, "background_tasks")
    (later,) = await parts.scheduled(1, "background_tasks")

    result = await to_rq(parts)
    parts.rq.close()  # sends what is pending

    assert counted(result) == {"migrated": 4, "waiting": 3, "scheduled": 1}
    assert parts.queued() == [rq_id(await parts.job(job)).encode() for job in waiting]
    assert (await parts.job(later)).delivered_at is None


async def test_running_jobs_stay_unless_they_are_included(parts: Switched) -> None:
    claims = await parts.running(2)
    await parts.say("background_tasks")

    stayed = await to_background(parts)
    moved = await to_background(parts, include_running=True)

    assert counted(stayed) == {"skipped": 2}
    assert counted(moved) == {"migrated": 2, "running": 2}
    taken = await parts.job(claims[0])
    assert (taken.status, taken.backend, taken.fence) == ("pending", "background_tasks", claims[0].fence + 1)


async def test_a_dry_run_changes_nothing_and_says_what_the_real_one_then_does(parts: Switched) -> None:
    await parts.waiting(3)
    await parts.scheduled(2)
    await parts.running(1)
    parts.redis.rpush("rq:queue:rag_processing_low", "whose-is-this")
    parts.redis.rpush("rq:queue:migration_failed", b"left \x00 here")
    await parts.say("background_tasks")

    dry = await to_background(parts, include_running=True, dry_run=True)

    assert await parts.letters() == []
    assert (await parts.mode()).carry == "nothing"
    assert parts.all_queued() == 4
    real = await to_background(parts, include_running=True)
    names = (*MOVED, "forgotten", "dead_lettered", "redis")
    told = (dry.as_json(), real.as_json())
    assert [told[0][name] for name in names] == [told[1][name] for name in names]
    assert (real.migrated, real.dead_lettered) == (6, 2)


async def test_twice_in_a_row_moves_nothing_twice(parts: Switched) -> None:
    (job, *_) = await parts.waiting(3)
    await parts.say("background_tasks")

    await to_background(parts)
    again = await to_background(parts)

    assert counted(again) == {}
    assert [name for name, _ in await parts.core.events(job.id)] == ["status", "switched"]


async def test_two_at_once_move_nothing_twice(parts: Switched) -> None:
    submitted = await parts.waiting(40)
    await parts.say("background_tasks")

    results = await asyncio.gather(*(to_background(parts) for _ in range(3)))

    assert sum(one.migrated for one in results) == 40
    assert [len(await parts.core.events(job.id)) for job in submitted] == [2] * 40


async def test_the_next_one_need_not_wait_for_a_lease_to_run_out(parts: Switched) -> None:
    parts.migration._wait_seconds = 0.0
    for _ in range(2):
        await to_background(parts)
    await parts.say("background_tasks", enabled=False)
    with pytest.raises(Refused, match="rq_switched_off"):
        await to_rq(parts)

    assert (await to_background(parts)).remaining == 0


async def test_another_one_that_does_not_end_is_said(parts: Switched) -> None:
    parts.migration._wait_seconds = 0.3
    await parts.core.database.write(
        lambda connection: leadership.take_or_keep(connection, MIGRATION_LEASE, "somebody", 60)
    )

    with pytest.raises(Refused, match="migration_under_way"):
        await to_background(parts)


async def test_a_lease_that_ran_out_holds_nobody_up(parts: Switched) -> None:
    await parts.waiting(1)
    await parts.core.database.write(
        lambda connection: leadership.take_or_keep(connection, MIGRATION_LEASE, "somebody dead", -1)
    )

    assert (await to_background(parts)).migrated == 1


@pytest.mark.parametrize("carry", ["waiting", "running"])
async def test_against_the_modes_own_wish_the_later_word_counts(parts: Switched, carry: Carry) -> None:
    (job,) = await parts.waiting(1, "background_tasks")
    await parts.say("background_tasks", carry)

    result = await to_rq(parts)
    await parts.core.recovery.turn()

    assert (result.migrated, await parts.backends([job])) == (1, ["rq"])
    assert (await parts.mode()).carry == "nothing"


async def test_to_and_fro_without_a_new_mode_moves_everything_each_time(parts: Switched) -> None:
    (job,) = await parts.waiting(1)

    for there, migrate in (("background_tasks", to_background), ("rq", to_rq)) * 2:
        assert (await migrate(parts)).migrated == 1
        await parts.core.recovery.turn()
        assert await parts.backends([job]) == [there]


async def test_a_switch_that_was_slower_than_the_next_mode_moves_nothing(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    slower = await parts.say("background_tasks")
    await parts.say("rq", "waiting")

    with pytest.raises(Refused, match="mode_has_changed"):
        await to_background(parts, epoch=slower.epoch)

    assert (await parts.backends([job]), (await parts.mode()).carry) == (["rq"], "waiting")


async def test_nothing_goes_to_an_rq_part_that_is_switched_off(parts: Switched) -> None:
    (job,) = await parts.waiting(1, "background_tasks")
    await parts.say("background_tasks", enabled=False)

    for dry_run in (True, False):
        with pytest.raises(Refused, match="rq_switched_off"):
            await to_rq(parts, dry_run=dry_run)

    assert await parts.backends([job]) == ["background_tasks"]


async def test_against_a_mode_that_moves_nothing_jobs_go_where_they_are_sent_and_stay(parts: Switched) -> None:
    (job,) = await parts.waiting(1)

    result = await to_background(parts)
    await parts.core.recovery.turn()

    assert (counted(result), await parts.backends([job])) == ({"migrated": 1, "waiting": 1}, ["background_tasks"])
    assert (await parts.mode()).carry == "nothing"


async def test_the_wish_is_written_down_so_that_recovery_goes_on_with_it(parts: Switched) -> None:
    await parts.say("background_tasks")
    await to_background(parts, include_running=True)
    assert (await parts.mode()).carry == "running"
    # A submission that had read the mode before, and commits only now.
    (late,) = await parts.waiting(1)

    await parts.core.recovery.turn()

    assert await parts.backends([late]) == ["background_tasks"]


async def test_a_wish_is_never_made_smaller(parts: Switched) -> None:
    await parts.say("background_tasks", "running")

    await to_background(parts)

    assert (await parts.mode()).carry == "running"


async def test_what_the_rollout_does_not_cover_and_what_tries_a_backend_stays(parts: Switched) -> None:
    covered = await parts.waiting(1, "background_tasks", project_id="p1")
    (uncovered,) = await parts.waiting(1, "background_tasks")
    (elsewhere,) = await parts.waiting(1)  # not covered either, and not at the source
    await parts.say("rq", percent=99)  # what has no project is covered only with all of them

    result = await to_rq(parts)

    assert counted(result) == {"migrated": 1, "waiting": 1, "skipped": 1}
    assert await parts.backends([*covered, uncovered, elsewhere]) == ["rq", "background_tasks", "rq"]


async def test_the_same_for_both_is_refused(parts: Switched) -> None:
    with pytest.raises(Refused, match="same_backend"):
        await migrate(parts, "rq", "rq")


async def test_before_anyone_has_said_a_mode_jobs_can_be_moved(database: Database, redis_url: str) -> None:
    async with switched(database, redis_url) as parts:
        (job,) = await parts.waiting(1)

        assert (await to_background(parts)).migrated == 1
        assert await parts.backends([job]) == ["background_tasks"]


async def test_a_mode_that_changes_on_the_way_ends_the_migration(
    parts: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.migration._IDLE_PAUSE_SECONDS", 0.0)
    submitted = await parts.waiting(3)
    await parts.say("background_tasks")
    begin = parts.migration._move

    async def be_overtaken(*given: Any) -> None:
        await parts.say("rq")
        await begin(*given)

    monkeypatch.setattr(parts.migration, "_move", be_overtaken)
    result = await to_background(parts)

    assert (result.migrated, result.remaining, result.failed) == (0, 3, 3)
    assert await parts.backends(submitted) == ["rq"] * 3


async def test_ids_that_nobody_knows_become_dead_letters_with_their_payload(parts: Switched) -> None:
    parts.redis.hset("rq:job:evil", mapping={"data": b'["os.system", null, ["x"], {}]', "status": "queued"})
    parts.redis.rpush("rq:queue:rag_processing", "evil", b"\x00\xff junk", "evil")
    parts.redis.zadd("rq:scheduled:rag_processing", {"01900000-0000-7000-8000-000000000000-1": 5})
    await parts.say("background_tasks")

    result = await to_background(parts)
    again = await to_background(parts)

    assert (result.dead_lettered, again.dead_lettered) == (3, 0)
    assert [(origin, reason) for origin, reason, _ in await parts.letters()] == [
        ("rag_processing", "foreign_function"),
        ("rag_processing", "foreign_id"),
        ("rag_processing", "unknown_job"),
    ]
    aside = [json.loads(one) for one in parts.redis.lrange("rq:queue:migration_failed", 0, -1)]
    assert sorted(one["reason"] for one in aside) == ["foreign_function", "foreign_id", "unknown_job"]
    (evil,) = [one for one in aside if one["rq_id"] == "evil"]
    assert (evil["queue"], b64decode(evil["raw"])) == ("rag_processing", b'["os.system", null, ["x"], {}]')
    assert (parts.all_queued(), parts.redis.zcard("rq:scheduled:rag_processing")) == (0, 0)
    assert not parts.redis.exists("rq:job:evil")


async def test_what_lies_aside_already_becomes_a_dead_letter_and_stays_there(parts: Switched) -> None:
    left = {b'{"id": "1", "data": {"args": []}}', b"\x00", b'{"id": "1"}'}
    parts.redis.rpush("rq:queue:migration_failed", *left)

    result, again = await to_background(parts), await to_background(parts)

    assert (result.dead_lettered, again.dead_lettered) == (3, 0)
    assert {raw for _, _, raw in await parts.letters()} == {
        b'{"id": "1", "data": {"args": []}}',
        b"\x00",
        b'{"id": "1"}',
    }
    assert parts.redis.llen("rq:queue:migration_failed") == 3


async def test_a_dead_redis_holds_nothing_up(database: Database, redis_server: EmbeddedRedis) -> None:
    async with switched(database, redis_server.url) as parts:
        submitted = await parts.waiting(3)
        await parts.say("background_tasks")
        redis_server.kill()

        result = await to_background(parts)

        assert (result.migrated, result.redis, result.remaining) == (3, "unreachable", 0)
        assert await parts.backends(submitted) == ["background_tasks"] * 3


async def test_a_frozen_redis_is_waited_for_no_longer_than_one_call(
    database: Database, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with switched(database, redis_server.url) as parts:
        await parts.waiting(3)
        await parts.say("background_tasks")
        asked: list[str] = []
        send = type(parts.view._client.connection_pool).get_connection
        monkeypatch.setattr(
            type(parts.view._client.connection_pool),
            "get_connection",
            lambda *given, **named: (asked.append("asked"), send(*given, **named))[1],
        )
        redis_server.freeze()
        try:
            result = await to_background(parts)
        finally:
            redis_server.thaw()

        assert (result.migrated, result.redis) == (3, "unreachable")
        assert len(asked) == 1


async def test_a_redis_that_came_back_empty_changes_nothing(parts: Switched) -> None:
    submitted = await parts.waiting(3)
    parts.redis.flushall()
    await parts.say("background_tasks")

    result = await to_background(parts)

    assert (result.migrated, result.redis, result.forgotten) == (3, "ok", 0)
    assert await parts.backends(submitted) == ["background_tasks"] * 3


@pytest.mark.parametrize("trouble", ["read-only", "out of memory"])
async def test_a_redis_that_takes_no_write_is_said(
    database: Database, redis_server: EmbeddedRedis, trouble: str
) -> None:
    async with switched(database, redis_server.url) as parts:
        await parts.waiting(2)
        parts.redis.rpush("rq:queue:rag_processing", "whose")
        await parts.say("background_tasks")
        if trouble == "read-only":
            parts.redis.replicaof("127.0.0.1", "1")
        else:
            parts.redis.config_set("maxmemory", "1")

        result = await to_background(parts)

        assert (result.migrated, result.dead_lettered) == (2, 1)
        # Removals need no memory.
        assert result.redis == ("refused" if trouble == "read-only" else "ok")


async def test_garbage_under_our_keys_is_no_obstacle(parts: Switched) -> None:
    parts.redis.set("rq:queue:rag_processing_high", "a text")
    parts.redis.hset("rq:wip:rag_processing", "a", "hash")
    parts.redis.set("rq:queue:migration_failed", "a text")
    submitted = await parts.waiting(2)
    parts.redis.set("rq:job:strange", "no hash")
    parts.redis.rpush("rq:queue:rag_processing", "strange")
    await parts.say("background_tasks")

    result = await to_background(parts)

    assert (result.migrated, result.dead_lettered, parts.queued()) == (2, 1, [])
    assert result.as_json()["unreadable"] == ["rq:queue:rag_processing_high"]
    assert await parts.backends(submitted) == ["background_tasks"] * 2
