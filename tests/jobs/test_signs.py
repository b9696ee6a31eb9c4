"""What loops look for again and again is asked for in one statement, and as it is at that moment."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, delete, literal, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import worker_mode
from generation_service.database.tables import leases, service_state
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.claims import PAUSED
from generation_service.jobs.loops import Loop
from generation_service.jobs.signs import ModeSign, Signs, waits_for
from generation_service.switching.mode import Flag, environment_says
from generation_service.switching.state import apply
from tests.support.toy import Core, ToyKind, nothing


@pytest.fixture
def reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A mark for each transaction that reads."""
    marks: list[object] = []
    read = database.read_now

    def counted(unit: Callable[[Connection], Any]) -> Any:
        marks.append(unit)
        return read(unit)

    monkeypatch.setattr(database, "read_now", counted)
    return marks


async def test_who_looks_at_the_same_moment_is_answered_by_one_transaction(
    database: Database, reads: list[object]
) -> None:
    signs = Signs(database)
    each = [signs.add(literal(number)) for number in range(5)]

    assert await asyncio.gather(*(one.look() for one in each)) == [0, 1, 2, 3, 4]
    assert len(reads) == 1

    assert await each[3].look() == 3
    assert len(reads) == 2, "a later look sees what is there by then"


async def test_a_look_sees_what_was_committed_before_it(database: Database) -> None:
    signs = Signs(database)
    paused = signs.add(select(service_state.c.name).where(service_state.c.name == PAUSED).exists())

    assert not await paused.look()
    await database.write(lambda connection: apply(connection, "pause", by="ann", reason="x", grace_seconds=1))
    assert await paused.look()


async def test_a_look_is_not_answered_by_what_was_read_before_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a read that is under way, and may have seen what was there before."""
    begun, goes_on, reads = threading.Event(), threading.Event(), []
    read = database.read_now

    def held_up(unit: Callable[[Connection], Any]) -> Any:
        reads.append(unit)
        begun.set()
        goes_on.wait()
        return read(unit)

    monkeypatch.setattr(database, "read_now", held_up)
    sign = Signs(database).add(literal(1))
    first = asyncio.create_task(sign.look())
    await asyncio.to_thread(begun.wait)
    second = asyncio.create_task(sign.look())
    await asyncio.sleep(0)
    goes_on.set()

    assert (await first, await second) == (1, 1)
    assert len(reads) == 2


async def test_a_look_that_is_cancelled_spoils_nobody_elses(database: Database) -> None:
    signs = Signs(database)
    one, other = signs.add(literal(1)), signs.add(literal(2))
    first, second = asyncio.create_task(one.look()), asyncio.create_task(other.look())
    await asyncio.sleep(0)

    first.cancel()

    assert await second == 2


async def test_without_a_database_everybody_who_looks_is_told_and_the_next_look_tries_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise DatabaseUnavailable("away")

    signs = Signs(database)
    each = [signs.add(literal(number)) for number in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(database, "read_now", away)
        told = await asyncio.gather(*(one.look() for one in each), return_exceptions=True)
    assert [type(one) for one in told] == [DatabaseUnavailable] * 2

    assert await each[1].look() == 1


async def test_a_mode_is_read_anew_where_another_is_in_force_or_takes_something_else_along(
    database: Database, reads: list[object]
) -> None:
    flag = Flag(use_durable_worker=True, worker_system_enabled=True)
    mode = ModeSign(database, Signs(database))
    assert await mode.look() is None

    await database.write(lambda connection: environment_says(connection, flag, host="here", role="api"))
    first = await mode.look()
    assert first is not None
    assert first.target == "rq"
    before = len(reads)
    assert await mode.look() is first
    assert len(reads) == before + 1

    await database.write(lambda connection: connection.execute(update(worker_mode).values(carry="running")))
    changed = await mode.look()
    assert changed is not None
    assert (changed.epoch, changed.carry) == (first.epoch, "running")


async def test_a_job_is_seen_to_wait_once_it_may_be_claimed(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    waits = Signs(database).add(waits_for("background_tasks"))
    assert not await waits.look()

    await core.submit()
    assert await waits.look()

    await database.write(lambda connection: apply(connection, "pause", by="ann", reason="x", grace_seconds=1))
    assert not await waits.look()


async def test_a_leader_with_nothing_to_do_renews_its_lease_only_now_and_then(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await core.recovery.turn()
    until = await _until(database)

    await core.recovery.turn()
    assert await _until(database) == until

    core.recovery._renew_at = 0.0
    await core.recovery.turn()
    assert await _until(database) > until


async def test_a_leader_that_lost_its_lease_leads_no_more_before_it_would_have_renewed_it(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await core.recovery.turn()
    taken = update(leases).values(holder="another", until=db_now(60))
    await database.write(lambda connection: connection.execute(taken))

    await core.recovery.turn()
    assert not core.recovery._leads

    await database.write(lambda connection: connection.execute(delete(leases)))
    await core.recovery.turn()
    assert core.recovery._leads


async def test_loops_of_a_process_tick_together() -> None:
    async def turn() -> None:
        pass

    loops = [Loop(name=str(pause), turn=turn, pause_seconds=pause) for pause in (1.0, 2.0, 4.0)]
    for now in (0.0, 17.3, 100.999, 12345.678):
        second, two, four = (loop._next_tick(now) for loop in loops)
        assert second > now
        assert two >= second or two - now >= 0.5
        for tick, pause in ((second, 1.0), (two, 2.0), (four, 4.0)):
            assert 0.25 * pause <= tick - now <= 1.25 * pause
            assert abs((tick - second + 0.5) % 1.0 - 0.5) < 1e-6


async def _until(database: Database) -> Any:
    return await database.read(lambda connection: connection.execute(select(leases.c.until)).scalar_one())
