"""Group commit joins jobs, never steps: many runs share transactions, and no invariant is weaker for it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from generation_service.database import Database
from generation_service.database.tables import jobs, steps
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import Job
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing

MANY = 12


async def run_all(core: Core, waiting: list[Job]) -> list[Job]:
    return await asyncio.gather(*(core.run(job) for job in waiting))


async def submit_many(core: Core, count: int = MANY) -> list[Job]:
    return [await core.submit() for _ in range(count)]


async def check_logs(core: Core, done: list[Job]) -> None:
    """Each job completed once, each step committed once, and events are 1, 2, 3 ... (I2, I4, I6)."""
    for job in done:
        events = await core.events(job.id)
        assert job.status == "completed"
        assert [data["sequence"] for _, data in events] == list(range(1, len(events) + 1))
        assert [kind for kind, _ in events].count("completed") == 1
        committed = [data["step"] for kind, data in events if kind == "step" and data["status"] == "completed"]
        assert committed == list(core.kind.toy_steps)


async def test_jobs_that_run_side_by_side_share_their_transactions(database: Database) -> None:
    core = Core(database, ToyKind(dict.fromkeys(("one", "two", "three"), nothing)))
    waiting = await submit_many(core)
    commits: list[object] = []
    event.listen(database._writing, "commit", commits.append)

    done = await run_all(core, waiting)

    await check_logs(core, done)
    # Alone, each of the 12 would need 6: the claim, the first start, three steps, the ending.
    assert len(commits) < MANY * 6 / 3


async def test_a_step_is_durable_before_the_next_begins(database: Database) -> None:
    """Read through a connection of another kind than the one that writes: only what is committed is seen."""
    seen: list[tuple[str, str]] = []

    async def looks(run: StepRun) -> StepOutcome:
        mine = select(steps.c.name, steps.c.status).where(steps.c.job_id == run.job.id).order_by(steps.c.ordinal)
        found = database.read_now(lambda connection: connection.execute(mine).all())
        seen.append(("-".join(row.name for row in found), "-".join(row.status for row in found)))
        return StepOutcome(output={})

    core = Core(database, ToyKind(dict.fromkeys(("one", "two", "three"), looks)))

    await run_all(core, await submit_many(core, 4))

    assert sorted(seen) == sorted(
        [
            ("one", "running"),
            ("one-two", "completed-running"),
            ("one-two-three", "completed-completed-running"),
        ]
        * 4
    )


async def test_a_run_that_has_lost_its_job_harms_none_of_its_group(database: Database) -> None:
    """I3: in one group, only the writes of those that still hold their jobs are made."""
    together = asyncio.Barrier(MANY)

    async def meets(run: StepRun) -> StepOutcome:
        if await together.wait() == 0:  # all commit at once, now that some have lost their jobs
            lost = update(jobs).where(jobs.c.id.in_(robbed)).values(fence=jobs.c.fence + 1)
            await database.write(lambda connection: connection.execute(lost).close())
        await together.wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": meets, "two": nothing}))
    waiting = await submit_many(core)
    robbed = [job.id for job in waiting[::3]]

    done = await run_all(core, waiting)

    await check_logs(core, [job for job in done if job.id not in robbed])
    for job_id in robbed:
        assert [(one.name, one.status) for one in await core.jobs.steps(job_id)] == [("one", "running")]
        assert [data["sequence"] for _, data in await core.events(job_id)] == [1, 2, 3]


async def test_a_job_that_was_delivered_twice_at_once_is_claimed_once(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    waiting = await submit_many(core, 3)

    await asyncio.gather(*(core.executor.execute(job.id, "background_tasks") for job in waiting * 4))

    assert core.kind.toy_steps["one"].runs == 3
    await check_logs(core, [await core.jobs.get(job.id) for job in waiting])


async def test_an_effect_that_fails_is_its_own_runs_affair(database: Database) -> None:
    def breaks(_connection: Connection) -> None:
        raise ZeroDivisionError

    async def one(run: StepRun) -> StepOutcome:
        return StepOutcome(output={}, effects=[breaks] if run.job.id == broken.id else [])

    core = Core(database, ToyKind({"one": one}))
    broken, *others = await submit_many(core)

    done = await run_all(core, [broken, *others])

    assert done[0].status == "running"  # as ever: its lease runs out, and recovery decides
    await check_logs(core, done[1:])


async def test_a_row_that_somebody_holds_makes_nobody_wait_but_its_own_run(
    postgresql_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    database = postgresql_database
    core = Core(database, ToyKind({"one": nothing}))
    held, *others = await submit_many(core)
    locked, let_go = threading.Event(), threading.Event()

    def holds(connection: Connection) -> None:
        connection.execute(select(jobs.c.id).where(jobs.c.id == held.id).with_for_update())
        locked.set()
        assert let_go.wait(20)

    holding = asyncio.create_task(asyncio.to_thread(database.write_now, holds))
    await asyncio.to_thread(locked.wait, 10)
    waits = asyncio.create_task(core.run(held))

    done = await run_all(core, others)

    assert not waits.done()
    assert "group_parted" not in {getattr(record, "action", "") for record in caplog.records}
    await check_logs(core, done)
    let_go.set()
    await holding
    await check_logs(core, [await waits])


class LosesAnswers:
    """Loses the answer of every third group, after its commit or before."""

    def __init__(self, database: Database, *, committed: bool) -> None:
        self._write, self._committed = database.write_once_now, committed
        self._seen = self.lost = 0

    def __call__(self, unit: Callable[[Connection], Any]) -> Any:
        self._seen += 1
        if self._seen % 3:
            return self._write(unit)
        self.lost += 1
        if self._committed:
            self._write(unit)
        raise DatabaseUnavailable("the answer was lost")


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
async def test_groups_whose_answers_are_lost_are_neither_repeated_nor_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    core = Core(database, ToyKind(dict.fromkeys(("one", "two", "three"), nothing)))
    waiting = await submit_many(core)
    loses = LosesAnswers(database, committed=committed)
    monkeypatch.setattr(database, "write_once_now", loses)

    await run_all(core, waiting)
    monkeypatch.undo()
    done = await run_all(core, waiting)  # deliveries of claims that were not committed came to nothing

    assert loses.lost
    await check_logs(core, done)
    assert [step.runs for step in core.kind.toy_steps.values()] == [MANY] * 3
