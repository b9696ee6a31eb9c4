"""Each process writes its row; who falls silent is noticed once, and nobody is taken for dead too soon."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes as table
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import leadership
from generation_service.jobs.signs import Sign, Signs
from generation_service.switching import processes
from generation_service.switching.figures import ALIVE_SECONDS
from generation_service.switching.processes import Processes, ProcessView, alive, bury_silent, crashed_since, views
from tests.support.toy import until

SILENT_SECONDS = ALIVE_SECONDS + 1


@asynccontextmanager
async def running(database: Database, name: str, role: str = "api") -> AsyncIterator[Processes]:
    one = Processes(database=database, name=name, role=role, supervisor="7:8")
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def is_watching(one: Processes) -> None:
    """As if it had been there for long: it no longer gives others time to write first."""
    one._quiet_until = 0.0


async def plant(database: Database, name: str, role: str = "worker", *, silent_seconds: float = 0.0) -> None:
    """The row of a process that wrote it so long ago, and whose start is older still."""
    await database.write(Processes(database=database, name=name, role=role).write)
    past = {"seen_at": db_now(-silent_seconds), "started_at": db_now(-silent_seconds - 60)}
    await database.write(lambda connection: connection.execute(update(table).where(table.c.name == name).values(past)))


async def started_before(database: Database, name: str, seconds: float) -> None:
    past = update(table).where(table.c.name == name).values(started_at=db_now(-seconds))
    await database.write(lambda connection: connection.execute(past))


async def row(database: Database, name: str) -> ProcessView:
    [found] = await database.read(lambda connection: views(connection, table.c.name == name))
    return found


async def test_a_process_says_what_it_is_and_what_it_does(database: Database) -> None:
    async with running(database, "api@here:1/a") as one:
        first = await row(database, one.name)
        one.report(lambda: {"active": 3})
        one.enter("serving")
        await until(lambda: _is_state(database, one.name, "serving"))
        await until(lambda: _has_figure(database, one.name, "active", 3))
        second = await row(database, one.name)

    assert (first.state, first.role, first.pid, first.supervisor) == ("starting", "api", os.getpid(), "7:8")
    assert first.figures["rss_bytes"] > 1_000_000
    assert second.started_at == first.started_at
    assert second.seen_at > first.seen_at


async def test_a_process_that_ends_says_goodbye_and_is_no_crash(database: Database) -> None:
    async with running(database, "worker@here:1/a", "worker"):
        pass

    ended = await row(database, "worker@here:1/a")
    assert (ended.state, ended.gone) == ("ended", True)
    assert await database.read(alive) == []
    assert await database.read(lambda connection: crashed_since(connection, 600, "worker")) == []


async def test_who_falls_silent_while_somebody_watches_has_crashed(database: Database) -> None:
    async with running(database, "api@here:1/a") as watcher:
        await started_before(database, watcher.name, 3600)
        await plant(database, "worker@here:2/b", silent_seconds=SILENT_SECONDS)
        is_watching(watcher)
        await watcher.turn()

        [crashed] = await database.read(lambda connection: crashed_since(connection, 600, "worker"))
        assert (crashed.name, crashed.state, crashed.ended_at) == ("worker@here:2/b", "crashed", crashed.seen_at)
        assert await database.read(lambda connection: crashed_since(connection, 600, "api")) == []
        assert await database.read(lambda connection: crashed_since(connection, 1, "worker")) == []
        assert [one.name for one in await database.read(alive)] == [watcher.name]


async def test_who_fell_silent_with_the_whole_service_has_not_crashed(database: Database) -> None:
    """As after a power failure: the first process that comes back must not find a crash of each of the others."""
    await plant(database, "worker@here:2/b", silent_seconds=60)
    async with running(database, "api@here:1/a") as watcher:
        is_watching(watcher)
        await watcher.turn()

        assert (await row(database, "worker@here:2/b")).state == "ended"
        assert await database.read(lambda connection: crashed_since(connection, 600, "worker")) == []


async def test_two_watchers_find_a_crash_once(database: Database) -> None:
    async with running(database, "api@here:1/a") as one, running(database, "api@here:1/b") as other:
        for watcher in (one, other):
            await started_before(database, watcher.name, 3600)
        await plant(database, "worker@here:2/b", silent_seconds=SILENT_SECONDS)

        found = await asyncio.gather(
            *(
                database.write(lambda connection, name=watcher.name: bury_silent(connection, name))
                for watcher in (one, other)
            )
        )
        assert sorted(len(buried) for buried in found) == [0, 1]


async def test_a_process_that_was_taken_for_dead_is_back_with_its_next_write(database: Database) -> None:
    async with running(database, "worker@here:1/a", "worker") as frozen:
        gone = update(table).values(state="crashed", ended_at=db_now())
        await database.write(lambda connection: connection.execute(gone))
        frozen.enter("serving")

        await until(lambda: _is_state(database, frozen.name, "serving"))
        assert [one.name for one in await database.read(alive)] == [frozen.name]
        assert await database.read(lambda connection: crashed_since(connection, 600, "worker")) == []


async def test_a_new_process_gives_the_others_time_to_write(database: Database) -> None:
    async with running(database, "api@here:1/a") as watcher:
        await plant(database, "worker@here:2/b", silent_seconds=SILENT_SECONDS)
        await watcher.turn()

        assert not (await row(database, "worker@here:2/b")).gone


@pytest.mark.parametrize("what", ["outage", "frozen", "clock"])
async def test_after_an_outage_a_freeze_or_a_change_of_the_clock_nobody_is_taken_for_dead_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    watcher = Processes(database=database, name="api@here:1/a", role="api")
    await database.write(watcher.write)
    await started_before(database, watcher.name, 3600)
    is_watching(watcher)
    if what == "outage":
        await _fail_once(watcher, monkeypatch)
    elif what == "frozen":
        wall, steady = watcher._clocks
        watcher._clocks = (wall - 10, steady - 10)
    else:
        wall, steady = watcher._clocks
        watcher._clocks = (wall - 10, steady)
    await plant(database, "worker@here:2/b", silent_seconds=SILENT_SECONDS)

    await watcher.turn()
    assert not (await row(database, "worker@here:2/b")).gone

    is_watching(watcher)
    await watcher.turn()
    assert (await row(database, "worker@here:2/b")).state == "crashed"


@pytest.mark.parametrize("where", ["its write", "the look at the others"])
async def test_while_the_database_keeps_this_process_waiting_nobody_is_taken_for_dead(
    database: Database, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Given a database that hangs and then answers: the others were held up too, and write right after this one."""
    watcher = Processes(database=database, name="api@here:1/a", role="api")
    await database.write(watcher.write)
    await started_before(database, watcher.name, 3600)
    is_watching(watcher)
    await plant(database, "worker@here:2/b", silent_seconds=SILENT_SECONDS)

    with monkeypatch.context() as patch:
        if where == "its write":
            patch.setattr(watcher, "write", _held_up(watcher, watcher.write))
        else:
            patch.setattr(processes, "_is_anyone_silent", _held_up(watcher, processes._is_anyone_silent))
        await watcher.turn()
    assert not (await row(database, "worker@here:2/b")).gone

    await watcher.turn()
    assert not (await row(database, "worker@here:2/b")).gone

    is_watching(watcher)
    await watcher.turn()
    assert (await row(database, "worker@here:2/b")).state == "crashed"


async def test_the_row_is_written_with_the_lease_of_a_loop_that_ticks_at_the_same_moment(database: Database) -> None:
    signs = Signs(database)
    led = signs.add(leadership.anothers("one", "here"))
    one = Processes(database=database, name="api@here:1/a", role="api", signs=signs)
    one._prune_at = float("inf")
    committed = await _transactions(database, one.turn(), _lead(database, led))

    assert (committed, (await row(database, one.name)).state) == (1, "starting")


async def _fails(error: type[Exception]) -> None:
    raise error


@pytest.mark.parametrize("becomes", [partial(asyncio.sleep, 3600), partial(_fails, ZeroDivisionError)])
async def test_whatever_becomes_of_the_look_of_others_the_row_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch, becomes: Any
) -> None:
    signs = Signs(database)
    signs.add(leadership.anothers("one", "here"))
    one = Processes(database=database, name="api@here:1/a", role="api", signs=signs)
    monkeypatch.setattr(signs, "_look", becomes)

    async with asyncio.timeout(5):
        await one.turn()

    assert (await row(database, one.name)).state == "starting"


async def _lead(database: Database, led: Sign) -> None:
    assert not await led.look()
    take = partial(leadership.take_or_keep, name="one", holder="here", seconds=60.0)
    assert await database.keep_up(take, of="lease")


async def _transactions(database: Database, *work: Coroutine[Any, Any, None]) -> int:
    """How many transactions that write this work has committed."""
    commits: list[Connection] = []
    event.listen(database._writing, "commit", commits.append)
    await asyncio.gather(*work)
    return len(commits)


def _held_up(watcher: Processes, work: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    """The same work, ten seconds later by the clocks of `watcher`."""

    def later(connection: Connection) -> Any:
        wall, steady = watcher._clocks
        watcher._clocks = (wall - 10, steady - 10)
        return work(connection)

    return later


async def _fail_once(watcher: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_connection: Connection) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(watcher, "write", away)
        with pytest.raises(DatabaseUnavailable):
            await watcher.turn()


async def test_rows_of_processes_that_are_gone_are_kept_for_a_day(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = timedelta(seconds=processes._KEPT_SECONDS).total_seconds()
    for name, ago in (("api@here:1/old", day + 60), ("api@here:1/young", day - 60)):
        await plant(database, name)
        gone = update(table).where(table.c.name == name).values(state="ended", ended_at=db_now(-ago))
        await database.write(lambda connection, gone=gone: connection.execute(gone))

    await Processes(database=database, name="api@here:1/a", role="api").turn()

    assert sorted(await database.read(lambda connection: connection.execute(select(table.c.name)).scalars().all())) == [
        "api@here:1/a",
        "api@here:1/young",
    ]


async def test_who_is_alive_can_be_asked_by_role(database: Database) -> None:
    await plant(database, "worker@here:2/b")
    await plant(database, "api@here:3/c", "api")
    await plant(database, "worker@here:4/d", silent_seconds=SILENT_SECONDS)

    assert [one.name for one in await database.read(lambda connection: alive(connection, "worker"))] == [
        "worker@here:2/b"
    ]
    assert len(await database.read(alive)) == 2


async def _is_state(database: Database, name: str, state: str) -> bool:
    return (await row(database, name)).state == state


async def _has_figure(database: Database, name: str, figure: str, value: float) -> bool:
    return (await row(database, name)).figures.get(figure) == value
