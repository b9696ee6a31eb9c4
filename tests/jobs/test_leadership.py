"""A lease has one holder at a time; who does not hold it only reads, and who holds it need not ask at each step."""

import asyncio
import threading
from functools import partial

import pytest
from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import leases
from generation_service.jobs import leadership
from generation_service.jobs.leadership import Tenure

NAME = "upkeep"


async def take(database: Database, holder: str) -> bool:
    return await database.write(partial(leadership.take_or_keep, name=NAME, holder=holder, seconds=60.0))


async def holder_of(database: Database) -> str:
    def unit(connection: Connection) -> str:
        return str(connection.execute(select(leases.c.holder).where(leases.c.name == NAME)).scalar_one())

    return await database.read(unit)


async def lapse(database: Database) -> None:
    await database.write(lambda connection: connection.execute(update(leases).values(until=db_now(-1))))


async def test_a_lease_is_taken_once_kept_by_its_holder_and_free_when_it_has_run_out(database: Database) -> None:
    assert [await take(database, one) for one in ("ana", "ben", "ana")] == [True, False, True]

    await lapse(database)

    assert [await take(database, one) for one in ("ben", "ana")] == [True, False]
    assert await holder_of(database) == "ben"


async def test_it_is_anothers_only_while_somebody_else_holds_it(database: Database) -> None:
    async def is_anothers(holder: str) -> bool:
        asked = select(leadership.anothers(NAME, holder))
        return bool(await database.read(lambda connection: connection.execute(asked).scalar_one()))

    assert not await is_anothers("ben")
    await take(database, "ana")
    assert (await is_anothers("ben"), await is_anothers("ana")) == (True, False)
    await lapse(database)
    assert not await is_anothers("ben")


async def test_a_tenure_asks_when_it_must_and_is_over_when_another_has_it(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("generation_service.jobs.leadership.time.monotonic", lambda: now)
    tenure = Tenure(sqlite_database, name=NAME, holder="ana", seconds=10.0)
    assert await tenure.hold()
    await lapse(sqlite_database)
    assert await take(sqlite_database, "ben")

    assert await tenure.hold(), "for a fifth of its time nobody else can have it, unless somebody changes rows by hand"
    now += 2.1
    assert not await tenure.hold()
    await lapse(sqlite_database)
    assert await tenure.hold()
    await tenure.end()
    assert await take(sqlite_database, "ben")


async def test_one_process_leads_at_a_time_and_another_takes_over(database: Database) -> None:
    def lead(name: str, seconds: float = 30.0) -> bool:
        return database.write_now(lambda connection: leadership.take_or_keep(connection, "recovery", name, seconds))

    assert (lead("a"), lead("b"), lead("a")) == (True, False, True)
    database.write_now(lambda connection: leadership.give_up(connection, "recovery", "a"))
    assert (lead("b"), lead("a")) == (True, False)


async def test_nobody_waits_for_a_lease_that_a_frozen_process_is_taking(postgresql_database: Database) -> None:
    held, done = threading.Event(), threading.Event()
    take = partial(leadership.take_or_keep, name="recovery", seconds=-1.0)  # it has run out: anybody may have it

    def freezes(connection: Connection) -> bool:
        taken = take(connection, holder="frozen")
        held.set()
        return taken and done.wait(20)

    assert await postgresql_database.write(partial(take, holder="first"))
    frozen = asyncio.create_task(postgresql_database.write(freezes))
    assert await asyncio.to_thread(held.wait, 10)

    assert not postgresql_database.write_once_now(partial(take, holder="second"))
    done.set()
    assert await frozen
