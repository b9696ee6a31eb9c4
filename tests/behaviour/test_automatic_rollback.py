"""Redis dies and nobody is there: the service rolls back by itself, once, whoever is killed; flapping moves nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from generation_service.database import Database
from generation_service.database.operations import processes, switches
from generation_service.switching.observations import RedisSeen, redis_seen
from scripts.embedded.redis_server import EmbeddedRedis
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(300)


@dataclass
class Alone:
    """A service that nobody watches, with three API processes."""

    stack: Stack
    database: Database

    def switches(self) -> list[Any]:
        rows = select(switches).order_by(switches.c.id)
        return list(self.database.read_now(lambda connection: connection.execute(rows).all()))

    def seen(self) -> RedisSeen:
        return self.database.read_now(redis_seen)

    def mode(self) -> str:
        return str(self.stack.http.get("/health").json()["worker_system"]["type"])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        self.stack.until(condition, what, 60)


@pytest.fixture
def alone(database: Database, database_url: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Alone]:
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_server.url,
        "ROLLBACK_ON_REDIS_SECONDS": "3",
        "ROLLBACK_ON_MEMORY_PERCENT": "0",
    }
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve("--workers", "3")
        running.worker()
        yield Alone(running, database)


def test_redis_dies_and_three_processes_roll_back_once(alone: Alone, redis_server: EmbeddedRedis) -> None:
    accepted = [alone.stack.submit(project="night") for _ in range(5)]
    alone.until(lambda: alone.seen().reached_at is not None, "Redis was seen")

    redis_server.kill()
    alone.until(lambda: bool(alone.switches()) and alone.switches()[0].status == "completed", "it has rolled back")

    (switch,) = alone.switches()
    assert (switch.source, switch.said_by) == ("trigger", "trigger:redis")
    # It began after the threshold, counted from the first failure
    since = datetime.fromisoformat(switch.report["evidence"]["failing_since"])
    assert (switch.started_at - since).total_seconds() >= 3
    assert alone.mode() == "background_tasks"
    for job in accepted:
        assert alone.stack.wait_for(job["job_id"])["status"] == "completed"
    assert len(alone.switches()) == 1


def test_redis_that_comes_and_goes_moves_nothing(alone: Alone, redis_server: EmbeddedRedis) -> None:
    alone.until(lambda: alone.seen().reached_at is not None, "Redis was seen")
    began = alone.seen().now

    while (alone.seen().now - began).total_seconds() < 10:
        redis_server.kill()
        alone.until(lambda: alone.seen().failing_since is not None, "it was missed")
        redis_server.start()
        alone.until(lambda: alone.seen().failing_since is None, "it was reached")

    assert alone.switches() == []
    assert alone.mode() == "rq"


def test_the_process_that_rolls_back_is_killed_and_another_finishes(alone: Alone, redis_server: EmbeddedRedis) -> None:
    alone.until(lambda: alone.seen().reached_at is not None, "Redis was seen")
    redis_server.freeze()  # each look at it takes its whole time-out: there is a half-way
    alone.until(lambda: bool(alone.switches()), "a rollback has begun")

    (begun,) = alone.switches()
    of_holder = select(processes.c.pid).where(processes.c.name == begun.holder.rpartition("/")[0])
    pid = alone.database.read_now(lambda connection: connection.execute(of_holder).scalar_one())
    os.kill(pid, signal.SIGKILL)

    alone.until(lambda: alone.switches()[0].status == "completed", "another one has finished it")
    (switch,) = alone.switches()
    assert [step["name"] for step in switch.report["steps"]] == ["flag", "migrate", "sync", "verify", "report"]
    redis_server.thaw()
