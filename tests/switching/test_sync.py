"""The status sync names what differs between RQ and the database, mends it by the database, and twice is once."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from generation_service.database import Database, db_now
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.switched import Switched, switched
from workers.names import rq_id

LATER = 2_000_000_000


@pytest.fixture
async def parts(database: Database, redis_url: str) -> AsyncIterator[Switched]:
    async with switched(database, redis_url) as built:
        await built.say("rq")
        yield built


async def differences(parts: Switched, *, dry_run: bool = False) -> dict[str, Any]:
    told = (await parts.sync.run(dry_run=dry_run)).as_json()
    assert told["redis"] == "ok"
    assert told["differed"] == sum(one["count"] for one in told["differences"])
    return {one["difference"]: (one["count"], one["done"]) for one in told["differences"]}


async def test_where_nothing_differs_nothing_is_said(parts: Switched) -> None:
    await parts.waiting(3)
    await parts.waiting(1, "background_tasks")
    await parts.scheduled(1)

    assert await differences(parts) == {}


async def test_what_rq_has_finished_and_the_database_has_not_is_delivered_again(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    parts.redis.zadd("rq:finished:rag_processing", {rq_id(job): LATER})

    dry = await differences(parts, dry_run=True)
    assert (await parts.job(job)).delivered_at is not None
    real, again = await differences(parts), await differences(parts)

    assert dry == real == {"finished_in_rq_but_pending": (1, "delivered_again")}
    assert again == {}
    assert ((await parts.job(job)).status, (await parts.job(job)).delivered_at) == ("pending", None)


async def test_what_has_returned_to_waiting_since_is_no_difference(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    parts.redis.zadd("rq:finished:rag_processing", {rq_id(job): LATER})
    await parts.change(job, due_at=db_now(60), delivered_at=None)

    assert await differences(parts) == {}


async def test_what_was_delivered_and_is_nowhere_is_delivered_again(parts: Switched) -> None:
    job, fresh = await parts.waiting(2)
    parts.redis.delete("rq:queue:rag_processing")
    await parts.change(job, delivered_at=db_now(-2))

    assert await differences(parts) == {"lost_in_rq": (1, "delivered_again")}
    assert await differences(parts) == {}
    assert (await parts.job(job)).delivered_at is None
    assert (await parts.job(fresh)).delivered_at is not None


async def test_a_delivery_that_was_made_anew_meanwhile_is_left_alone(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    parts.redis.zadd("rq:finished:rag_processing", {rq_id(job): LATER})
    await parts.change(job, delivery=job.delivery + 1)
    parts.deliver([await parts.job(job)])

    assert await differences(parts) == {}
    assert (await parts.job(job)).delivered_at is not None


async def test_what_runs_here_and_is_gone_from_rq_is_said_and_left_to_its_lease(parts: Switched) -> None:
    gone, there = await parts.running(2)
    member = f"{rq_id(there.job)}:{uuid4().hex}"
    parts.redis.zadd("rq:wip:rag_processing", {member: time.time() + 60})

    assert await differences(parts) == {"running_but_gone_from_rq": (1, "left_to_its_lease")}
    assert (await parts.job(gone)).status == "running"


async def test_what_rqs_cleanup_failed_though_it_ended_well_is_corrected(parts: Switched) -> None:
    well, badly = await parts.waiting(2)
    parts.redis.delete("rq:queue:rag_processing")
    await parts.core.executor.execute(well.id, "rq")
    await parts.core.jobs.cancel(badly.id)
    parts.redis.zadd("rq:failed:rag_processing", {rq_id(well): LATER, rq_id(badly): LATER})

    assert await differences(parts) == {"failed_in_rq_but_completed": (1, "trace_removed")}
    assert await differences(parts) == {}
    assert parts.redis.zrange("rq:failed:rag_processing", 0, -1) == [rq_id(badly).encode()]
    assert not parts.redis.exists(f"rq:job:{rq_id(well)}")


async def test_what_rqs_cleanup_failed_while_it_waits_or_runs_is_put_right(parts: Switched) -> None:
    (claim,) = await parts.running(1)
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    parts.redis.zadd("rq:failed:rag_processing", {rq_id(claim.job): LATER, rq_id(job): LATER})
    parts.redis.zadd("rq:wip:rag_processing", {f"{rq_id(claim.job)}:{uuid4().hex}": LATER})

    assert await differences(parts) == {
        "failed_in_rq_but_pending": (1, "delivered_again"),
        "failed_in_rq_but_running": (1, "trace_removed"),
    }
    assert await differences(parts) == {}


async def test_what_has_ended_or_moved_or_was_delivered_anew_is_forgotten(parts: Switched) -> None:
    ended, moved, again, stays = await parts.waiting(4)
    await parts.core.jobs.cancel(ended.id)
    await parts.change(moved, backend="background_tasks")
    await parts.change(again, delivery=again.delivery + 1)
    parts.deliver([await parts.job(again)])

    assert await differences(parts) == {"ended_but_queued": (1, "forgotten"), "stale_delivery": (2, "forgotten")}
    assert await differences(parts) == {}
    assert parts.queued() == [rq_id(stays).encode(), rq_id(await parts.job(again)).encode()]


async def test_what_rq_believes_to_run_still_is_taken_out_when_its_heartbeat_has_ended(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    await parts.core.jobs.cancel(job.id)
    parts.redis.zadd("rq:wip:rag_processing", {f"{rq_id(job)}:dead": 1, f"{rq_id(job)}:alive": LATER})

    assert await differences(parts) == {"abandoned_in_rq": (1, "trace_removed")}
    assert parts.redis.zrange("rq:wip:rag_processing", 0, -1) == [f"{rq_id(job)}:alive".encode()]


async def test_what_nobody_knows_becomes_a_dead_letter_wherever_it_lies(parts: Switched) -> None:
    parts.redis.rpush("rq:queue:rag_processing", "one")
    parts.redis.zadd("rq:failed:rag_processing", {"two": LATER})
    parts.redis.zadd("rq:wip:rag_processing", {"three:x": LATER})

    assert await differences(parts) == {
        "unknown_in_rq": (2, "dead_letter"),
        "foreign_and_running": (1, "left_to_its_worker"),
    }
    assert len(await parts.letters()) == 2
    assert "unknown_in_rq" not in await differences(parts)


@pytest.mark.parametrize("trouble", ["dead", "read-only"])
async def test_a_redis_in_trouble_is_said(database: Database, redis_server: EmbeddedRedis, trouble: str) -> None:
    async with switched(database, redis_server.url) as parts:
        (job,) = await parts.waiting(1)
        await parts.core.jobs.cancel(job.id)
        redis_server.kill() if trouble == "dead" else parts.redis.replicaof("127.0.0.1", "1")

        report = await parts.sync.run(dry_run=False)

        assert report.redis == ("unreachable" if trouble == "dead" else "refused")
