"""A unit of work is one transaction, whoever else writes; an outage has one name."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from generation_service.database import Database, db_now
from generation_service.database.filelock import FileLock
from generation_service.database.tables import projects
from generation_service.errors import DatabaseUnavailable


def add_project(connection: Connection, name: str) -> None:
    connection.execute(insert(projects).values(id=name, user_id="ana", episode_count=0, created_at=db_now()))


def episode_count(connection: Connection) -> int:
    return connection.execute(select(projects.c.episode_count)).scalar_one()


def raise_count(connection: Connection) -> None:
    """Read, then write: right only where nobody else can write in between."""
    seen = connection.execute(select(projects.c.episode_count).with_for_update()).scalar_one()
    connection.execute(update(projects).values(episode_count=seen + 1))


async def test_what_a_unit_raises_leaves_nothing(database: Database) -> None:
    def fails(connection: Connection) -> None:
        add_project(connection, "p")
        raise KeyError

    with pytest.raises(KeyError):
        await database.write(fails)

    assert (
        await database.read(lambda connection: connection.execute(select(func.count()).select_from(projects)).scalar())
        == 0
    )


async def test_units_at_once_do_not_overwrite_each_other(database: Database) -> None:
    await database.write(lambda connection: add_project(connection, "p"))

    await asyncio.gather(*(database.write(raise_count) for _ in range(50)))

    assert await database.read(episode_count) == 50


def test_processes_take_turns(database: Database) -> None:
    database.write_now(lambda connection: add_project(connection, "p"))
    program = (
        "import sys; from generation_service.database import Database;"
        "from tests.database.test_engine import raise_count;"
        "database = Database(sys.argv[1]);"
        "[database.write_now(raise_count) for _ in range(50)]; database.close()"
    )
    url = database.url.render_as_string(hide_password=False)

    others = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(3)]
    for _ in range(50):
        database.write_now(raise_count)

    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert database.read_now(episode_count) == 200


def test_a_deadlock_is_not_seen_by_whoever_wrote(postgresql_database: Database) -> None:
    database = postgresql_database
    for name in ("a", "b"):
        database.write_now(lambda connection, name=name: add_project(connection, name))
    both_hold_one = threading.Barrier(2)
    met = threading.Event()

    def lock_in_turn(first: str, second: str) -> None:
        def unit(connection: Connection) -> None:
            connection.execute(update(projects).where(projects.c.id == first).values(episode_count=1))
            if not met.is_set():
                both_hold_one.wait(10)
                met.set()
            connection.execute(update(projects).where(projects.c.id == second).values(episode_count=1))

        database.write_now(unit)

    threads = [threading.Thread(target=lock_in_turn, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    counts = database.read_now(lambda connection: connection.execute(select(projects.c.episode_count)).scalars().all())
    assert counts == [1, 1]


def test_a_broken_rule_is_no_outage(database: Database) -> None:
    database.write_now(lambda connection: add_project(connection, "p"))

    with pytest.raises(IntegrityError):
        database.write_now(lambda connection: add_project(connection, "p"))


def test_a_database_that_ends_the_connection_is_unavailable_and_then_there_again(postgresql_database: Database) -> None:
    def end_myself(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseUnavailable):
        postgresql_database.write_now(end_myself)

    postgresql_database.write_now(lambda connection: add_project(connection, "p"))


def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(DatabaseUnavailable):
        database.read_now(lambda connection: None)

    database.close()


def test_a_transaction_that_a_frozen_process_left_open_is_ended_by_the_server(postgresql_url: str) -> None:
    database = Database(postgresql_url, idle_seconds=0.3)
    database.write_now(lambda connection: add_project(connection, "p"))
    ended = threading.Event()

    def freezes(connection: Connection) -> None:
        raise_count(connection)
        ended.wait(1.0)  # the process does nothing for longer than it may
        raise_count(connection)

    with pytest.raises(DatabaseUnavailable):
        database.write_now(freezes)

    database.write_now(raise_count)
    assert database.read_now(episode_count) == 1
    database.close()


def test_sqlite_commits_are_durable_and_its_rules_are_kept(sqlite_database: Database) -> None:
    def pragma(name: str) -> object:
        return sqlite_database.write_now(lambda connection: connection.execute(text(f"PRAGMA {name}")).scalar())

    assert (pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys")) == ("wal", 2, 1)


def test_a_reader_cannot_write(sqlite_database: Database) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        sqlite_database.read_now(lambda connection: add_project(connection, "p"))


def test_whoever_opens_a_new_file_waits_for_whoever_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for_its_turn, taken = threading.Event(), FileLock._taken

    def tell(lock: FileLock) -> bool:
        asked_for_its_turn.set()
        return taken(lock)

    path = tmp_path / "new.db"
    making = FileLock(path.with_name("new.db.lock"), timeout_seconds=5)
    database = Database(f"sqlite:///{path}")
    with ThreadPoolExecutor(1) as another:
        with making, closing(sqlite3.connect(path, isolation_level=None)) as maker:
            maker.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(FileLock, "_taken", tell)
            opening = another.submit(database.read_now, lambda connection: connection.execute(select(1)).scalar_one())
            assert asked_for_its_turn.wait(10), opening.exception()
            assert not opening.done()

        assert opening.result() == 1
    database.close()
    making.close()


def test_a_lock_that_is_held_too_long_is_an_outage(tmp_path) -> None:
    first, second = (FileLock(tmp_path / "lock", timeout_seconds=0.05) for _ in range(2))

    with first, pytest.raises(DatabaseUnavailable), second:
        pass
    with second:
        pass

    first.close()
    second.close()


def test_rows_that_stay_locked_are_an_outage_and_no_fault_of_the_unit(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds them may be frozen: a commit is to be tried again, and a heartbeat to go on."""
    monkeypatch.setattr("generation_service.database.engine._MOST_RERUNS", 2)
    database = postgresql_database
    database.write_now(lambda connection: add_project(connection, "p"))

    def wants(connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = '10ms'"))
        raise_count(connection)

    def holds(connection: Connection) -> None:
        raise_count(connection)
        with pytest.raises(DatabaseUnavailable):
            database.write_now(wants)

    database.write_now(holds)
    assert database.read_now(episode_count) == 1
