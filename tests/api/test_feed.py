"""The feed: every follower of a log sees 1, 2, 3 ... whatever wakes it, drops out or joins late."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest

from generation_service.api import feed as feeds
from generation_service.api.failures import told_in
from generation_service.api.feed import Feed, Follower
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import loops
from generation_service.jobs.event_log import LogPage, Place
from generation_service.jobs.model import EventType, JobEvent, JobId
from generation_service.wakeups import Fanout, InProcessWakeups

JOB = JobId("0199aaaa-0000-7000-8000-000000000001")
OTHER = JobId("0199aaaa-0000-7000-8000-000000000002")


class Log:
    """An event log in memory, of every job the same; `reads` are the places of each query."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self.reads: list[Sequence[Place]] = []
        self.failures = 0
        self.page = 500

    def append(self, *types: EventType) -> None:
        for type_ in types:
            sequence = len(self.events) + 1
            self.events.append(JobEvent(job_id=JOB, sequence=sequence, type=type_, data={"sequence": sequence}))

    async def read(self, places: Sequence[Place]) -> Mapping[Place, LogPage]:
        self.reads.append(places)
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("away")
        return {place: self._page_behind(place[1]) for place in places}

    def _page_behind(self, after: int) -> LogPage:
        events = self.events[after : after + self.page]
        return LogPage(events, whole=len(events) < self.page)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def wakeups() -> Fanout:
    return Fanout(InProcessWakeups())


@pytest.fixture
async def feed(log: Log, wakeups: Fanout) -> AsyncIterator[Feed]:
    """A feed that reads at once, and never polls after its first look."""
    feed = Feed(log=log, news=wakeups, poll_seconds=3600, spacing_seconds=0)
    feed.start()
    yield feed
    await feed.stop()


async def sequences(follower: Follower) -> list[int]:
    return [entry.sequence async for batch in follower.batches() for entry in batch]


@asynccontextmanager
async def reading(
    feed: Feed, after: int = 0, known: int = 1, job_id: JobId = JOB
) -> AsyncIterator[asyncio.Task[list[int]]]:
    with feed.follow(job_id, after=after, known=known) as follower:
        task = asyncio.create_task(sequences(follower))
        await asyncio.sleep(0)
        yield task
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until `condition` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


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

    async with reading(feed, after=2, known=3) as task:
        assert await asyncio.wait_for(task, 5) == [3]


async def test_a_log_of_many_pages_is_read_whole(feed: Feed, log: Log) -> None:
    for _ in range(3 * log.page):
        log.append("token")
    log.append("completed")

    async with reading(feed) as task:
        assert await asyncio.wait_for(task, 5) == list(range(1, 3 * log.page + 2))


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
    followers = [reading(feed, after=1) for _ in range(10)]
    tasks = [await one.__aenter__() for one in followers]
    await settled()
    assert log.reads == []

    log.append("token")
    wakeups.wake([JOB])
    await settled()

    assert log.reads == [[(JOB, 1)]]
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


async def test_an_ending_at_the_end_of_a_page_is_not_taken_for_the_end_of_the_log(feed: Feed, log: Log) -> None:
    log.page = 2
    log.append("status", "failed", "retry", "completed")

    async with reading(feed) as task:
        assert await asyncio.wait_for(task, 5) == [1, 2, 3, 4]


async def test_a_follower_that_takes_nothing_is_held_in_bounds_and_misses_nothing(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_MOST_QUEUED", 5)
    log.append("status")
    with feed.follow(JOB, after=0, known=1) as follower:
        batches = follower.batches()
        seen = [entry.sequence for entry in await anext(batches)]
        for _ in range(40):
            log.append("token")
            wakeups.wake([JOB])
            await settled()
            assert len(follower._queue) <= 5
        log.append("completed")
        wakeups.wake([JOB])
        await settled()

        seen += [entry.sequence async for batch in batches for entry in batch]

    assert seen == list(range(1, 43))


async def test_an_outage_of_the_database_delays_a_follower_and_loses_nothing(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_ERROR_PAUSE_SECONDS", 0.0)
    log.append("status")
    log.failures = 3
    async with reading(feed) as task:
        await until(lambda: not log.failures)
        log.append("completed")
        wakeups.wake([JOB])

        assert await asyncio.wait_for(task, 5) == [1, 2]


async def test_news_that_came_during_an_outage_is_read_after_it(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_ERROR_PAUSE_SECONDS", 0.0)
    log.append("status")
    async with reading(feed, after=1) as task:
        log.failures = 3
        log.append("completed")
        wakeups.wake([JOB])

        assert await asyncio.wait_for(task, 5) == [2]


async def test_a_follower_is_stopped_while_the_database_is_away(feed: Feed, log: Log) -> None:
    log.append("status")
    log.failures = 1_000_000
    with feed.follow(JOB, after=0, known=1) as follower:
        task = asyncio.create_task(sequences(follower))
        await until(lambda: bool(log.reads))
        follower.stop()

        assert await asyncio.wait_for(task, 5) == []


async def test_a_follower_that_is_stopped_comes_to_its_end(feed: Feed, log: Log) -> None:
    log.append("status")
    with feed.follow(JOB, after=0, known=1) as follower:
        task = asyncio.create_task(sequences(follower))
        await settled()
        follower.stop()

        assert await asyncio.wait_for(task, 5) == [1]


async def test_nothing_is_read_or_watched_once_all_followers_are_gone(feed: Feed, log: Log, wakeups: Fanout) -> None:
    async with reading(feed):
        await settled()
        assert wakeups.watched() == {JOB}

    assert wakeups.watched() == set()
    before = len(log.reads)
    wakeups.wake([JOB])
    await settled()
    assert len(log.reads) == before


async def test_a_follower_that_is_stopped_while_it_reads_comes_to_its_end(feed: Feed, log: Log) -> None:
    log.append("status")
    with feed.follow(JOB, after=0, known=1) as follower:
        task = asyncio.create_task(sequences(follower))
        await until(lambda: bool(log.reads))
        follower.stop()

        assert await asyncio.wait_for(task, 5) == []


async def test_a_thousand_jobs_with_news_are_read_by_one_query(feed: Feed, log: Log, wakeups: Fanout) -> None:
    log.append("status")
    jobs = [JobId(f"0199aaaa-0000-7000-8000-{number:012d}") for number in range(1000)]
    async with AsyncExitStack() as followers:
        tasks = [await followers.enter_async_context(reading(feed, after=1, job_id=one)) for one in jobs]
        log.append("completed")
        wakeups.wake(jobs)

        assert await asyncio.gather(*tasks) == [[2]] * 1000
    assert sorted(log.reads[0]) == [(job, 1) for job in jobs]
    assert len(log.reads) == 2  # the news, and whether the endings are the end


async def test_a_thousand_that_come_back_to_one_job_cost_one_read(feed: Feed, log: Log) -> None:
    log.append("status", "step", "token")
    with ExitStack() as contexts:
        followers = [contexts.enter_context(feed.follow(JOB, after=1, known=3)) for _ in range(1000)]

        batches = await asyncio.gather(*(anext(follower.batches()) for follower in followers))

    assert {tuple(entry.sequence for entry in batch) for batch in batches} == {(2, 3)}
    assert log.reads == [[(JOB, 1)]]


async def test_an_event_is_encoded_once_for_all_who_are_told_the_same(feed: Feed, log: Log, wakeups: Fanout) -> None:
    log.append("status")
    with feed.follow(JOB, after=1, known=1) as one, feed.follow(JOB, after=1, known=1) as other:
        log.append("token")
        wakeups.wake([JOB])

        [mine], [others] = await anext(one.batches()), await anext(other.batches())

    assert mine.frame(told_in("ko")) is others.frame(told_in("ko"))
    assert b"hidden" in mine.frame(lambda data: {"text": "hidden"})


async def test_a_follower_that_joins_behind_what_the_reader_has_read_misses_nothing(
    feed: Feed, log: Log, wakeups: Fanout
) -> None:
    """Given a reader at event 3, and one who joins knowing of 2: it gets the third though nothing more comes."""
    log.append("status", "token")
    with feed.follow(JOB, after=2, known=2) as first:
        log.append("token")
        wakeups.wake([JOB])
        assert [entry.sequence for entry in await anext(first.batches())] == [3]

        with feed.follow(JOB, after=2, known=2) as later:
            async with asyncio.timeout(5):
                assert [entry.sequence for entry in await anext(later.batches())] == [3]


async def test_news_that_comes_while_a_log_is_being_read_is_read_after_it(
    feed: Feed, log: Log, wakeups: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append("status")
    read, under_way, goes_on = log.read, asyncio.Event(), asyncio.Event()

    async def slowly(places: Sequence[Place]) -> Mapping[Place, LogPage]:
        found = await read(places)  # what is appended from here on is not in it
        under_way.set()
        await goes_on.wait()
        return found

    monkeypatch.setattr(log, "read", slowly)
    async with reading(feed, after=1) as task:
        wakeups.wake([JOB])
        await under_way.wait()
        log.append("completed")
        wakeups.wake([JOB])
        await settled()
        goes_on.set()

        assert await asyncio.wait_for(task, 5) == [2]


async def test_a_ping_is_an_empty_batch_whatever_the_database_does(feed: Feed, log: Log) -> None:
    log.append("status")
    log.failures = 1_000_000
    with feed.follow(JOB, after=0, known=1) as follower:
        batches = follower.batches()
        follower.ping()

        assert await anext(batches) == ()


async def test_an_answer_that_was_cut_is_asked_for_again(feed: Feed, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a query that answers one place only: every follower gets its events all the same."""
    log.append("status", "completed")
    read = log.read

    async def one_at_a_time(places: Sequence[Place]) -> Mapping[Place, LogPage]:
        return await read(places[:1])

    monkeypatch.setattr(log, "read", one_at_a_time)
    async with reading(feed) as one, reading(feed, job_id=OTHER) as other, reading(feed, after=1, known=2) as third:
        assert await asyncio.gather(one, other, third) == [[1, 2], [1, 2], [2]]


async def test_the_poll_finds_what_no_wakeup_told_of(log: Log, wakeups: Fanout) -> None:
    feed = Feed(log=log, news=wakeups, poll_seconds=0.01)
    feed.start()
    log.append("status")
    async with reading(feed, after=1) as task:
        log.append("completed")

        assert await asyncio.wait_for(task, 5) == [2]
    await feed.stop()
