"""A claimed job runs its steps once each, and ends once."""

import asyncio

import pytest
from sqlalchemy import delete, func, insert, select, update

from generation_service.database import Database, db_now
from generation_service.database.tables import dead_letters, jobs, service_state, usage
from generation_service.errors import Fenced, PermanentError, Refused, TransientError
from generation_service.jobs import settlement
from generation_service.jobs.claims import PAUSED
from generation_service.jobs.model import JobError, Usage
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.jobs.settlement import Completed, Failure
from tests.support.toy import Core, ToyKind, nothing, until


def gapless(events: list) -> bool:
    return [data["sequence"] for _, data in events] == list(range(1, len(events) + 1))


async def test_a_job_runs_its_steps_in_order_and_ends_once(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing, "two": nothing}))

    job = await core.run(await core.submit())

    assert (job.status, job.progress, job.result) == ("completed", 100.0, {"steps": ["one", "two"]})
    events = await core.events(job.id)
    assert [kind for kind, _ in events] == ["status", "status", "step", "step", "step", "step", "completed"]
    assert gapless(events)
    assert len(core.kind.endings) == 1


async def test_a_job_delivered_twice_at_once_runs_once(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()

    await asyncio.gather(*(core.executor.execute(job.id, "background_tasks") for _ in range(8)))

    assert core.kind.toy_steps["one"].runs == 1
    assert gapless(await core.events(job.id))


async def test_a_delivery_through_the_other_backend_is_refused(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()

    await core.executor.execute(job.id, "rq")

    assert (await core.jobs.get(job.id)).status == "pending"


async def test_a_job_that_is_not_due_yet_is_not_claimed_by_an_early_delivery(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    database.write_now(lambda connection: connection.execute(update(jobs).values(due_at=db_now(60))))

    assert (await core.run(job)).status == "pending"


async def test_nothing_is_claimed_while_the_service_is_paused(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()
    paused = {"name": PAUSED, "value": True, "updated_at": db_now()}
    database.write_now(lambda connection: connection.execute(insert(service_state).values(**paused)))

    assert (await core.run(job)).status == "pending"
    database.write_now(lambda connection: connection.execute(delete(service_state)))

    assert (await core.run(job)).status == "completed"


async def test_a_transient_failure_is_tried_again_without_repeating_committed_steps(database: Database) -> None:
    async def fails_first(run: StepRun) -> StepOutcome:
        if run.attempt == 1:
            raise TransientError("away", "the provider is away")
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": fails_first}))
    job = await core.run(await core.submit())
    assert (job.status, job.failures, job.attempt) == ("pending", 1, 2)

    job = await core.run(job)

    assert (job.status, job.attempt) == ("completed", 2)
    assert core.kind.toy_steps["one"].runs == 1
    events = await core.events(job.id)
    assert gapless(events)
    assert "retry" in [kind for kind, _ in events]
    again = [data for kind, data in events if kind == "step" and data.get("discard_after")]
    assert [data["step"] for data in again] == ["two"]


async def test_attempts_never_exceed_their_limit_and_end_in_the_dead_letters(database: Database) -> None:
    async def fails(run: StepRun) -> StepOutcome:
        raise TransientError("away", "the provider is away")

    core = Core(database, ToyKind({"one": fails}))
    job = await core.submit(max_attempts=3)

    for _ in range(5):
        job = await core.run(job)

    assert (job.status, job.failures, job.attempt) == ("failed", 3, 3)
    assert core.kind.toy_steps["one"].runs == 3
    assert job.error == {"code": "away", "message": "the provider is away", "retryable": True}
    kept = database.read_now(lambda connection: connection.execute(select(dead_letters)).all())
    assert [(row.job_id, row.reason) for row in kept] == [(job.id, "away")]


async def test_a_permanent_failure_ends_the_job_at_once(database: Database) -> None:
    async def refuses(run: StepRun) -> StepOutcome:
        raise PermanentError("content_policy", "the provider refused")

    core = Core(database, ToyKind({"one": refuses}))

    job = await core.run(await core.submit())

    assert (job.status, job.failures) == ("failed", 1)
    assert job.error is not None
    assert job.error["retryable"] is False


async def test_an_unexpected_exception_is_a_failure_like_any_other(database: Database) -> None:
    async def breaks(run: StepRun) -> StepOutcome:
        raise ZeroDivisionError

    core = Core(database, ToyKind({"one": breaks}))

    job = await core.run(await core.submit(max_attempts=1))

    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "internal_error")


async def test_a_cancelled_run_stops_within_two_seconds_and_writes_nothing_more(database: Database) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def endless(run: StepRun) -> StepOutcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    core = Core(database, ToyKind({"one": endless}))
    async with core.beating():
        job = await core.submit()
        running = asyncio.create_task(core.run(job))
        await started.wait()

        cancelled = await core.jobs.cancel(job.id)
        async with asyncio.timeout(2):
            await stopped.wait()
        await running

    assert (cancelled.job.status, cancelled.by_this_call) == ("cancelled", True)
    events = await core.events(job.id)
    assert events[-1][0] == "cancelled"
    assert gapless(events)
    assert [ending.status for ending in core.kind.endings] == ["cancelled"]


async def test_cancelling_twice_answers_the_same_job(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    job = await core.submit()

    first, second = await core.jobs.cancel(job.id), await core.jobs.cancel(job.id)

    assert (first.by_this_call, second.by_this_call) == (True, False)
    assert second.job.status == "cancelled"
    assert (await core.run(job)).status == "cancelled"


async def test_a_run_whose_job_was_rescued_writes_nothing_more(database: Database) -> None:
    """The step goes on after its lease has run out: its commit, its tokens and its ending are refused (I3)."""
    rescued = asyncio.Event()
    refused: list[str] = []

    async def slow(run: StepRun) -> StepOutcome:
        if run.job.claims == 1:
            await rescued.wait()
            try:
                await run.write(lambda connection: None)
            except Fenced:
                refused.append("write")
        return StepOutcome(output={"claim": run.job.claims})

    core = Core(database, ToyKind({"one": slow}))
    job = await core.submit()
    old_run = asyncio.create_task(core.run(job))
    await until(lambda: _is(core, job.id, "running"))
    _expire_lease(database)
    await core.recover()
    assert (await core.jobs.get(job.id)).status == "pending"

    ended = await core.run(job)
    rescued.set()
    await old_run

    assert ended.status == "completed"
    record = (await core.jobs.steps(job.id))[0]
    assert record.output == {"claim": 2}
    assert refused == ["write"]
    assert len(core.kind.endings) == 1
    assert gapless(await core.events(job.id))


async def test_a_run_thought_dead_cannot_write_into_the_run_that_took_over(database: Database) -> None:
    """Both runs are under way at once: the job is `running`, and only the fence tells them apart (I3)."""
    second_runs, first_done = asyncio.Event(), asyncio.Event()

    async def slow(run: StepRun) -> StepOutcome:
        if run.job.claims == 1:
            await second_runs.wait()
            with pytest.raises(Fenced):
                await run.write(lambda connection: None)
            await run.token("written by the dead")
        else:
            second_runs.set()
            await first_done.wait()
        return StepOutcome(output={"claim": run.job.claims})

    core = Core(database, ToyKind({"one": slow, "two": nothing}))
    job = await core.submit()
    old_run = asyncio.create_task(core.run(job))
    await until(lambda: _is(core, job.id, "running"))
    _expire_lease(database)
    await core.recover()
    taking_over = asyncio.create_task(core.run(job))

    await old_run
    assert [record.status for record in await core.jobs.steps(job.id)] == ["running"]
    first_done.set()
    ended = await taking_over

    assert ended.status == "completed"
    assert [record.output for record in await core.jobs.steps(job.id)] == [{"claim": 2}, {"ran": "two"}]
    assert "token" not in [kind for kind, _ in await core.events(job.id)]
    assert core.kind.toy_steps["two"].runs == 1


async def test_an_ending_of_a_run_thought_dead_is_refused(database: Database) -> None:
    core = Core(database, ToyKind({}))
    job = await core.submit()
    [dead] = await core.executor.claim_waiting("background_tasks", 1)
    _expire_lease(database)
    await core.recover()
    [alive] = await core.executor.claim_waiting("background_tasks", 1)

    failure = Failure(error=JobError(code="late", message="late", retryable=True))
    for late in (
        lambda connection: settlement.complete(connection, Completed(claim=dead), core.kinds),
        lambda connection: settlement.fail_attempt(connection, dead, failure, core.kinds, core.policy),
        lambda connection: settlement.release(connection, dead, "late"),
    ):
        with pytest.raises(Fenced):
            database.write_now(late)

    assert alive.fence > dead.fence
    assert (await core.jobs.get(job.id)).status == "running"


async def test_what_a_fenced_run_has_spent_is_still_counted(database: Database) -> None:
    taken = asyncio.Event()

    async def spends(run: StepRun) -> StepOutcome:
        run.spend(Usage(input_tokens=3, output_tokens=4, model="m"))
        await taken.wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": spends}))
    job = await core.submit()
    running = asyncio.create_task(core.run(job))
    await until(lambda: _is(core, job.id, "running"))

    await core.jobs.cancel(job.id)
    taken.set()
    await running

    ended = await core.jobs.get(job.id)
    assert (ended.input_tokens, ended.output_tokens) == (3, 4)
    assert (
        database.read_now(lambda connection: connection.execute(select(func.count()).select_from(usage)).scalar()) == 1
    )


async def test_a_released_job_goes_on_from_its_last_step_and_has_used_no_attempt(database: Database) -> None:
    entered = asyncio.Event()

    async def waits(run: StepRun) -> StepOutcome:
        if run.job.claims == 1:
            entered.set()
            await asyncio.Event().wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": waits}))
    job = await core.submit()
    running = asyncio.create_task(core.run(job))
    await entered.wait()

    core.heartbeat.release_all()
    released = await running
    assert (released.status, released.failures) == ("pending", 0)

    ended = await core.run(job)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert core.kind.toy_steps["one"].runs == 1


async def test_saved_tokens_grow_when_a_paid_step_is_not_run_again(database: Database) -> None:
    async def pays(run: StepRun) -> StepOutcome:
        run.spend(Usage(input_tokens=10, output_tokens=5, model="m"))
        return StepOutcome(output={})

    async def fails_first(run: StepRun) -> StepOutcome:
        if run.attempt == 1:
            raise TransientError("away", "away")
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": pays, "two": fails_first}))
    job = await core.run(await core.run(await core.submit()))

    assert (job.input_tokens, job.output_tokens, job.saved_tokens) == (10, 5, 15)


async def test_tokens_are_committed_in_order_and_ride_with_the_step(database: Database) -> None:
    async def writes(run: StepRun) -> StepOutcome:
        for word in ("a", "b", "c"):
            await run.token(word)
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": writes}))
    job = await core.run(await core.submit())

    events = await core.events(job.id)
    assert "".join(data["text"] for kind, data in events if kind == "token") == "abc"
    assert gapless(events)


async def test_readers_are_woken_by_each_commit_of_a_run(database: Database) -> None:
    read = asyncio.Event()

    async def writes(run: StepRun) -> StepOutcome:
        await run.token("text")
        await read.wait()
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": writes}))
    job = await core.submit()
    with core.wakeups.subscribe(job.id) as news:
        running = asyncio.create_task(core.run(job))
        while "token" not in [kind for kind, _ in await core.events(job.id)]:
            assert await news.wait(10), "a commit woke nobody"
        read.set()
        await running


async def test_a_failed_job_reopened_from_a_step_runs_that_step_again(database: Database) -> None:
    failing = True

    async def fails(run: StepRun) -> StepOutcome:
        if failing:
            raise PermanentError("no", "no")
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": nothing, "two": nothing, "three": fails}))
    job = await core.run(await core.submit())
    failing = False

    with pytest.raises(Refused, match="unknown_step"):
        await core.jobs.reopen(job.id, "four")
    reopened = await core.jobs.reopen(job.id, "two")
    assert (reopened.status, reopened.attempt) == ("pending", 1)
    ended = await core.run(job)

    assert ended.status == "completed"
    assert [step.runs for step in core.kind.toy_steps.values()] == [1, 2, 2]
    assert gapless(await core.events(job.id))
    with pytest.raises(Refused, match="job_not_failed"):
        await core.jobs.reopen(job.id)


async def test_a_job_over_its_budget_fails_for_good(database: Database) -> None:
    async def pays(run: StepRun) -> StepOutcome:
        run.spend(Usage(input_tokens=60, output_tokens=50, model="m"))
        return StepOutcome(output={})

    core = Core(database, ToyKind({"one": pays, "two": nothing}))

    job = await core.run(await core.submit(budget_tokens=100))

    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "budget_exceeded")


async def _is(core: Core, job_id: str, status: str) -> bool:
    records = await core.jobs.steps(job_id)
    return (await core.jobs.get(job_id)).status == status and bool(records)


def _expire_lease(database: Database) -> None:
    database.write_now(lambda connection: connection.execute(update(jobs).values(lease_until=db_now(-1))))


async def test_a_job_of_a_kind_that_this_version_does_not_know_is_left_alone(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    newer = Core(database, ToyKind({"one": nothing}, kind="newer"))
    unknown = await newer.submit()
    known = await core.submit()

    claimed = await core.executor.claim_waiting("background_tasks", 10)
    await core.executor.execute(unknown.id, "background_tasks")

    assert [claim.id for claim in claimed] == [known.id]
    assert (await core.jobs.get(unknown.id)).status == "pending"
    assert (await newer.run(unknown)).status == "completed"
