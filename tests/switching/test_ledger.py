"""The ledger: each loss, each duplicate and each orphan that a test plants is counted, and a busy system shows none."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes
from generation_service.database.tables import counters, episodes, events, jobs, projects
from generation_service.jobs import settlement
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job
from generation_service.jobs.pruning import prune_jobs
from generation_service.switching.ledger import LedgerReport
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.switched import Switched, switched
from tests.support.toy import ToyKind, nothing, until
from workers.names import rq_id

LATER = 2_000_000_000
EPISODES = itertools.count(1)


@pytest.fixture
async def parts(database: Database, redis_url: str) -> AsyncIterator[Switched]:
    async with switched(database, redis_url, ToyKind({"one": nothing}, kind="generation")) as built:
        built.ledger._between_looks_seconds = 0.01
        await built.say("rq")
        yield built


def found(report: LedgerReport) -> tuple[int, int, int]:
    return report.lost, report.duplicated, report.unexplained


async def wrong(parts: Switched) -> tuple[int, int, int]:
    return found(await parts.ledger.check())


async def ended(parts: Switched, *, project_id: str | None = None) -> Job:
    job = await parts.core.submit(backend="background_tasks", project_id=project_id)
    return await parts.core.run(job)


async def write(parts: Switched, statement: object) -> None:
    await parts.core.database.write(lambda connection: connection.execute(statement))  # type: ignore[call-overload]


async def test_what_was_accepted_is_live_or_has_ended(parts: Switched) -> None:
    await parts.waiting(2)
    await parts.scheduled(1)
    await parts.running(1, "background_tasks")
    await ended(parts)
    await parts.core.jobs.cancel((await parts.waiting(1, "background_tasks"))[0].id)

    told = (await parts.ledger.check()).as_json()

    assert (told["clean"], told["accepted"], told["ended"]) == (True, 6, 2)
    assert {name: told[name] for name in ("pending", "running", "completed", "failed", "cancelled")} == {
        "pending": 3,
        "running": 1,
        "completed": 1,
        "failed": 0,
        "cancelled": 1,
    }
    assert told["by_backend"]["rq"]["pending"] == 3
    assert (told["rq"]["redis"], told["rq"]["queue"]) == ("ok", 2)


async def test_a_row_that_vanished_is_lost_whether_it_had_ended_or_not(parts: Switched) -> None:
    live, done = (await parts.waiting(1, "background_tasks"))[0], await ended(parts)

    await write(parts, delete(jobs).where(jobs.c.id == live.id))
    assert await wrong(parts) == (1, 0, 0)
    await write(parts, delete(jobs).where(jobs.c.id == done.id))
    assert await wrong(parts) == (2, 0, 0)


async def test_a_delivery_that_is_nowhere_is_lost_until_it_is_made_again(parts: Switched) -> None:
    (job,) = await parts.waiting(1)
    parts.redis.delete("rq:queue:rag_processing")
    assert await wrong(parts) == (0, 0, 0), "it may still be on its way"
    await parts.change(job, delivered_at=db_now(-2))

    report = await parts.ledger.check()

    assert found(report) == (1, 0, 0)
    assert report.findings["lost"] == [f"delivery {rq_id(job)}"]
    parts.redis.rpush("rq:queue:rag_processing", rq_id(job))
    assert await wrong(parts) == (0, 0, 0)


async def test_what_a_worker_has_popped_or_runs_or_has_finished_is_not_lost(parts: Switched) -> None:
    popped, started, finished = await parts.waiting(3)
    parts.redis.delete("rq:queue:rag_processing")
    parts.redis.rpush("rq:queue:rag_processing:intermediate", rq_id(popped))
    parts.redis.zadd("rq:wip:rag_processing", {f"{rq_id(started)}:{uuid4().hex}": LATER})
    parts.redis.zadd("rq:finished:rag_processing", {rq_id(finished): LATER})
    for job in (popped, started, finished):
        await parts.change(job, delivered_at=db_now(-2))

    assert await wrong(parts) == (0, 0, 0)


async def test_an_ending_that_was_counted_twice_is_a_duplicate(parts: Switched) -> None:
    await ended(parts)
    await write(parts, update(counters).where(counters.c.name == "ended").values(value=counters.c.value + 1))

    assert await wrong(parts) == (0, 1, 0)


async def test_a_job_whose_events_end_it_twice_is_a_duplicate(parts: Switched) -> None:
    job = await ended(parts)
    twice = {"job_id": job.id, "sequence": 99, "type": "completed", "data": {}, "created_at": db_now()}
    await write(parts, insert(events).values(**twice))

    assert await wrong(parts) == (0, 1, 0)


async def test_a_job_that_was_reopened_may_end_again(parts: Switched) -> None:
    job = await parts.core.submit(backend="background_tasks", max_attempts=1)
    (claim,) = await parts.core.executor.claim_waiting("background_tasks", 1)
    await parts.change(job, lease_until=db_now(-1))
    seen = await parts.job(claim)
    core = parts.core
    await core.database.write(lambda connection: settlement.rescue(connection, seen, core.kinds, core.policy))
    assert (await parts.job(job)).status == "failed"
    reopened = await core.jobs.reopen(job.id)
    assert await wrong(parts) == (0, 0, 0)
    await parts.change(reopened, backend="background_tasks")
    assert (await core.run(job)).status == "completed"

    assert await wrong(parts) == (0, 0, 0)


async def test_the_same_delivery_twice_is_a_duplicate(parts: Switched) -> None:
    once, twice = await parts.waiting(2)
    parts.redis.rpush("rq:queue:rag_processing", rq_id(twice))
    assert await wrong(parts) == (0, 1, 0)
    parts.redis.zadd("rq:wip:rag_processing_high", {f"{rq_id(once)}:x": LATER})
    assert await wrong(parts) == (0, 2, 0)


async def test_an_episode_too_many_is_a_duplicate_and_one_too_few_a_loss(parts: Switched) -> None:
    for number, name in enumerate(("p1", "p2"), 1):
        await write(parts, insert(projects).values(id=name, user_id="ana", episode_count=number, created_at=db_now()))
    await write(parts, insert(episodes).values([an_episode("p1", 1), an_episode("p2", 1), an_episode("p2", 2)]))
    assert await wrong(parts) == (0, 0, 0)

    await write(parts, insert(episodes).values(**an_episode("p1", 2)))
    assert await wrong(parts) == (0, 1, 0)
    await write(parts, delete(episodes).where(episodes.c.project_id == "p2", episodes.c.number == 2))
    assert await wrong(parts) == (1, 1, 0)


async def test_what_is_looked_at_again_and_again_shows_what_happened_to_episodes_lately(
    parts: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.jobs.ledger._LAST_EPISODES", 3)
    for name, count in (("long", 5), ("short", 2), ("former", 1)):
        await write(parts, insert(projects).values(id=name, user_id="ana", episode_count=count, created_at=db_now()))
    for name, number in (("former", 1), *(("long", number) for number in range(1, 6)), ("short", 1), ("short", 2)):
        await write(parts, insert(episodes).values(**an_episode(name, number)))
    assert found(await parts.ledger.check(lately=True)) == (0, 0, 0)

    await write(parts, update(projects).where(projects.c.id == "former").values(episode_count=2))
    assert found(await parts.ledger.check(lately=True)) == (0, 0, 0), "its last episode was long ago"
    assert await wrong(parts) == (1, 0, 0)
    await write(parts, delete(episodes).where(episodes.c.project_id == "long", episodes.c.number == 4))
    assert found(await parts.ledger.check(lately=True)) == (1, 0, 0)
    await write(parts, insert(episodes).values(**an_episode("short", 3)))
    assert found(await parts.ledger.check(lately=True)) == (0, 1, 0)
    assert await wrong(parts) == (2, 1, 0)


def an_episode(project: str, number: int) -> dict[str, object]:
    texts = dict.fromkeys(("recipe", "title", "language", "generator"), "ko")
    return {
        "id": f"{next(EPISODES):036}",  # the newest is the last, on however coarse a clock
        "project_id": project,
        "number": number,
        "job_id": uuid7(),
        **texts,
        "content": {},
        "created_at": db_now(),
    }


async def test_an_id_that_the_database_does_not_know_is_unexplained(parts: Switched) -> None:
    parts.redis.rpush("rq:queue:rag_processing", f"{uuid7()}-1")
    assert await wrong(parts) == (0, 0, 1)
    parts.redis.zadd("rq:failed:rag_processing_low", {"nobody": LATER})

    report = await parts.ledger.check()

    assert found(report) == (0, 0, 2)
    assert any("nobody" in one for one in report.findings["unexplained"])


async def test_a_key_of_ours_that_holds_something_else_is_unexplained(parts: Switched) -> None:
    parts.redis.set("rq:wip:rag_processing", "a text")

    report = await parts.ledger.check()

    assert (found(report), report.findings["unexplained"]) == ((0, 0, 1), ["key rq:wip:rag_processing"])


async def test_a_row_that_nobody_accepted_is_unexplained(parts: Switched) -> None:
    job = await ended(parts)
    row = await parts.core.database.read(
        lambda connection: dict(connection.execute(jobs.select().where(jobs.c.id == job.id)).one()._mapping)
    )
    await write(parts, insert(jobs).values(**{**row, "id": uuid7()}))

    assert await wrong(parts) == (0, 0, 1)


async def test_a_row_that_ended_behind_everybodys_back_is_unexplained(parts: Switched) -> None:
    (job,) = await parts.waiting(1, "background_tasks")
    await parts.change(job, status="completed", completed_at=db_now())

    assert await wrong(parts) == (0, 0, 1)


async def test_pruned_jobs_are_known(parts: Switched) -> None:
    job = await ended(parts)
    await parts.core.database.write(lambda connection: prune_jobs(connection, -1.0))
    parts.redis.zadd("rq:finished:rag_processing", {rq_id(job): LATER})

    report = await parts.ledger.check()

    assert (found(report), report.counts.pruned) == ((0, 0, 0), 1)


async def test_what_runs_in_a_process_that_has_ended_is_told(parts: Switched) -> None:
    await parts.running(2, "background_tasks")  # in the process `here`
    for name, ended_at in (("here", None), ("elsewhere", db_now())):
        row = {"name": name, "role": "api", "host": "h", "pid": 1, "state": "serving", "figures": {}}
        await write(parts, insert(processes).values(**row, started_at=db_now(), seen_at=db_now(), ended_at=ended_at))
    assert (await parts.ledger.check()).held_by_the_dead == 0

    await write(parts, update(processes).where(processes.c.name == "here").values(ended_at=db_now()))

    report = await parts.ledger.check()
    assert (report.held_by_the_dead, found(report)) == (2, (0, 0, 0))


async def test_deliveries_of_jobs_that_moved_are_stale_and_nothing_worse(parts: Switched) -> None:
    moved, done = await parts.waiting(2)
    await parts.change(moved, backend="background_tasks")
    await parts.core.jobs.cancel(done.id)

    report = await parts.ledger.check()

    assert (found(report), report.stale) == ((0, 0, 0), 2)


async def test_with_redis_away_the_rest_is_counted(database: Database, redis_server: EmbeddedRedis) -> None:
    async with switched(database, redis_server.url) as parts:
        (job,) = await parts.waiting(1, "background_tasks")
        await write(parts, delete(jobs).where(jobs.c.id == job.id))
        redis_server.kill()

        report = await parts.ledger.check()

        assert (found(report), report.redis) == ((1, 0, 0), "unreachable")


async def test_what_is_different_at_the_second_look_is_not_reported(parts: Switched) -> None:
    parts.redis.rpush("rq:queue:rag_processing", "on-its-way")
    look, looks = parts.ledger._look, 0

    async def look_and_change(*arguments: Any, **options: Any) -> object:
        nonlocal looks
        looks += 1
        seen = await look(*arguments, **options)
        parts.redis.delete("rq:queue:rag_processing")
        return seen

    parts.ledger._look = look_and_change  # type: ignore[method-assign,assignment]

    assert (await wrong(parts), looks) == ((0, 0, 0), 2)


async def test_whoever_asks_again_and_again_gets_the_last_report_while_it_is_renewed(parts: Switched) -> None:
    first = await parts.ledger.recent(60)
    parts.redis.rpush("rq:queue:rag_processing", "nobody")

    assert await parts.ledger.recent(60) is first
    assert await parts.ledger.recent(0) is first

    async def is_renewed() -> bool:
        return await parts.ledger.recent(60) is not first

    await until(is_renewed)
    assert (await parts.ledger.recent(60)).unexplained == 1


async def test_what_is_delivered_while_somebody_looks_makes_the_look_no_longer(
    parts: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.ledger._PAGE", 1)
    monkeypatch.setattr("generation_service.switching.sync._DELIVERED_OVER_SECONDS", 0.0)
    for _ in range(3):
        await parts.core.submit(backend="rq")
    rests = 0

    async def submit_another() -> None:
        nonlocal rests
        rests += 1
        assert rests <= 3, "it goes on and on"
        await parts.core.submit(backend="rq")

    async for _ in parts.ledger._lost(submit_another):
        pass

    assert rests == 3


async def test_a_renewal_that_is_under_way_holds_up_no_stop(parts: Switched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.jobs.leisure._REST", 1e9)
    monkeypatch.setattr("generation_service.jobs.leisure._LONGEST_SECONDS", 3600.0)
    first = await parts.ledger.recent(60)
    parts.redis.rpush("rq:queue:rag_processing", "nobody")
    assert await parts.ledger.recent(0) is first

    await asyncio.wait_for(parts.ledger.close(), 60)


async def test_several_who_ask_at_once_make_it_count_once(parts: Switched) -> None:
    reports = await asyncio.gather(*(parts.ledger.recent(60) for _ in range(5)))

    assert len({id(report) for report in reports}) == 1


async def test_where_nothing_is_wrong_nobody_looks_again(parts: Switched) -> None:
    parts.ledger._between_looks_seconds = 3600.0
    await parts.waiting(3)

    assert await wrong(parts) == (0, 0, 0)
