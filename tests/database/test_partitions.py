"""On PostgreSQL the events of a month's jobs are in one partition; none is missing, and none that is needed goes."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, insert, select, text

from generation_service.database import Database, db_now, partitions, schema
from generation_service.database.partitions import first_id, month_after
from generation_service.database.tables import events, jobs
from generation_service.jobs.ids import uuid7
from tests.database.test_tallies import add

NOW = datetime.now(UTC)
NEXT = month_after(NOW)


def add_events(database: Database, job_id: str, count: int = 2) -> None:
    def unit(connection: Connection) -> None:
        add(connection, job_id, "completed")
        row = {"job_id": job_id, "type": "progress", "data": {}}
        numbered = [{**row, "sequence": number} for number in range(1, count + 1)]
        connection.execute(insert(events).values(created_at=db_now()), numbered)

    database.write_now(unit)


def place_of(database: Database, job_id: str) -> set[str]:
    """The partitions that hold the job's events."""
    found = text("SELECT DISTINCT tableoid::regclass::text FROM events WHERE job_id = :job")
    return database.read_now(lambda connection: {*connection.execute(found, {"job": job_id}).scalars()})


def sequences(database: Database, job_id: str) -> list[int]:
    found = select(events.c.sequence).where(events.c.job_id == job_id).order_by(events.c.sequence)
    return list(database.read_now(lambda connection: connection.execute(found).scalars().all()))


def run(database: Database, statement: str) -> None:
    database.write_now(lambda connection: connection.execute(text(statement)))


def there(database: Database) -> list[str]:
    return list(database.read_now(partitions.partitions))


def test_ids_sort_by_the_time_they_were_made_at() -> None:
    before = first_id(datetime.now(UTC))
    made = uuid7()
    after = first_id(datetime.now(UTC) + timedelta(milliseconds=1))

    assert before <= made < after
    assert first_id(datetime(1969, 1, 1, tzinfo=UTC)) < before


def test_the_coming_months_are_made_ahead(postgresql_database: Database) -> None:
    ahead = [partitions.name_of(month_after(NEXT, months)) for months in range(partitions.MONTHS_AHEAD)]

    assert there(postgresql_database) == [partitions.name_before(NEXT), *ahead]


@pytest.mark.parametrize(
    ("job_id", "place"),
    [
        (uuid7(), partitions.name_before(NEXT)),
        (first_id(NEXT), partitions.name_of(NEXT)),
        (first_id(month_after(NEXT, 2)), partitions.name_of(month_after(NEXT, 2))),
        (first_id(month_after(NEXT, 40)), "events_other"),
        ("ffffffff-0000-4000-8000-000000000000", "events_other"),
    ],
    ids=["now", "next month", "in three months", "beyond", "of another form"],
)
def test_a_jobs_events_are_together_where_its_month_is(postgresql_database: Database, job_id: str, place: str) -> None:
    add_events(postgresql_database, job_id)

    assert (place_of(postgresql_database, job_id), sequences(postgresql_database, job_id)) == ({place}, [1, 2])
    postgresql_database.write_now(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == job_id)))
    assert sequences(postgresql_database, job_id) == []


def test_a_month_that_is_missing_is_made_and_its_events_are_moved_there(postgresql_database: Database) -> None:
    database = postgresql_database
    coming, beyond = first_id(NEXT + timedelta(days=3)), first_id(month_after(NEXT, 40))
    run(database, f"DROP TABLE {partitions.name_of(NEXT)}")
    for job_id in (coming, beyond):
        add_events(database, job_id)
    assert place_of(database, coming) == {"events_other"}

    for _ in range(2):
        partitions.maintain(database)

    assert (place_of(database, coming), place_of(database, beyond)) == ({partitions.name_of(NEXT)}, {"events_other"})
    assert sequences(database, coming) == [1, 2]
    with pytest.raises(Exception, match="fk_events_job_id"):
        run(database, f"INSERT INTO events VALUES ('{first_id(NEXT)}', 1, 'progress', '{{}}', now())")


def test_a_month_gone_by_is_dropped_once_it_is_empty(postgresql_database: Database) -> None:
    database = postgresql_database
    past = [datetime(2020, month, 1, tzinfo=UTC) for month in (1, 2)]
    run(database, f"DROP TABLE {partitions.name_before(NEXT)}")
    for month in past:
        database.write_now(lambda connection, month=month: partitions.create(connection, month))
    add_events(database, first_id(past[1]))

    partitions.maintain(database)
    # Somebody may have written to it since it was looked at.
    database.write_now(lambda connection: partitions.drop_if_empty(connection, partitions.name_of(past[1])))

    assert there(database)[0] == partitions.name_of(past[1])
    assert partitions.name_of(month_after(NOW, 0)) in there(database), "the present month is made where it is missing"
    database.write_now(lambda connection: connection.execute(delete(jobs)))
    partitions.maintain(database)
    assert there(database)[0] == partitions.name_of(NOW)


def while_somebody_writes(database: Database, act: Callable[[], None]) -> None:
    """Act while a transaction that has written an event is open."""
    began, done = threading.Event(), threading.Event()

    def write(connection: Connection) -> None:
        add(connection, "j", "pending")
        connection.execute(insert(events).values(job_id="j", sequence=1, type="progress", data={}, created_at=db_now()))
        began.set()
        done.wait(20)

    writer = threading.Thread(target=database.write_now, args=(write,))
    writer.start()
    began.wait(20)
    act()
    done.set()
    writer.join(20)


def test_tables_that_are_in_use_keep_nobody_waiting_and_fail_nothing(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgresql_database
    monkeypatch.setattr(partitions, "_LOCK_WAIT", "10ms")
    run(database, f"DROP TABLE {partitions.name_of(NEXT)}")

    while_somebody_writes(database, lambda: partitions.maintain(database))

    assert partitions.name_of(NEXT) not in there(database)
    partitions.maintain(database)
    assert partitions.name_of(NEXT) in there(database)
    assert sequences(database, "j") == [1]


def test_events_that_there_were_are_all_there_after_the_migration_and_after_the_way_back(database: Database) -> None:
    schema.downgrade(database, 1)
    stray = "ffffffff-0000-4000-8000-000000000000"
    made = uuid7()
    for job_id in (made, stray):
        add_events(database, job_id, 3)

    assert schema.migrate(database) == schema.newest_version()
    assert [sequences(database, job_id) for job_id in (made, stray)] == [[1, 2, 3]] * 2
    if database.dialect == "postgresql":
        assert place_of(database, made) == {partitions.name_before(NEXT)}
        assert place_of(database, stray) == {"events_other"}
    add_events(database, uuid7(), 2)

    schema.downgrade(database, 1)
    assert [sequences(database, job_id) for job_id in (made, stray)] == [[1, 2, 3]] * 2
