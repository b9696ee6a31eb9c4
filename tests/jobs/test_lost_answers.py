"""The answer to a COMMIT can be lost: the run looks up its own row, and neither repeats nor forgets anything."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from generation_service.database import Database
from generation_service.database.tables import usage
from generation_service.errors import DatabaseClosed, DatabaseUnavailable, PermanentError
from generation_service.jobs import checkpoints, claims, commits
from generation_service.jobs.checkpoints import EndedStep, StepPlace, Write
from generation_service.jobs.claims import Claimant, Wanted
from generation_service.jobs.model import Usage
from generation_service.jobs.persistence import until_available
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


class Flaky:
    """Loses answers of a database: of the `nth` write, after its commit or before."""

    def __init__(self, database: Database, nth: int, *, committed: bool) -> None:
        self._write = database.write_now
        self._nth, self._committed, self._seen = nth, committed, 0
        self.lost = False

    def __call__(self, unit: Callable[[Connection], Any]) -> Any:
        self._seen += 1
        if self._seen != self._nth:
            return self._write(unit)
        self.lost = True
        if self._committed:
            self._write(unit)
        raise DatabaseUnavailable("the answer was lost")


async def pays(run: StepRun) -> StepOutcome:
    run.spend(Usage(input_tokens=1, output_tokens=1, model="m"))
    await run.token("text")
    await run._flush  # so that it is committed in the course of the step
    await run.token("more")
    return StepOutcome(output={"step": run.step})


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("nth", range(1, 8))
async def test_whichever_answer_is_lost_every_step_runs_once_and_events_have_no_gap(
    database: Database, monkeypatch: pytest.MonkeyPatch, nth: int, *, committed: bool
) -> None:
    """Writes of a run: 1 claim, 2 start of a step, 3 text, 4 commit and next start, 5 text, 6 commit, 7 the ending."""
    core = Core(database, ToyKind({"one": pays, "two": pays}))
    job = await core.submit()
    flaky = Flaky(database, nth, committed=committed)
    monkeypatch.setattr(database, "write_now", flaky)

    job = await core.run(job)
    if job.status == "pending":  # the claim was not committed, so the delivery came to nothing
        assert (nth, committed) == (1, False)
        job = await core.run(job)

    assert flaky.lost
    assert (job.status, job.input_tokens, job.output_tokens) == ("completed", 2, 2)
    assert [step.runs for step in core.kind.toy_steps.values()] == [1, 1]
    events = await core.events(job.id)
    assert [data["sequence"] for _, data in events] == list(range(1, len(events) + 1))
    assert [kind for kind, _ in events].count("completed") == 1
    assert [data["step"] for kind, data in events if kind == "step" and data["status"] == "completed"] == ["one", "two"]
    assert sum(kind == "token" for kind, _ in events) == 4


@pytest.mark.parametrize("taken_away", [False, True])
async def test_a_run_whose_ending_was_committed_has_completed_though_the_answer_was_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, taken_away: bool
) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    flaky = Flaky(database, nth=4, committed=not taken_away)  # 1 claim, 2 start of the step, 3 its commit, 4 the ending
    monkeypatch.setattr(database, "write_now", flaky)
    if taken_away:
        monkeypatch.setattr(commits, "until_available", partial(_after, lambda: core.jobs.cancel(job.id)))

    await core.executor.execute(job.id, "background_tasks")

    outcomes = [dict(labels).get("outcome") for (_, labels) in core.telemetry.totals.take()]
    assert flaky.lost
    assert [one for one in outcomes if one] == ["fenced" if taken_away else "completed"]


async def _after(
    first: Callable[[], Awaitable[object]], commit: Callable[[], Awaitable[Any]], until_available: Any = until_available
) -> Any:
    await first()
    return await until_available(commit)


class Held:
    """Holds up the `nth` write, in its thread, until it may `go_on`; `reached` once it is there."""

    def __init__(self, database: Database, nth: int) -> None:
        self._write = database.write_now
        self._nth, self._seen = nth, 0
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, unit: Callable[[Connection], Any]) -> Any:
        self._seen += 1
        if self._seen == self._nth:
            self.reached.set()
            self.go_on.wait(10)
        return self._write(unit)


async def test_a_run_that_is_stopped_while_a_step_commits_counts_the_step_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread commits on, whether anybody awaits it or not."""

    async def spends(run: StepRun) -> StepOutcome:
        run.spend(Usage(input_tokens=1, output_tokens=1, model="m"))
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": spends}))
    job = await core.submit()
    held = Held(database, nth=3)  # 1 claim, 2 start of the step, 3 its commit
    monkeypatch.setattr(database, "write_now", held)
    running = asyncio.create_task(core.run(job))
    assert await asyncio.to_thread(held.reached.wait, 10)

    core.heartbeat.release_all()
    for _ in range(50):
        await asyncio.sleep(0)
    held.go_on.set()

    released = await running
    assert (released.status, released.input_tokens, released.output_tokens) == ("pending", 1, 1)
    ended = await core.run(job)
    assert (ended.status, ended.input_tokens, core.kind.toy_steps["one"].runs) == ("completed", 1, 1)
    assert database.read_now(lambda connection: len(connection.execute(select(usage)).all())) == 1


async def test_what_a_step_that_failed_had_spent_is_counted_when_its_job_is_lost_meanwhile(database: Database) -> None:
    async def spends_and_fails(run: StepRun) -> StepOutcome:
        run.spend(Usage(input_tokens=1, output_tokens=1, model="m"))
        await core.jobs.cancel(run.job.id)
        raise PermanentError("refused", "the provider refused")

    core = Core(database, ToyKind({"one": spends_and_fails}))

    ended = await core.run(await core.submit())

    assert (ended.status, ended.input_tokens, ended.output_tokens) == ("cancelled", 1, 1)


async def test_a_commit_that_the_server_is_still_busy_with_is_waited_for(postgresql_database: Database) -> None:
    """The connection was lost, the transaction was not: it may land after its run has come back to look."""
    database = postgresql_database
    core = Core(database, ToyKind({"one": pays}))
    await core.submit()
    [claim] = await core.executor.claim_waiting("background_tasks", 1)
    place = StepPlace(name="one", ordinal=0, count=1)
    database.write_now(lambda connection: checkpoints.write(connection, Write(claim=claim, starts=place)))

    def commits(connection: Connection) -> Future[int | None]:
        ends = EndedStep(place=place, outcome=StepOutcome(output={}))
        checkpoints.write(connection, Write(claim=claim, ends=ends))
        looks = pool.submit(database.write_now, lambda other: checkpoints.committed_at(other, claim, "one"))
        while not looks.done() and not database.read_now(lambda other: other.execute(WAITING).scalar()):
            pass
        return looks

    with ThreadPoolExecutor(1) as pool:
        assert database.write_now(commits).result() is not None


async def test_a_run_that_is_stopped_while_it_claims_gives_its_job_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(database, ToyKind({"one": pays}))
    job = await core.submit()
    held = Held(database, nth=1)
    monkeypatch.setattr(database, "write_now", held)
    running = asyncio.create_task(core.executor.execute(job.id, "background_tasks"))
    assert await asyncio.to_thread(held.reached.wait, 10)

    running.cancel()
    held.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    given_back = await core.jobs.get(job.id)
    assert (given_back.status, given_back.claims, given_back.failures) == ("pending", 1, 0)


class Loses(Held):
    """As `Held`; the answer of the `nth` write is lost, after its commit."""

    def __call__(self, unit: Callable[[Connection], Any]) -> Any:
        answer = super().__call__(unit)
        if self._seen == self._nth:
            raise DatabaseUnavailable("the answer was lost")
        return answer


async def test_a_run_that_is_cancelled_while_an_answer_is_lost_begins_no_further_step(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else that step's model call would be paid, and paid again by whoever takes the job next."""
    core = Core(database, ToyKind({"one": nothing, "two": nothing}))
    job = await core.submit()
    loses = Loses(database, nth=3)  # 1 claim, 2 start of step one, 3 its commit
    monkeypatch.setattr(database, "write_now", loses)
    running = asyncio.create_task(core.executor.execute(job.id, "background_tasks"))
    assert await asyncio.to_thread(loses.reached.wait, 10)

    running.cancel()
    await asyncio.sleep(0)
    loses.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [step.runs for step in core.kind.toy_steps.values()] == [1, 0]
    assert (await core.jobs.get(job.id)).status == "pending"


async def test_a_claim_that_the_server_is_still_committing_is_found(postgresql_database: Database) -> None:
    database = postgresql_database
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    by = Claimant(holder="here/1", lease_seconds=30.0)
    wanted = [Wanted(job_id=job.id, backend="background_tasks", by=by)]

    def commits(connection: Connection) -> Future[Any]:
        claims.claim_all(connection, wanted, core.kinds)
        looks = pool.submit(database.write_now, lambda other: claims.find_claims(other, by.holder, job.id))
        while not looks.done() and not database.read_now(lambda other: other.execute(WAITING).scalar()):
            pass
        return looks

    with ThreadPoolExecutor(1) as pool:
        [found] = database.write_now(commits).result()
    assert found.id == job.id


async def test_a_run_of_a_closed_database_does_not_try_for_ever(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    core = Core(database, ToyKind({"one": nothing}))
    await core.submit()
    [claim] = await core.executor.claim_waiting("background_tasks", 1)
    start = Write(claim=claim, starts=StepPlace(name="one", ordinal=0, count=1))
    database.close()

    with pytest.raises(DatabaseClosed):
        await asyncio.wait_for(core.executor._commits.write(start, lambda _: None), 10)
