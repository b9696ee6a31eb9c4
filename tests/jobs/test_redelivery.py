"""What is due is delivered, and what was lost on its way is delivered again: under a new number, and not too soon."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs
from generation_service.jobs.model import Backend, Job, JobId
from generation_service.jobs.ports import HasArrived
from tests.support.toy import Core, ToyKind, nothing, until


class Post:
    """A backend whose deliveries can be lost."""

    backend: Backend = "rq"

    def __init__(self) -> None:
        self.delivered: list[tuple[JobId, int]] = []
        self.lost: set[JobId] = set()
        self.reachable = True
        self.looks = self.calls = 0
        self.answers = threading.Event()
        self.answers.set()

    def deliver(self, jobs: Iterable[Job]) -> None:
        told = [(job.id, job.delivery) for job in jobs]
        self.delivered += told
        self.calls += bool(told)

    async def was_asked(self) -> bool:
        return self.looks > 0

    async def was_given(self) -> bool:
        return self.calls > 0

    def look(self) -> HasArrived:
        self.looks += 1
        self.answers.wait(20)
        if not self.reachable:
            raise ConnectionError
        return lambda job_id, _delivery: job_id not in self.lost


def served(database: Database) -> tuple[Core, Post]:
    """A core whose jobs can go to RQ, and what stands there for RQ."""
    post = Post()
    return Core(database, ToyKind({"one": nothing}), backends={"rq": post}), post


def change(database: Database, **columns: Any) -> None:
    """Let all jobs be like this."""
    database.write_now(lambda connection: connection.execute(update(jobs).values(**columns)))


async def look(core: Core, post: Post) -> None:
    """Let recovery take turns until it has looked for lost deliveries once more."""
    before = post.looks
    while post.looks == before:
        await core.recover()


async def test_a_delivery_is_made_again_only_when_it_was_missing_twice(database: Database) -> None:
    core, post = served(database)
    job = await core.submit()
    change(database, backend="rq", delivered_at=db_now(-60))

    post.lost = {job.id}
    await look(core, post)
    assert post.delivered == []
    await look(core, post)
    assert post.delivered == [(job.id, 2)]

    await look(core, post)
    assert len(post.delivered) == 1


async def test_a_backend_that_cannot_tell_gets_nothing_again(database: Database) -> None:
    core, post = served(database)
    job = await core.submit()
    change(database, backend="rq", delivered_at=db_now(-60))
    post.lost, post.reachable = {job.id}, False

    for _ in range(3):
        await look(core, post)

    assert post.delivered == []


async def test_while_nothing_waits_for_long_the_backend_is_not_asked(database: Database) -> None:
    core, post = served(database)
    job = await core.submit()
    delivered = [("rq", -60, "running"), ("background_tasks", -60, "pending"), ("rq", 60, "pending")]
    for backend, seconds, status in delivered:
        change(database, backend=backend, delivered_at=db_now(seconds), status=status, lease_until=db_now(60))
        core.recovery._redelivery._look_at = 0.0
        await core.recover()
        assert post.looks == 0, (backend, seconds, status)

    change(database, delivered_at=db_now(-60))
    post.lost = {job.id}
    await look(core, post)
    assert (post.looks, post.delivered) == (1, [])


async def test_what_has_arrived_meanwhile_is_doubted_no_more(database: Database) -> None:
    """That a delivery was missing once says nothing of the job once it has waited nowhere for a while."""
    core, post = served(database)
    job = await core.submit()
    post.lost = {job.id}

    async def turn(status: str, looks: int) -> None:
        change(database, backend="rq", delivered_at=db_now(-60), status=status, lease_until=db_now(60))
        core.recovery._redelivery._look_at = 0.0
        await core.recover()
        assert post.looks == looks

    await turn("pending", 1)
    await turn("running", 1)
    await turn("pending", 2)
    assert post.delivered == []

    await turn("pending", 3)
    assert post.delivered == [(job.id, 2)]


async def test_a_retry_is_delivered_when_it_is_due_and_not_before(database: Database) -> None:
    core, post = served(database)
    job = await core.submit()

    def wait(seconds: float) -> None:
        change(database, backend="rq", delivered_at=None, due_at=db_now(seconds))

    wait(60)
    await core.recover()
    assert post.delivered == []

    wait(-1)
    await core.recover()
    assert post.delivered == [(job.id, 2)]


async def test_many_lost_deliveries_are_made_again_in_several_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.jobs.redelivery._BATCH", 2)
    core, post = served(database)
    post.lost = {(await core.submit()).id for _ in range(5)}
    change(database, backend="rq", delivered_at=db_now(-60))

    for _ in range(2):
        await look(core, post)

    assert sorted(post.delivered) == sorted((job_id, 2) for job_id in post.lost)
    assert post.calls == 3


async def test_a_look_that_takes_its_time_holds_up_nobody(database: Database) -> None:
    core, post = served(database)
    await core.submit()
    change(database, backend="rq", delivered_at=db_now(-60))
    post.answers.clear()
    core.recovery.start()
    try:
        await until(post.was_asked)

        change(database, delivered_at=None)

        await until(post.was_given)
    finally:
        post.answers.set()
        await core.recovery.stop()


async def test_a_look_that_is_over_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.jobs.redelivery._LOOK_BATCH", 1)
    core, post = served(database)
    post.lost = {(await core.submit()).id for _ in range(3)}
    change(database, backend="rq", delivered_at=db_now(-60))
    answers = iter([False, True])

    await core.recovery._redelivery.deliver_lost(lambda: next(answers))

    assert len(core.recovery._redelivery._doubted) == 1


async def test_a_row_that_somebody_holds_holds_up_no_other_delivery(postgresql_database: Database) -> None:
    database = postgresql_database
    post = Post()
    core = Core(database, ToyKind({"one": nothing}), backends={"background_tasks": post})
    first, second = await core.submit(), await core.submit()
    change(database, delivered_at=None)
    held, done = threading.Event(), threading.Event()

    def holds(connection: Connection) -> None:
        connection.execute(select(jobs).where(jobs.c.id == first.id).with_for_update())
        held.set()
        done.wait(20)

    holding = asyncio.create_task(database.write(holds))
    await asyncio.to_thread(held.wait, 10)
    await core.recover()
    delivered = list(post.delivered)
    done.set()
    await holding
    await core.recover()

    assert delivered == [(second.id, 2)]
    assert post.delivered == [(second.id, 2), (first.id, 2)]
