"""A series of failures counts from its first, is broken by whoever reaches Redis, and is never older than the watch."""

import asyncio
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from generation_service.database import Database
from generation_service.switching import observations
from generation_service.switching.observations import GAP_SECONDS, RedisSeen, RedisWatch, note, redis_seen
from scripts.embedded.redis_server import EmbeddedRedis
from workers.rq_adapter import RqBackend

START = datetime(2026, 1, 1, tzinfo=UTC)


def play(tries: Iterable[tuple[float, bool]]) -> list[float]:
    """For how long Redis counted as failing after each try, in seconds; each try is a second and its result."""
    row: dict[str, str | None] = {}
    failing = []
    for second, reached in sorted(tries):
        now = START + timedelta(seconds=second)
        known = {name: datetime.fromisoformat(at) for name, at in row.items() if at}
        seen = RedisSeen(now=now, **known)
        if seen.needs(reached=reached):
            row = seen.after(reached=reached)
        known = {name: datetime.fromisoformat(at) for name, at in row.items() if at}
        failing.append(RedisSeen(now=now, **known).failing.total_seconds())
    return failing


def each_half_second(seconds: float, start: float = 0.0) -> list[float]:
    return [start + number / 2 for number in range(int(seconds * 2))]


def test_a_series_counts_from_its_first_failure() -> None:
    assert play((second, False) for second in each_half_second(6))[-1] == 5.5


def test_flapping_every_two_seconds_never_looks_like_five() -> None:
    tries = [(second, int(second) % 4 < 2) for second in each_half_second(60)]

    assert max(play(tries)) < 2.5


def test_one_process_that_reaches_redis_is_enough() -> None:
    one_cannot = [(second, False) for second in each_half_second(30)]
    another_can = [(second + 0.1, True) for second in each_half_second(30)]

    assert max(play([*one_cannot, *another_can])) < 1


def test_a_gap_begins_a_new_series_so_that_nothing_from_before_fires_at_a_start() -> None:
    before = [(second, False) for second in each_half_second(4)]
    after = [(second, False) for second in each_half_second(2, start=3600)]

    assert play([*before, *after])[-1] == 1.5


def test_a_row_that_nobody_writes_to_any_more_says_nothing() -> None:
    long_ago = START - timedelta(seconds=GAP_SECONDS + 1)

    assert RedisSeen(now=START, failing_since=long_ago, tried_at=long_ago).failing == timedelta(0)


def test_what_changes_nothing_is_not_written_each_time() -> None:
    seen = RedisSeen(now=START, reached_at=START, tried_at=START - timedelta(seconds=1))

    assert not seen.needs(reached=True)
    assert seen.needs(reached=False)


def test_the_row_says_what_was_noted(database: Database) -> None:
    database.write_now(lambda connection: note(connection, reached=False))
    failing = database.read_now(redis_seen)
    database.write_now(lambda connection: note(connection, reached=True))
    reached = database.read_now(redis_seen)

    assert failing.failing_since is not None
    assert (failing.reached_at, reached.failing_since) == (None, None)
    assert reached.reached_at is not None


async def test_a_watch_sees_redis_go_and_come_back(sqlite_database: Database, redis_server: EmbeddedRedis) -> None:
    rq = RqBackend(redis_server.url, timeout_seconds=0.5)
    watch = RedisWatch(database=sqlite_database, ping=rq.ping)
    seen = []

    for change in (None, redis_server.kill, redis_server.start):
        if change is not None:
            change()
        await watch.look()
        seen.append((await sqlite_database.read(redis_seen)).failing_since is None)
    rq.close()

    assert seen == [True, False, True]


async def test_a_try_that_hangs_has_failed_and_no_second_one_hangs_beside_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "GAP_SECONDS", 0.2)
    answer, tries = threading.Event(), []

    def hang() -> bool:
        tries.append(1)
        return answer.wait(60)

    watch = RedisWatch(database=database, ping=hang)
    try:
        for _ in range(2):
            async with asyncio.timeout(30):
                await watch.look()
        failing = await database.read(redis_seen)
    finally:
        answer.set()
    monkeypatch.undo()
    await watch.look()

    assert (failing.failing_since is not None, failing.reached_at, len(tries)) == (True, None, 1)
    assert (await database.read(redis_seen)).failing_since is None


@pytest.mark.parametrize("reached", [True, False])
def test_a_first_try_is_always_written(*, reached: bool) -> None:
    assert RedisSeen(now=START).needs(reached=reached)
