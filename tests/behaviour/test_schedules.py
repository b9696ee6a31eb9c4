"""A schedule fires once, through whichever ticker is alive: RQ's, the in-process one, or one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq_scheduler import Scheduler
from sqlalchemy import Connection, func, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import firings, jobs, schedules
from generation_service.jobs.pruning import PRUNE
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def durable(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """An API, a worker and rq-scheduler; the schedule that is looked at prunes."""
    settings = {"USE_DURABLE_WORKER": "true", "REDIS_URL": redis_url}
    with stack(tmp_path / "stack", database_url, **settings) as running:
        running.serve()
        running.worker()
        yield running


def make_due(database: Database) -> None:
    soon = update(schedules).where(schedules.c.id == PRUNE).values(next_due_at=db_now(1.0))
    database.write_now(lambda connection: connection.execute(soon))


def fired(connection: Connection) -> int:
    return connection.execute(select(func.count()).where(firings.c.schedule_id == PRUNE)).scalar_one()


def start_and_kill_a_scheduler(running: Stack) -> None:
    """Killed once it has planned its tick in Redis: one that never ticked would prove nothing."""
    running.start("scheduler", "scheduler")
    with Redis.from_url(running.settings["REDIS_URL"]) as client:
        running.until(lambda: client.zcard(Scheduler.scheduled_jobs_key) > 0, "the scheduler has planned a tick")
    running.children["scheduler"].kill()


def completed(connection: Connection) -> int:
    pruned = select(func.count()).where(jobs.c.kind == PRUNE, jobs.c.status == "completed")
    return connection.execute(pruned).scalar_one()


def assert_fires_once(running: Stack, database: Database) -> None:
    running.until(lambda: database.read_now(completed) == 1, "the schedule's job has run")
    assert (database.read_now(fired), database.read_now(completed)) == (1, 1)


def test_it_fires_once_with_two_schedulers_and_the_in_process_ticker_all_alive(
    durable: Stack, database: Database
) -> None:
    durable.start("scheduler", "scheduler")
    durable.start("scheduler-2", "scheduler")
    make_due(database)

    assert_fires_once(durable, database)


def test_it_fires_once_when_its_scheduler_was_killed_and_another_one_comes(durable: Stack, database: Database) -> None:
    start_and_kill_a_scheduler(durable)
    make_due(database)

    durable.start("scheduler-2", "scheduler")

    assert_fires_once(durable, database)


def test_it_fires_once_in_process_when_its_scheduler_was_killed_and_the_mode_has_changed(
    durable: Stack, database: Database
) -> None:
    start_and_kill_a_scheduler(durable)
    make_due(database)
    durable.kill_all()

    durable.settings["USE_DURABLE_WORKER"] = "false"
    durable.serve()

    assert_fires_once(durable, database)
