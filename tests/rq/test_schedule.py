"""The ticker: armed from the rows, and never out of step for long."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq_scheduler import Scheduler
from sqlalchemy import insert

from generation_service.database import Database
from generation_service.database.tables import schedules
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.schedules import earliest_due
from scripts.embedded.redis_server import EmbeddedRedis
from tests.rq.support.deliveries import eventually, rq_queue
from tests.rq.support.working import ROOT, Seen, until, working
from workers.redis_connection import connect
from workers.schedule import JsonJob, Ticker

HIGH = "rag_processing_high"
PLANNED = Scheduler.scheduled_jobs_key


class Rows:
    """The earliest due time, as a test sets it; None: the database is away."""

    def __init__(self, due: datetime | None) -> None:
        self.due = due
        self.away = False

    def __call__(self) -> datetime | None:
        if self.away:
            raise DatabaseUnavailable("away")
        return self.due


def seconds(ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=ahead)


def ticker(url: str, rows: Rows) -> Ticker:
    return Ticker(connect(url, timeout_seconds=1), rows, interval_seconds=0.1)


@contextmanager
def ticking(url: str, rows: Rows) -> Iterator[None]:
    """A ticker on a thread of its own until the block ends."""
    stopping, loop = asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(ticker(url, rows).run(stopping)))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def test_the_earliest_enabled_row_counts(database: Database) -> None:
    first, second = seconds(60), seconds(120)
    rows = [("off", False, seconds(1)), ("late", True, second), ("soon", True, first)]
    plan = {"cron": "* * * * *", "timezone": "UTC", "kind": "prune", "request": {}}

    assert database.read_now(earliest_due) is None
    database.write_now(
        lambda connection: connection.execute(
            insert(schedules), [{"id": name, "enabled": on, "next_due_at": due, **plan} for name, on, due in rows]
        )
    )

    found = database.read_now(earliest_due)
    assert found is not None
    assert abs(found - first) < timedelta(milliseconds=2)


def test_a_tick_is_planned_for_its_time_and_enqueued_when_it_has_come(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    rows = Rows(due=seconds(1.2))
    one = ticker(redis_url, rows)

    one.turn()
    [(tick, score)] = client.zrange(PLANNED, 0, -1, withscores=True)
    assert rows.due is not None
    assert 0 <= score - rows.due.timestamp() < 1
    assert rq_queue(client, HIGH).job_ids == []

    eventually(lambda: one.turn() and rq_queue(client, HIGH).job_ids == [tick.decode()])
    entry = JsonJob.fetch(tick.decode(), connection=client)
    assert (entry.func_name, entry.args, entry.timeout) == ("workers.entrypoints.fire_schedules", [], -1)


def test_ticks_do_not_pile_up_while_no_worker_is_there(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    one = ticker(redis_url, Rows(due=seconds(-3600)))

    for _ in range(5):
        one.turn()

    assert len(rq_queue(client, HIGH).job_ids) == 1


def test_a_scheduler_that_died_between_enqueueing_and_forgetting_leaves_no_second_tick(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    client.rpush(f"rq:queue:{HIGH}", "tick-7")
    client.zadd(PLANNED, {"tick-7": 7})

    ticker(redis_url, Rows(due=None)).turn()

    assert rq_queue(client, HIGH).job_ids == ["tick-7"]
    assert client.zcard(PLANNED) == 0


def test_a_tick_that_was_lost_or_fired_in_vain_comes_again(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    one = ticker(redis_url, Rows(due=seconds(-1)))
    one.turn()

    client.flushdb()  # as when the scheduler or the worker dies with the tick in its hands
    one.turn()

    assert len(rq_queue(client, HIGH).job_ids) == 1


def test_without_rows_nothing_is_planned(redis_url: str) -> None:
    ticker(redis_url, Rows(due=None)).turn()

    assert Redis.from_url(redis_url).zcard(PLANNED) == 0


def test_what_others_planned_or_planted_is_left_alone(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    client.hset("rq:job:tick-x", mapping={"data": b"\x80garbage", "origin": "rag_processing", "status": "?"})
    client.hset("rq:job:tick-7", mapping={"data": b"\x80garbage", "origin": "elsewhere", "status": "?"})
    client.zadd(PLANNED, {"of-another-application": 1, "tick-x": 1, "tick-7": 1})

    ticker(redis_url, Rows(due=None)).turn()

    assert client.zrange(PLANNED, 0, -1) == [b"of-another-application", b"tick-x"]
    assert rq_queue(client, HIGH).job_ids == ["tick-7"]
    assert JsonJob.fetch("tick-7", connection=client).func_name == "workers.entrypoints.fire_schedules"


def test_two_schedulers_enqueue_a_tick_once(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    rows = Rows(due=seconds(-1))
    client.set(Scheduler.scheduler_lock_key, "another's", ex=60)

    ticker(redis_url, rows).turn()
    assert rq_queue(client, HIGH).job_ids == [], "another holds the lock"
    assert client.get(Scheduler.scheduler_lock_key) == b"another's"

    client.delete(Scheduler.scheduler_lock_key)
    ticker(redis_url, rows).turn()
    ticker(redis_url, rows).turn()
    assert len(rq_queue(client, HIGH).job_ids) == 1


async def test_a_tick_reaches_a_worker(redis_url: str) -> None:
    rows, seen = Rows(due=seconds(0.5)), Seen()

    async def on_tick() -> None:
        seen.ticks += 1
        rows.due = None  # as when `fire_due` has moved the row on

    with ticking(redis_url, rows):
        async with working(redis_url, seen.callbacks(on_tick=on_tick)):
            await until(lambda: seen.ticks)


def test_the_ticker_survives_redis_and_the_database_being_away(redis_server: EmbeddedRedis) -> None:
    rows = Rows(due=None)
    with ticking(redis_server.url, rows):
        client = Redis.from_url(redis_server.url)
        eventually(lambda: client.keys("rq:scheduler_instance:*"))
        redis_server.kill()
        rows.away = True
        redis_server.start()
        eventually(lambda: Redis.from_url(redis_server.url).keys("rq:scheduler_instance:*"))
        rows.away, rows.due = False, seconds(-1)
        eventually(lambda: rq_queue(Redis.from_url(redis_server.url), HIGH).count == 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_scheduler_ends_cleanly_on_a_signal(redis_url: str, sqlite_url: str, number: signal.Signals) -> None:
    program = Path(sys.executable).with_name("generation-service")
    environment = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": sqlite_url}
    client = Redis.from_url(redis_url)
    with subprocess.Popen([program, "scheduler"], cwd=ROOT, env=environment) as process:
        try:
            eventually(lambda: client.keys("rq:scheduler_instance:*"))
            process.send_signal(number)
            assert process.wait(20) == 0
        finally:
            process.kill()
    [key] = client.keys("rq:scheduler_instance:*")
    assert client.hexists(key, "death")
