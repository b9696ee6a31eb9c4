"""The database counts what has ended itself, whoever writes, and no connection waits for another to do so."""

import threading

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update

from generation_service.database import Database, db_now, schema
from generation_service.database.tables import job_tallies, jobs, pruned_jobs
from generation_service.jobs import counters, ledger
from generation_service.jobs.queries import count_by_status

ZEROS = ("priority", "fence", "seq", "failures", "steps_since_claim", "claims", "delivery", "progress")
TOKENS = ("input_tokens", "output_tokens", "saved_tokens")


def add(connection: Connection, name: str, status: str, backend: str = "rq") -> None:
    texts = {"id": name, "kind": "toy", "user_id": "ana", "backend": backend, "status": status}
    numbers = {**dict.fromkeys((*ZEROS, *TOKENS), 0), "max_attempts": 1}
    connection.execute(insert(jobs).values(**texts, **numbers, request={}, created_at=db_now()))


def set_status(connection: Connection, name: str, status: str) -> None:
    connection.execute(update(jobs).where(jobs.c.id == name).values(status=status))


def counted(database: Database) -> dict[tuple[str, str], int]:
    return dict(database.read_now(count_by_status))


def truly(database: Database) -> dict[tuple[str, str], int]:
    grouped = select(jobs.c.backend, jobs.c.status, func.count()).group_by(jobs.c.backend, jobs.c.status)
    return database.read_now(lambda connection: {(row[0], row[1]): row[2] for row in connection.execute(grouped)})


def test_every_way_in_and_out_of_an_ending_is_tallied(database: Database) -> None:
    def write(connection: Connection) -> None:
        for number, status in enumerate(("pending", "running", "completed", "failed", "cancelled", "failed")):
            add(connection, f"j{number}", status, ("rq", "background_tasks")[number % 2])
        set_status(connection, "j0", "running")
        set_status(connection, "j1", "completed")
        set_status(connection, "j3", "pending")
        set_status(connection, "j4", "cancelled")  # as it was
        connection.execute(update(jobs).where(jobs.c.id == "j5").values(backend="rq", status="failed"))
        connection.execute(delete(jobs).where(jobs.c.id == "j2"))

    database.write_now(write)

    assert counted(database) == truly(database)
    assert counted(database) == {
        ("rq", "running"): 1,
        ("background_tasks", "completed"): 1,
        ("background_tasks", "pending"): 1,
        ("rq", "cancelled"): 1,
        ("rq", "failed"): 1,
    }


def test_what_was_rolled_back_is_not_tallied(database: Database) -> None:
    def write(connection: Connection) -> None:
        add(connection, "j", "completed")
        raise KeyError

    with pytest.raises(KeyError):
        database.write_now(write)

    assert counted(database) == {}


def test_tombstones_are_tallied_once_each(database: Database) -> None:
    row = {"job_id": "j", "pruned_at": db_now()}
    database.write_now(lambda connection: connection.execute(insert(pruned_jobs).values(**row)))
    database.write_now(lambda connection: connection.execute(insert(pruned_jobs).values(**{**row, "job_id": "k"})))
    assert database.read_now(ledger.count).pruned == 2

    database.write_now(lambda connection: connection.execute(delete(pruned_jobs).where(pruned_jobs.c.job_id == "k")))

    assert (database.read_now(ledger.count).pruned, counted(database)) == (1, {})


def test_tallies_are_folded_and_stay_what_they_are(database: Database) -> None:
    def write(connection: Connection) -> None:
        for number, status in enumerate(("completed", "completed", "failed")):
            add(connection, f"j{number}", status)

    database.write_now(write)
    before = counted(database)

    database.write_now(counters.fold_tallies)
    database.write_now(lambda connection: set_status(connection, "j0", "failed"))
    database.write_now(counters.fold_tallies)

    assert before == {("rq", "completed"): 2, ("rq", "failed"): 1}
    assert counted(database) == truly(database) == {("rq", "completed"): 1, ("rq", "failed"): 2}
    shards = select(job_tallies.c.shard).distinct()
    assert database.read_now(lambda connection: connection.execute(shards).scalars().all()) == [0]


def test_nobody_waits_to_be_tallied_nor_is_folded_meanwhile(postgresql_database: Database) -> None:
    database = postgresql_database
    database.write_now(lambda connection: add(connection, "a", "completed"))
    ended, folded = threading.Event(), threading.Event()

    def end_slowly(connection: Connection) -> None:
        add(connection, "b", "completed")
        ended.set()
        folded.wait(20)

    slow = threading.Thread(target=database.write_now, args=(end_slowly,))
    slow.start()
    ended.wait(20)
    database.write_now(lambda connection: add(connection, "c", "completed"))
    database.write_now(counters.fold_tallies)
    folded.set()
    slow.join(20)

    assert counted(database) == truly(database) == {("rq", "completed"): 3}


def test_what_had_ended_before_there_were_tallies_is_in_them(database: Database) -> None:
    assert schema.downgrade(database, 1) == "0003"
    database.write_now(lambda connection: add(connection, "j", "failed"))
    database.write_now(
        lambda connection: connection.execute(text("INSERT INTO pruned_jobs VALUES ('k', CURRENT_TIMESTAMP)"))
    )

    schema.migrate(database)

    assert counted(database) == {("rq", "failed"): 1}
    assert database.read_now(ledger.count).pruned == 1
