"""What a holder has left is rescued, what was lost on the way is delivered again, by compare-and-sets."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NoReturn

import pytest
from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import dead_letters, jobs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs import leadership, settlement
from generation_service.jobs.model import Backend, Job, JobId
from generation_service.jobs.ports import HasArrived, StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing


class Post:
    """A backend whose deliveries can be lost."""

    backend: Backend = "rq"

    def __init__(self) -> None:
        self.delivered: list[tuple[JobId, int]] = []
        self.lost: set[JobId] = set()
        self.reachable = True
        self.looks = self.calls = 0

    def deliver(self, jobs: Iterable[Job]) -> None:
        told = [(job.id, job.delivery) for job in jobs]
        self.delivered += told
        self.calls += bool(told)

    def look(self) -> HasArrived:
        self.looks += 1
        if not self.reachable:
            raise ConnectionError
        return lambda job_id, _delivery: job_id not in self.lost


async def abandoned(core: Core) -> Job:
    """A job that was claimed by a process which is no more."""
    job = await core.submit()
    await core.executor.claim_waiting("background_tasks", 10)
    core.database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))
    return job


async def recover(core: Core) -> None:
    core.recovery._leads = True  # it has led for a while: no quiet time is left
    core.recovery._quiet_until = 0
    await core.recovery.turn()


async def look(core: Core, post: Post) -> None:
    """Let recovery take turns until it has looked for lost deliveries once more."""
    before = post.looks
    while post.looks == before:
        await recover(core)


async def test_a_job_whose_holder_is_silent_is_rescued_and_runs(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)

    await recover(core)

    assert (await core.run(job)).status == "completed"


async def test_a_poison_job_ends_in_the_dead_letters_after_its_last_attempt(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit(max_attempts=3)

    for _ in range(3):
        await core.executor.claim_waiting("background_tasks", 10)
        database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))
        await recover(core)

    ended = await core.jobs.get(job.id)
    assert ended.error is not None
    assert (ended.status, ended.failures, ended.error["code"]) == ("failed", 3, "abandoned")
    assert database.read_now(lambda connection: connection.execute(select(dead_letters.c.job_id)).scalars().all()) == [
        job.id
    ]
    assert await core.executor.claim_waiting("background_tasks", 10) == []


async def test_a_crash_after_a_committed_step_uses_up_no_attempt(database: Database) -> None:
    reached = asyncio.Event()

    async def hangs(run: StepRun) -> StepOutcome:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    core = Core(database, ToyKind({"one": nothing, "two": hangs}))
    job = await core.submit(max_attempts=1)
    dying = asyncio.create_task(core.run(job))
    await reached.wait()
    database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))

    await recover(core)

    rescued = await core.jobs.get(job.id)
    assert (rescued.status, rescued.failures) == ("pending", 0)
    dying.cancel()
    await asyncio.wait([dying])


async def test_a_holder_that_is_back_in_time_keeps_its_job(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    await core.executor.claim_waiting("background_tasks", 1)

    await recover(core)

    assert (await core.jobs.get(job.id)).status == "running"


async def test_a_lease_renewed_after_it_was_seen_to_have_run_out_is_respected(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    [claim] = await core.executor.claim_waiting("background_tasks", 1)

    rescued = database.write_now(lambda connection: settlement.rescue(connection, claim.job, core.kinds, core.policy))

    assert rescued is None
    assert (await core.jobs.get(job.id)).fence == claim.fence


async def test_two_rescuers_at_once_rescue_once(database: Database) -> None:
    first, second = (Core(database, ToyKind({"one": nothing}), name=name) for name in ("a", "b"))
    job = await abandoned(first)

    for core in (first, second):
        core.recovery._lead = _always  # two that both believe to lead
    await asyncio.gather(recover(first), recover(second))

    rescued = await first.jobs.get(job.id)
    assert (rescued.status, rescued.failures, rescued.fence) == ("pending", 1, 2)


async def test_a_fresh_leader_waits_one_heartbeat_before_it_rescues(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)

    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_nothing_is_rescued_after_an_outage_until_holders_had_a_chance(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await recover(core)
    database.write_now(
        lambda connection: connection.execute(update(jobs).values(status="running", lease_until=db_now(-1)))
    )

    core.recovery._lead, leads = _unavailable, core.recovery._lead
    try:
        await core.recovery.turn()
    except DatabaseUnavailable:
        core.recovery._lead = leads
    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_nothing_is_rescued_when_the_wall_clock_has_jumped(sqlite_database: Database) -> None:
    core = Core(sqlite_database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    core.recovery._leads = True

    core.recovery._clock = lambda: core.recovery._clocks[0] + 3600
    core.recovery._quiet_until = 0
    await core.recovery.turn()

    assert (await core.jobs.get(job.id)).status == "running"


async def test_a_delivery_is_made_again_only_when_it_was_missing_twice(database: Database) -> None:
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    job = await core.submit()
    database.write_now(
        lambda connection: connection.execute(update(jobs).values(backend="rq", delivered_at=db_now(-60)))
    )

    post.lost = {job.id}
    await look(core, post)
    assert post.delivered == []
    await look(core, post)
    assert post.delivered == [(job.id, 2)]

    await look(core, post)
    assert len(post.delivered) == 1


async def test_a_backend_that_cannot_tell_gets_nothing_again(database: Database) -> None:
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    job = await core.submit()
    database.write_now(
        lambda connection: connection.execute(update(jobs).values(backend="rq", delivered_at=db_now(-60)))
    )
    post.lost, post.reachable = {job.id}, False

    for _ in range(3):
        await look(core, post)

    assert post.delivered == []


async def test_while_nothing_waits_for_long_the_backend_is_not_asked(database: Database) -> None:
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    job = await core.submit()
    delivered = [("rq", -60, "running"), ("background_tasks", -60, "pending"), ("rq", 60, "pending")]
    for backend, seconds, status in delivered:
        changes = {"backend": backend, "delivered_at": db_now(seconds), "status": status, "lease_until": db_now(60)}
        database.write_now(lambda connection, changes=changes: connection.execute(update(jobs).values(**changes)))
        core.recovery._redelivery._look_at = 0.0
        await recover(core)
        assert post.looks == 0, (backend, seconds, status)

    database.write_now(lambda connection: connection.execute(update(jobs).values(delivered_at=db_now(-60))))
    post.lost = {job.id}
    await look(core, post)
    assert (post.looks, post.delivered) == (1, [])


async def test_what_has_arrived_meanwhile_is_doubted_no_more(database: Database) -> None:
    """That a delivery was missing once says nothing of the job once it has waited nowhere for a while."""
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    job = await core.submit()
    post.lost = {job.id}

    async def turn(status: str, looks: int) -> None:
        changes = {"backend": "rq", "delivered_at": db_now(-60), "status": status, "lease_until": db_now(60)}
        database.write_now(lambda connection: connection.execute(update(jobs).values(**changes)))
        core.recovery._redelivery._look_at = 0.0
        await recover(core)
        assert post.looks == looks

    await turn("pending", 1)
    await turn("running", 1)
    await turn("pending", 2)
    assert post.delivered == []

    await turn("pending", 3)
    assert post.delivered == [(job.id, 2)]


async def test_a_retry_is_delivered_when_it_is_due_and_not_before(database: Database) -> None:
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    job = await core.submit()

    def wait(seconds: float) -> None:
        changes = {"backend": "rq", "delivered_at": None, "due_at": db_now(seconds)}
        database.write_now(lambda connection: connection.execute(update(jobs).values(**changes)))

    wait(60)
    await recover(core)
    assert post.delivered == []

    wait(-1)
    await recover(core)
    assert post.delivered == [(job.id, 2)]


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


async def test_many_lost_deliveries_are_made_again_in_several_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.jobs.redelivery._BATCH", 2)
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})
    post.lost = {(await core.submit()).id for _ in range(5)}
    long_ago = {"backend": "rq", "delivered_at": db_now(-60)}
    database.write_now(lambda connection: connection.execute(update(jobs).values(**long_ago)))

    for _ in range(2):
        await look(core, post)

    assert sorted(post.delivered) == sorted((job_id, 2) for job_id in post.lost)
    assert post.calls == 3


async def test_however_long_a_look_took_the_next_is_not_long_in_coming(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.jobs.redelivery._LEISURE", 1e9)
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"rq": post})

    await core.recovery._redelivery.deliver_lost()

    assert 50 < core.recovery._redelivery._look_at - time.monotonic() <= 60


async def _always(*_: object) -> bool:
    return True


async def _unavailable(*_: object) -> bool:
    raise DatabaseUnavailable("away")


class Cracked(ToyKind):
    """Its hook breaks when a job fails."""

    def on_ended(self, *given: object) -> NoReturn:
        raise ZeroDivisionError


async def test_one_job_that_cannot_be_rescued_keeps_nobody_else_waiting(database: Database) -> None:
    core = Core(database, Cracked({"one": nothing}))
    broken = await core.submit(max_attempts=1)
    other = await core.submit()
    await core.executor.claim_waiting("background_tasks", 10)
    database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))

    await recover(core)

    assert [(await core.jobs.get(job.id)).status for job in (broken, other)] == ["running", "pending"]


async def test_a_row_that_somebody_holds_holds_up_no_other_delivery(postgresql_database: Database) -> None:
    database = postgresql_database
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"background_tasks": post})
    first, second = await core.submit(), await core.submit()
    database.write_now(lambda connection: connection.execute(update(jobs).values(delivered_at=None)))
    held, done = threading.Event(), threading.Event()

    def holds(connection: Connection) -> None:
        connection.execute(select(jobs).where(jobs.c.id == first.id).with_for_update())
        held.set()
        done.wait(20)

    holding = asyncio.create_task(database.write(holds))
    await asyncio.to_thread(held.wait, 10)
    await recover(core)
    delivered = list(post.delivered)
    done.set()
    await holding
    await recover(core)

    assert delivered == [(second.id, 2)]
    assert post.delivered == [(second.id, 2), (first.id, 2)]


async def test_a_row_that_somebody_holds_holds_up_no_other_rescue(postgresql_database: Database) -> None:
    database = postgresql_database
    core = Core(database, ToyKind({"one": nothing}))
    first, second = await core.submit(), await abandoned(core)

    def holds(connection: Connection) -> None:
        connection.execute(select(jobs).where(jobs.c.id == first.id).with_for_update())
        asyncio.run_coroutine_threadsafe(recover(core), loop).result(20)

    loop = asyncio.get_running_loop()
    await database.write(holds)

    assert [(await core.jobs.get(job.id)).status for job in (first, second)] == ["running", "pending"]
    await recover(core)
    assert (await core.jobs.get(first.id)).status == "pending"


async def test_nothing_is_rescued_right_after_a_freeze(database: Database) -> None:
    """Whoever was frozen along with this process has had no chance to renew its leases."""
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await core.recovery.turn()
    assert core.recovery._turned_at is not None
    core.recovery._turned_at -= 60

    await recover(core)
    assert (await core.jobs.get(job.id)).status == "running"

    await recover(core)
    assert (await core.jobs.get(job.id)).status == "pending"


@pytest.mark.parametrize("stalls", ["write", "read"])
async def test_nothing_is_rescued_in_the_turn_in_which_the_database_stalls(
    database: Database, monkeypatch: pytest.MonkeyPatch, stalls: str
) -> None:
    """Without an error: whoever shares the database has had no chance to renew its leases either."""
    core = Core(database, ToyKind({"one": nothing}))
    job = await abandoned(core)
    await core.recovery.turn()
    answers = getattr(database, stalls)

    async def answers_late(unit: Callable[[Connection], Any]) -> Any:
        assert core.recovery._turned_at is not None
        core.recovery._turned_at -= 60
        return await answers(unit)

    with monkeypatch.context() as stalled:
        stalled.setattr(database, stalls, answers_late)
        await recover(core)
    assert (await core.jobs.get(job.id)).status == "running"

    await recover(core)
    assert (await core.jobs.get(job.id)).status == "pending"


async def test_a_turn_that_goes_on_for_long_after_its_rescue_keeps_nobody_from_the_next(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await recover(core)
    job = await abandoned(core)
    delivers = core.recovery._redelivery.deliver_undelivered

    async def delivers_much() -> None:
        assert core.recovery._turned_at is not None
        core.recovery._turned_at -= 60
        await delivers()

    core.recovery._redelivery.deliver_undelivered = delivers_much
    await recover(core)
    assert (await core.jobs.get(job.id)).status == "pending"
    other = await abandoned(core)

    await recover(core)

    assert (await core.jobs.get(other.id)).status == "pending"
