"""The feed: every follower of a log sees 1, 2, 3 ... whatever wakes it, drops out or joins late."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from generation_service.api import feed as feeds
from generation_service.api.feed import PAGE, Feed, Follower
from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import EventType, JobEvent, JobId
from generation_service.wakeups import Fanout, InProcessWakeups

JOB = JobId("0199aaaa-0000-7000-8000-000000000001")


class Log:
    """An event log in memory; `reads` counts how often it was read."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self.reads = 0
        self.failures = 0

    def append(self, *types: EventType) -> None:
        for type_ in types:
            sequence = len(self.events) + 1
            self.events.append(JobEvent(job_id=JOB, sequence=sequence, type=type_, data={"sequence": sequence}))

    async def events_after(self, job_id: JobId, after: int, limit: int = PAGE) -> Sequence[JobEvent]:
        self.reads += 1
        assert job_id == JOB
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("away")
        return self.events[after : after + limit]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def wakeups() -> Fanout:
    return Fanout(InProcessWakeups())


@pytest.fixture
def feed(log: Log, wakeups: Fanout, sqlite_database: Database) -> Feed:
    return Feed(log=log, database=sqlite_database, news=wakeups)


async def sequences(follower: Follower) -> list[int]:
    return [event.sequence async for batch in follower.batches() for event in batch]


@asynccontextmanager
async def reading(feed: Feed, after: int = 0, known: int = 0) -> AsyncIterator[asyncio.Task[list[int]]]:
    with feed.follow(JOB, after=after, known=known) as follower:
        task = asyncio.create_task(sequences(follower))
        await asyncio.sleep(0)
        yield task
        task.cancel()


async def settled() -> None:
    """Let everything that can run now run."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_follower_reads_what_is_there_and_ends_with_the_ending(feed: Feed, log: Log) -> None:
    log.append("status", "step", "completed")

    async with reading(feed) as task:
        assert await asyncio.wait_for(task, 5) == [1, 2, 3]


async def test_a_follower_begins_behind_the_event_it_names(feed: Feed, log: Log) -> None:
    log.append("status", "step", "completed")

    async with reading(feed, after=2) as task:
        assert await asyncio.wait_for(task, 5) == [3]


async def test_a_log_of_many_pages_is_read_whole(feed: Feed, log: Log) -> None:
    for _ in range(3 * PAGE):
        log.append("token")
    log.append("completed")

    async with reading(feed) as task:
        assert await asyncio.wait_for(task, 5) == list(range(1, 3 * PAGE + 2))


async def test_what_is_appended_reaches_everyone_who_follows(feed: Feed, log: Log, wakeups: Fanout) -> None:
    log.append("status")
    async with reading(feed) as one, reading(feed) as other:
        await settled()
        for _ in range(3):
            log.append("token")
            wakeups.wake([JOB])
            await settled()
        log.append("completed")
        wakeups.wake([JOB])

        assert await asyncio.wait_for(one, 5) == await asyncio.wait_for(other, 5) == [1, 2, 3, 4, 5]


async def test_ten_followers_cost_the_database_one_read_an_event(feed: Feed, log: Log, wakeups: Fanout) -> None:
    log.append("status")
    followers = [reading(feed, after=1, known=1) for _ in range(10)]
    tasks = [await one.__aenter__() for one in followers]
    await settled()
    before = log.reads

    log.append("token")
    wakeups.wake([JOB])
    await settled()

    assert log.reads - before == 1
    for one in followers:
        await one.__aexit__(None, None, None)
    assert all(task.cancelled() or task.cancelling() for task in tasks)


async def test_an_ending_that_is_not_the_last_event_ends_nothing(feed: Feed, log: Log, wakeups: Fanout) -> None:
    log.append("status", "failed", "retry")
    async with reading(feed) as task:
        await settled()
        assert not task.done()
        log.append("completed")
        wakeups.wake([JOB])

        assert await asyncio.wait_for(task, 5) == [1, 2, 3, 4]


async def test_an_ending_at_the_end_of_a_page_is_not_taken_for_the_end_of_the_log(
    feed: Feed, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 2)
    log.append("status", "failed", "retry", "completed")

    async with reading(feed) as task:
        assert await asyncio.wait_for(task, 5) == [1, 2, 3, 4]


async def test_a_follower_that_takes_nothing_is_held_in_bounds_and_misses_nothing(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_MOST_QUEUED", 5)
    log.append("status")
    with feed.follow(JOB, after=0, known=0) as follower:
        batches = follower.batches()
        seen = [event.sequence for event in await anext(batches)]
        for _ in range(40):
            log.append("token")
            wakeups.wake([JOB])
            await settled()
            assert len(follower._queue) <= 5
        log.append("completed")
        wakeups.wake([JOB])
        await settled()

        seen += [event.sequence async for batch in batches for event in batch]

    assert seen == list(range(1, 43))


async def test_an_outage_of_the_database_delays_a_follower_and_loses_nothing(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_POLL_SECONDS", 0.01)
    log.append("status")
    async with reading(feed) as task:
        await settled()
        log.failures = 3
        log.append("completed")
        while not task.done():
            wakeups.wake([JOB])
            await asyncio.wait({task}, timeout=0.05)

        assert task.result() == [1, 2]


async def test_a_follower_that_is_stopped_comes_to_its_end(feed: Feed, log: Log) -> None:
    log.append("status")
    with feed.follow(JOB, after=0, known=0) as follower:
        task = asyncio.create_task(sequences(follower))
        await settled()
        follower.stop()

        assert await asyncio.wait_for(task, 5) == [1]


async def test_nothing_is_read_or_watched_once_all_followers_are_gone(feed: Feed, log: Log, wakeups: Fanout) -> None:
    async with reading(feed):
        await settled()
        assert wakeups.watched() == {JOB}

    assert wakeups.watched() == set()
    before = log.reads
    wakeups.wake([JOB])
    await settled()
    assert log.reads == before


async def test_a_follower_that_is_stopped_while_it_reads_comes_to_its_end(feed: Feed, log: Log) -> None:
    log.append("status")
    with feed.follow(JOB, after=1, known=1) as follower:
        task = asyncio.create_task(sequences(follower))
        await asyncio.sleep(0)  # it reads now, and will find nothing
        assert log.reads == 1
        follower.stop()

        assert await asyncio.wait_for(task, 5) == []
