"""Wakeups: one suite of behaviours for every implementation, and what each does when its server is away."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from generation_service.wakeups import Fanout, InProcessWakeups, RedisWakeups, Subscription
from generation_service.wakeups.postgres_channel import PostgresWakeups
from scripts.embedded.redis_server import EmbeddedRedis
from workers.redis_connection import connect

DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Pair:
    """Who wakes, and who reads: two processes, as far as the implementation can tell."""

    waker: Fanout
    reader: Fanout


@contextmanager
def started(*fanouts: Fanout) -> Iterator[None]:
    for fanout in fanouts:
        fanout.start()
    try:
        yield
    finally:
        for fanout in fanouts:
            fanout.stop()


def redis_fanout(url: str) -> Fanout:
    local = InProcessWakeups()
    return Fanout(local, [RedisWakeups(partial(connect, url, timeout_seconds=1.0), local.wake)])


def postgres_fanout(url: str) -> Fanout:
    local = InProcessWakeups()
    return Fanout(local, [PostgresWakeups(make_url(url), local.wake)])


@pytest.fixture(params=["in-process", "redis", "postgresql"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    if request.param == "in-process":
        same = Fanout(InProcessWakeups())
        yield Pair(same, same)
        return
    make: Callable[[str], Fanout]
    make, url = (
        (redis_fanout, request.getfixturevalue("redis_url"))
        if request.param == "redis"
        else (postgres_fanout, request.getfixturevalue("postgresql_url"))
    )
    found = Pair(make(url), make(url))
    with started(found.waker, found.reader):
        await wait_for_connection(found)
        yield found


async def wait_for_connection(pair: Pair) -> None:
    with pair.reader.subscribe("hello") as news:
        await woken(news, partial(pair.waker.wake, ["hello"]))


async def woken(news: Subscription, again: Callable[[], None]) -> None:
    """Call `again` until news comes."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        again()
        while not await news.wait(0.2):
            again()


async def test_a_reader_is_woken_by_news_of_its_job(pair: Pair) -> None:
    with pair.reader.subscribe("a") as news:
        pair.waker.wake(["a", "b"])

        assert await news.wait(DEADLINE_SECONDS)


async def test_a_reader_is_not_woken_by_news_of_another_job(pair: Pair) -> None:
    with pair.reader.subscribe("a") as mine, pair.reader.subscribe("b") as other:
        pair.waker.wake(["b"])

        assert await other.wait(DEADLINE_SECONDS)
        assert not mine.news.is_set()


async def test_every_reader_of_a_job_is_woken(pair: Pair) -> None:
    with pair.reader.subscribe("a") as one, pair.reader.subscribe("a") as other:
        pair.waker.wake(["a"])

        assert await one.wait(DEADLINE_SECONDS)
        assert await other.wait(DEADLINE_SECONDS)


async def test_news_that_comes_before_the_wait_counts(pair: Pair) -> None:
    with pair.reader.subscribe("a") as news, pair.reader.subscribe("z") as last:
        pair.waker.wake(["a"])
        pair.waker.wake(["z"])
        assert await last.wait(DEADLINE_SECONDS)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await news.news.wait()

        assert await news.wait(0)


async def test_a_thousand_ids_at_once_all_arrive(pair: Pair) -> None:
    ids = [f"0199aaaa-0000-7000-8000-{number:012d}" for number in range(1000)]
    with pair.reader.subscribe(ids[0]) as first, pair.reader.subscribe(ids[-1]) as last:
        pair.waker.wake(ids)

        assert await first.wait(DEADLINE_SECONDS)
        assert await last.wait(DEADLINE_SECONDS)


async def test_waking_from_another_thread_works(pair: Pair) -> None:
    with pair.reader.subscribe("a") as news:
        thread = threading.Thread(target=pair.waker.wake, args=(["a"],))
        thread.start()

        assert await news.wait(DEADLINE_SECONDS)
        thread.join()


async def test_nothing_is_watched_once_all_readers_are_gone(pair: Pair) -> None:
    with pair.reader.subscribe("a"), pair.reader.subscribe("a"):
        assert pair.reader.watched() == {"a"}

    assert pair.reader.watched() == set()


async def test_however_much_comes_a_loop_is_asked_once_and_each_reader_told_once() -> None:
    local, loop = InProcessWakeups(), asyncio.get_running_loop()
    told: list[str] = []
    asked = 0
    original = loop.call_soon_threadsafe

    def count(*arguments: Any, **options: Any) -> asyncio.Handle:
        nonlocal asked
        asked += 1
        return original(*arguments, **options)

    with local.listen("a", partial(told.append, "a")), local.listen("b", partial(told.append, "b")):
        loop.call_soon_threadsafe = count  # type: ignore[method-assign]
        for _ in range(500):
            local.wake(["a", "b", "of nobody"])
        del loop.call_soon_threadsafe  # type: ignore[method-assign]
        await asyncio.sleep(0)
        assert (asked, sorted(told)) == (1, ["a", "b"])

        local.wake(["a"])
        await asyncio.sleep(0)
        assert sorted(told) == ["a", "a", "b"]


async def test_who_is_gone_by_then_is_not_told() -> None:
    local, told = InProcessWakeups(), list[str]()
    with local.listen("a", partial(told.append, "a")):
        local.wake(["a"])
    await asyncio.sleep(0)

    assert told == []


async def test_a_loop_that_is_closed_keeps_nobody_else_from_being_told() -> None:
    local, told = InProcessWakeups(), list[str]()

    async def forever() -> None:
        local.listen("a", partial(told.append, "of a closed loop")).__enter__()

    await asyncio.to_thread(asyncio.run, forever())
    with local.listen("a", partial(told.append, "here")):
        for _ in range(2):
            local.wake(["a"])
            await asyncio.sleep(0)

    assert told == ["here", "here"]


async def test_a_wait_that_brings_nothing_ends_in_time() -> None:
    with InProcessWakeups().subscribe("a") as news:
        assert not await news.wait(0.01)


async def test_redis_wakeups_come_again_once_redis_is_back(redis_server: EmbeddedRedis) -> None:
    pair = Pair(redis_fanout(redis_server.url), redis_fanout(redis_server.url))
    with started(pair.waker, pair.reader):
        await wait_for_connection(pair)
        redis_server.kill()
        pair.waker.wake(["a"])
        redis_server.start()

        with pair.reader.subscribe("a") as news:
            await woken(news, partial(pair.waker.wake, ["a"]))


async def test_a_frozen_redis_holds_nobody_up(redis_server: EmbeddedRedis) -> None:
    pair = Pair(redis_fanout(redis_server.url), redis_fanout(redis_server.url))
    with started(pair.waker, pair.reader):
        await wait_for_connection(pair)
        redis_server.freeze()
        try:
            began = time.monotonic()
            for number in range(1000):
                pair.waker.wake([f"job-{number}"])
            assert time.monotonic() - began < 0.5
        finally:
            redis_server.thaw()


async def test_readers_of_the_same_process_are_woken_with_redis_gone() -> None:
    fanout = redis_fanout("redis://127.0.0.1:1/0")
    with started(fanout), fanout.subscribe("a") as news:
        fanout.wake(["a"])

        assert await news.wait(DEADLINE_SECONDS)


async def test_postgresql_wakeups_come_again_after_their_connections_were_cut(postgresql_url: str) -> None:
    pair = Pair(postgres_fanout(postgresql_url), postgres_fanout(postgresql_url))
    with started(pair.waker, pair.reader):
        await wait_for_connection(pair)
        engine = create_engine(make_url(postgresql_url).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
        engine.dispose()

        with pair.reader.subscribe("a") as news:
            await woken(news, partial(pair.waker.wake, ["a"]))


def test_a_channel_that_was_never_started_stops_at_once() -> None:
    fanout = redis_fanout("redis://127.0.0.1:1/0")

    began = time.monotonic()
    fanout.stop()

    assert time.monotonic() - began < 1.0


async def test_a_stop_waits_for_no_turn(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.wakeups.redis_channel._TURN_SECONDS", 3600.0)
    channel = RedisWakeups(partial(connect, redis_url, timeout_seconds=1.0), lambda _: None)
    channel.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not channel.listening:  # noqa: ASYNC110 - a thread subscribes
            await asyncio.sleep(0.01)
    assert channel._hearing is not None

    await asyncio.to_thread(channel.stop)

    assert not channel._hearing._thread.is_alive()
