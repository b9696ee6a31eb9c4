"""Group commit: members share a transaction, and nothing else; what befalls one is its own affair."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

import pytest
from sqlalchemy import Connection, event, func, insert, select

from generation_service.database import Database, db_now, grouping
from generation_service.database.grouping import ALONE, Answer, Grouped
from generation_service.database.tables import pruned_jobs
from generation_service.database.upsert import upsert
from generation_service.errors import DatabaseClosed, DatabaseUnavailable


class Writer:
    """Writes names into a table; `groups` says which names came together. Some names are special."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.groups: list[list[str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.grouped: Grouped[str, str] = Grouped(database, self.apply, most=5)

    def apply(self, connection: Connection, names: Sequence[str]) -> list[Answer[str]]:
        assert self.go_on.wait(10)
        self.groups.append(list(names))
        return [self._write(connection, name, alone=len(names) == 1) for name in names]

    def _write(self, connection: Connection, name: str, *, alone: bool) -> Answer[str]:
        if name == "refused":
            return LookupError(name)
        if name == "shy" and not alone:
            return ALONE
        connection.execute(insert(pruned_jobs).values(job_id=name, pruned_at=db_now()))  # twice: a unique violation
        if name == "breaks":
            raise ZeroDivisionError
        return name

    async def add(self, *names: str) -> list[str | BaseException]:
        """Add all of them while the first is being committed, so that the others gather."""
        self.go_on.clear()
        tasks = [asyncio.ensure_future(self.grouped.add(names[0]))]
        await asyncio.sleep(0)  # the group of the first begins
        tasks += [asyncio.ensure_future(self.grouped.add(name)) for name in names[1:]]
        self.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    def stored(self) -> set[str]:
        return self.database.read_now(
            lambda connection: set(connection.execute(select(pruned_jobs.c.job_id)).scalars())
        )


@pytest.fixture
def writer(database: Database) -> Writer:
    return Writer(database)


async def test_what_gathers_is_committed_together_in_its_order(writer: Writer) -> None:
    names = [f"n{number}" for number in range(9)]

    answers = await writer.add(*names)

    assert answers == names
    assert writer.stored() == set(names)
    assert [name for group in writer.groups for name in group] == names
    assert max(map(len, writer.groups)) == 5  # as many as may come together
    assert len(writer.groups) <= 3


async def test_each_has_its_own_answer(writer: Writer) -> None:
    first, refused, last = await writer.add("first", "refused", "last")

    assert (first, last) == ("first", "last")
    assert isinstance(refused, LookupError)
    assert writer.stored() == {"first", "last"}


@pytest.mark.parametrize("broken", ["breaks", "first"], ids=["raises", "violates"])
async def test_one_that_fails_harms_no_other(writer: Writer, broken: str) -> None:
    answers = await writer.add("first", "second", broken, "third")

    assert [answers[0], answers[1], answers[3]] == ["first", "second", "third"]
    assert isinstance(answers[2], Exception)
    assert writer.stored() == {"first", "second", "third"}


async def test_one_that_must_be_alone_is(writer: Writer) -> None:
    answers = await writer.add("first", "second", "shy", "third")

    assert answers == ["first", "second", "shy", "third"]
    assert ["shy"] in writer.groups


async def test_one_whose_caller_has_gone_before_its_turn_is_left_out(writer: Writer) -> None:
    writer.go_on.clear()
    first = asyncio.ensure_future(writer.grouped.add("first"))
    await asyncio.sleep(0)
    gone, stays = (asyncio.ensure_future(writer.grouped.add(name)) for name in ("gone", "stays"))
    gone.cancel()
    writer.go_on.set()

    assert await asyncio.gather(first, stays) == ["first", "stays"]
    assert writer.stored() == {"first", "stays"}


async def test_each_is_told_where_the_database_is_away(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(writer.database, "write_once_now", away)

    answers = await writer.add("first", "second", "third")

    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3
    assert len({id(answer) for answer in answers}) == 3


async def test_nobody_waits_for_a_database_that_is_closed(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    writer = Writer(database)
    database.close()

    with pytest.raises(DatabaseUnavailable):
        await asyncio.wait_for(writer.grouped.add("late"), 10)


async def test_a_group_is_one_transaction(writer: Writer) -> None:
    commits: list[object] = []
    engine = writer.database._writing
    event.listen(engine, "commit", commits.append)

    await writer.add("first", "second", "third", "fourth")

    assert len(commits) == len(writer.groups) == 2
    assert (
        writer.database.read_now(
            lambda connection: connection.execute(select(func.count()).select_from(pruned_jobs)).scalar_one()
        )
        == 4
    )


async def test_those_whose_group_is_parted_while_the_database_closes_are_told(sqlite_url: str) -> None:
    """Those that were committed hear so, the others that it was closed; nobody waits for ever."""
    database = Database(sqlite_url)
    writer = Writer(database)
    writer.go_on.clear()
    plain, shy = writer.grouped.add("plain"), writer.grouped.add("shy")
    await asyncio.sleep(0)  # the group begins

    closing = asyncio.create_task(asyncio.to_thread(database.close))
    while not database._writers._shutdown:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    writer.go_on.set()

    answers = await asyncio.wait_for(asyncio.gather(plain, shy, return_exceptions=True), 10)
    await closing
    assert answers[0] == "plain"
    assert isinstance(answers[1], DatabaseClosed)


async def test_a_wrong_number_of_answers_stops_nobody_who_comes_later(database: Database) -> None:
    grouped: Grouped[str, str] = Grouped(database, lambda _connection, members: [members[0]])

    assert await asyncio.wait_for(asyncio.gather(grouped.add("first"), grouped.add("second")), 10) == [
        "first",
        "second",
    ]
    assert await asyncio.wait_for(grouped.add("third"), 10) == "third"


async def test_two_groups_may_go_abreast_where_the_database_can(postgresql_database: Database) -> None:
    both = threading.Barrier(2, timeout=10)

    def meets(_connection: Connection, members: Sequence[str]) -> Sequence[str]:
        both.wait()
        return members

    grouped: Grouped[str, str] = Grouped(postgresql_database, meets, abreast=2)
    first = grouped.add("first")
    await asyncio.sleep(0)  # its group begins

    assert await asyncio.gather(first, grouped.add("second")) == ["first", "second"]


class Pauses:
    """Stands in for `threading.Timer`: what waits goes on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.go_on: Callable[[], None] = lambda: None
        self.began = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        monkeypatch.setattr(grouping.threading, "Timer", self)

    def __call__(self, seconds: float, go_on: Callable[[], None]) -> "Pauses":
        self.seconds.append(seconds)
        self.go_on = go_on
        return self

    def start(self) -> None:
        self._loop.call_soon_threadsafe(self.began.set)


async def test_while_members_come_close_together_groups_keep_a_pace(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses(monkeypatch)
    grouped = Grouped(writer.database, writer.apply, pace_seconds=30.0)
    await asyncio.gather(grouped.add("first"), grouped.add("second"))

    third = grouped.add("third")
    await pauses.began.wait()
    fourth = grouped.add("fourth")
    pauses.go_on()
    await asyncio.gather(third, fourth)

    assert writer.groups == [["first", "second"], ["third", "fourth"]]
    assert [0 < seconds <= 30 for seconds in pauses.seconds] == [True]


async def test_whoever_comes_alone_waits_for_no_pace(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses(monkeypatch)
    grouped = Grouped(writer.database, writer.apply, pace_seconds=30.0)

    for name in ("first", "second", "third"):
        await grouped.add(name)

    assert (writer.groups, pauses.seconds) == ([["first"], ["second"], ["third"]], [])


async def test_upkeep_that_comes_due_at_once_is_one_transaction_and_locks_in_one_order(database: Database) -> None:
    ran: list[str] = []

    def unit(connection: Connection, *, of: str) -> str:
        ran.append(of)
        return f"{of} in {id(connection)}"

    names = ["c", "a", "b"]
    first, *others = await asyncio.gather(*(database.keep_up(partial(unit, of=name), of=name) for name in names))

    assert ran == ["a", "b", "c"]
    assert [one.partition(" ")[0] for one in (first, *others)] == names
    assert len({one.partition(" ")[2] for one in (first, *others)}) == 1


async def test_upkeep_that_fails_harms_no_other(database: Database) -> None:
    def writes(connection: Connection) -> None:
        connection.execute(insert(pruned_jobs).values(job_id="kept", pruned_at=db_now()))

    def breaks(connection: Connection) -> None:
        raise ZeroDivisionError

    kept, broken = await asyncio.gather(
        database.keep_up(writes, of="b"), database.keep_up(breaks, of="a"), return_exceptions=True
    )

    assert (kept, type(broken)) == (None, ZeroDivisionError)
    assert Writer(database).stored() == {"kept"}


async def test_a_row_that_a_frozen_process_holds_keeps_only_its_own_upkeep_waiting(
    postgresql_database: Database,
) -> None:
    database, held, done = postgresql_database, threading.Event(), threading.Event()

    def writes(connection: Connection, name: str) -> None:
        fresh = upsert(connection, pruned_jobs).values(job_id=name, pruned_at=db_now())
        again = {"pruned_at": db_now()}
        connection.execute(fresh.on_conflict_do_update(index_elements=["job_id"], set_=again))

    def freezes(connection: Connection) -> None:
        writes(connection, "held")
        held.set()
        assert done.wait(20)

    frozen = asyncio.ensure_future(database.write(freezes))
    assert await asyncio.to_thread(held.wait, 10)
    waits, goes_on = (
        asyncio.ensure_future(database.keep_up(partial(writes, name=name), of=name)) for name in ("held", "free")
    )
    async with asyncio.timeout(5):
        await goes_on
    assert not waits.done()

    done.set()
    await asyncio.gather(waits, frozen)


async def test_where_no_thread_is_to_be_had_a_group_keeps_no_pace(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_is_had(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(grouping.threading, "Timer", none_is_had)
    grouped = Grouped(writer.database, writer.apply, pace_seconds=30.0)
    await asyncio.gather(grouped.add("first"), grouped.add("second"))

    async with asyncio.timeout(10):
        assert await grouped.add("third") == "third"
