"""A schedule's firing happens once, whichever ticker sees it first, and a missed one is caught up."""

import asyncio
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import firings, jobs, schedules
from generation_service.jobs.schedules import Schedule, declare, fire_due, next_due
from generation_service.jobs.submission import Admission

HOURLY = Schedule(id="hourly", cron="0 * * * *", timezone="Asia/Seoul", kind="toy", request={"what": "upkeep"})
ADMISSION = Admission(max_live=100, max_live_per_user=100, max_attempts=4)


def make_due(database: Database) -> None:
    database.write_now(lambda connection: declare(connection, [HOURLY]))
    database.write_now(lambda connection: connection.execute(update(schedules).values(next_due_at=db_now(-7200))))


def count(database: Database, table) -> int:
    return database.read_now(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )


async def test_ten_tickers_at_once_fire_once(database: Database) -> None:
    make_due(database)

    def tick(connection: Connection) -> int:
        return len(fire_due(connection, "ticker", ADMISSION))

    fired = await asyncio.gather(*(database.write(tick) for _ in range(10)))

    assert sum(fired) == 1
    assert (count(database, firings), count(database, jobs)) == (1, 1)


def test_a_ticker_that_dies_before_its_commit_leaves_the_firing_to_another(database: Database) -> None:
    make_due(database)

    def dies(connection: Connection) -> None:
        fire_due(connection, "dying", ADMISSION)
        raise KeyboardInterrupt

    try:
        database.write_now(dies)
    except KeyboardInterrupt:
        assert count(database, firings) == 0

    fired = database.write_now(lambda connection: fire_due(connection, "other", ADMISSION))
    assert [job.kind for job in fired] == ["toy"]


def test_what_was_missed_several_times_is_caught_up_once(database: Database) -> None:
    make_due(database)

    first = database.write_now(lambda connection: fire_due(connection, "a", ADMISSION))
    second = database.write_now(lambda connection: fire_due(connection, "a", ADMISSION))

    assert (len(first), len(second)) == (1, 0)


def test_a_schedule_that_is_declared_again_keeps_its_due_time_unless_it_changed(database: Database) -> None:
    make_due(database)

    def due(wanted: Schedule) -> datetime:
        database.write_now(lambda connection: declare(connection, [wanted]))
        return database.read_now(lambda connection: connection.execute(select(schedules.c.next_due_at)).scalar_one())

    unchanged = due(HOURLY)
    changed = due(Schedule(id="hourly", cron="30 2 * * *", timezone="Asia/Seoul", kind="toy", request={}))
    assert unchanged < datetime.now(UTC) < changed


def test_cron_times_are_those_of_its_time_zone() -> None:
    moment = next_due("0 2 * * *", "Asia/Seoul", datetime(2026, 11, 21, 0, 0, tzinfo=UTC))

    assert moment == datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


def test_a_schedule_that_is_planned_back_to_a_time_that_has_fired_goes_on(database: Database) -> None:
    make_due(database)
    fired_at = database.read_now(lambda connection: connection.execute(select(schedules.c.next_due_at)).scalar_one())
    database.write_now(lambda connection: fire_due(connection, "a", ADMISSION))
    database.write_now(lambda connection: connection.execute(update(schedules).values(next_due_at=fired_at)))

    assert database.write_now(lambda connection: fire_due(connection, "a", ADMISSION)) == []

    due = database.read_now(lambda connection: connection.execute(select(schedules.c.next_due_at)).scalar_one())
    assert due > fired_at
