"""A switchover is one operation: it moves everything, proves it, and leaves a report, whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select

from generation_service.database import Database, db_now
from generation_service.database.operations import audit, switches
from generation_service.errors import DatabaseUnavailable, Refused
from generation_service.switching import switches as rows
from generation_service.switching.parts import Gate
from tests.support.switchovers import ROLLBACK, ROLLFORWARD, Switching, found, names, switching
from tests.support.toy import until

FAILED = Gate(name="redis", passed=False)


@pytest.fixture
async def service(database: Database, redis_url: str) -> AsyncIterator[Switching]:
    async with switching(database, redis_url) as built:
        await built.jobs.say("rq")
        yield built


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not well at the first look is not waited for."""
    monkeypatch.setattr("generation_service.switching.steps.SETTLE_SECONDS", 0.0)


async def history(service: Switching) -> list[tuple[str, str, str]]:
    """What the audit says: actor, action, outcome."""
    columns = (audit.c.actor, audit.c.action, audit.c.outcome)
    query = select(*columns).order_by(audit.c.sequence)
    return await service.database.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def count_switches(service: Switching) -> int:
    return len((await service.switchover.list(limit=500)).items)


async def test_a_rollback_moves_what_waits_is_due_later_and_runs_and_says_so(service: Switching) -> None:
    moving = [
        *await service.jobs.waiting(3, user_id="ben"),
        *await service.jobs.scheduled(2),
        *await service.jobs.running(1),
    ]

    switch = await service.switchover.rollback(ROLLBACK)

    assert await service.jobs.backends(moving) == ["background_tasks"] * 6
    assert (switch.status, names(switch)) == ("completed", ["flag", "migrate", "sync", "verify", "report"])
    outcome = switch.report["outcome"]
    assert (outcome["jobs_moved"], outcome["affected_users"], outcome["failed_jobs"]) == (6, 2, 0)
    assert switch.report["before"]["jobs"]["rq"] == {"waiting": 3, "scheduled": 2, "running": 1}
    assert outcome["findings"] == []
    mode = await service.jobs.mode()
    assert (mode.target, mode.enabled, mode.carry, mode.epoch) == ("background_tasks", False, "running", switch.epoch)


async def test_each_step_says_when_it_began_and_how_long_it_took(service: Switching) -> None:
    heard = []

    switch = await service.switchover.rollback(ROLLBACK, heard.append)

    assert heard == list(switch.steps)
    assert all(step["seconds"] >= 0 for step in heard)
    assert [step["started_at"] for step in heard] == sorted(step["started_at"] for step in heard)


async def test_what_runs_and_the_workers_can_be_kept(service: Switching) -> None:
    running = await service.jobs.running(2)

    switch = await service.switchover.rollback(replace(ROLLBACK, include_running=False, keep_workers=True))

    assert await service.jobs.backends(running) == ["rq", "rq"]
    assert (switch.status, found(switch)) == ("completed", [])
    assert (await service.jobs.mode()).enabled


async def test_redis_being_dead_holds_nothing_up(database: Database) -> None:
    async with switching(database, "redis://127.0.0.1:1/0") as service:
        await service.jobs.say("rq")
        moving = [await service.jobs.core.submit(backend="rq") for _ in range(3)]

        switch = await service.switchover.rollback(ROLLBACK)

        assert await service.jobs.backends(moving) == ["background_tasks"] * 3
        assert (switch.status, found(switch)) == ("completed", ["redis_unreachable"])


async def test_a_second_rollback_moves_nothing_and_says_no_new_mode(service: Switching) -> None:
    await service.jobs.waiting(3)

    first = await service.switchover.rollback(ROLLBACK)
    again = await service.switchover.rollback(ROLLBACK)

    assert (again.status, again.epoch, again.report["outcome"]["jobs_moved"]) == ("completed", first.epoch, 0)


async def test_while_a_switch_is_under_way_another_is_refused_with_its_progress(service: Switching) -> None:
    async def ask_again() -> None:
        with pytest.raises(Refused) as refused:
            await service.another().rollback(ROLLBACK)
        seen.append(refused.value)

    seen: list[Refused] = []
    service.sync.before = ask_again
    switch = await service.switchover.rollback(ROLLBACK)

    (refused,) = seen
    assert (refused.code, refused.status) == ("switch_under_way", 409)
    assert refused.params["id"] == switch.id
    assert refused.params["steps_done"] == "flag, migrate"


async def test_of_many_that_begin_at_once_one_does(service: Switching) -> None:
    async def ask() -> str:
        try:
            return (await service.another().rollback(ROLLBACK)).status
        except Refused as refused:
            return refused.code

    answers = await asyncio.gather(*(ask() for _ in range(5)))

    assert sorted(answers) == ["completed", *["switch_under_way"] * 4]
    assert await count_switches(service) == 1


async def test_without_a_reason_nothing_is_begun(service: Switching) -> None:
    for begin in (
        partial(service.switchover.rollback, replace(ROLLBACK, reason=" \n")),
        partial(service.switchover.rollforward, replace(ROLLFORWARD, reason="")),
        partial(service.switchover.preview, replace(ROLLBACK, reason="")),
    ):
        with pytest.raises(Refused, match="reason_required"):
            await begin()

    assert await count_switches(service) == 0


async def test_a_reason_of_any_bytes_is_kept(service: Switching) -> None:
    switch = await service.switchover.rollback(replace(ROLLBACK, reason="밤 \udcff\0 3시"))

    assert switch.reason == "밤 ?\ufffd 3시"


async def test_who_compares_the_mode_begins_nothing_once_it_has_changed(service: Switching) -> None:
    epoch = (await service.jobs.mode()).epoch
    await service.jobs.say("rq", percent=50)

    with pytest.raises(Refused, match="mode_has_changed"):
        await service.switchover.rollback(replace(ROLLBACK, after=epoch))

    assert await count_switches(service) == 0
    assert (await service.jobs.mode()).target == "rq"


@pytest.mark.parametrize("part", ["migration", "sync", "ledger"])
async def test_a_rollback_whose_process_died_is_finished_by_another(service: Switching, part: str) -> None:
    moving = [*await service.jobs.waiting(3), *await service.jobs.running(1)]
    await service.abandoned(getattr(service, part), ROLLBACK)

    resumed = await service.another().resume()

    assert resumed is not None
    assert (resumed.status, names(resumed)) == ("completed", ["flag", "migrate", "sync", "verify", "report"])
    assert resumed.report["outcome"]["jobs_moved"] == 4
    assert await service.jobs.backends(moving) == ["background_tasks"] * 4
    assert await service.another().resume() is None


async def test_nobody_takes_a_switch_from_a_holder_that_lives(service: Switching) -> None:
    async def look() -> None:
        assert await service.another().resume() is None
        looked.append(True)

    looked: list[bool] = []
    service.ledger.before = look
    switch = await service.switchover.rollback(ROLLBACK)

    assert (looked, switch.status) == ([True], "completed")


async def test_a_holder_that_was_silent_too_long_writes_nothing_more(service: Switching) -> None:
    async def freeze() -> None:
        await service.lapse()
        done.append(await service.another().resume())

    done: list[rows.Switch | None] = []
    service.sync.before = freeze
    with pytest.raises(Refused, match="switch_taken_over"):
        await service.switchover.rollback(ROLLBACK)

    (finished,) = done
    assert finished is not None
    assert await service.switchover.get(finished.id) == finished
    assert names(finished) == ["flag", "migrate", "sync", "verify", "report"]


async def test_the_lease_is_kept_while_a_step_takes_long(service: Switching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation_service.switching.switchover.LEASE_SECONDS", 0.03)

    async def outlast_the_lease() -> None:
        await service.lapse()
        held = select(switches.c.id).where(switches.c.lease_until > db_now())
        await until(lambda: service.database.read(lambda connection: connection.execute(held).first() is not None))

    service.ledger.before = outlast_the_lease

    assert (await service.switchover.rollback(ROLLBACK)).status == "completed"


async def test_a_step_that_fails_keeps_the_others_from_nothing(service: Switching) -> None:
    async def break_down() -> None:
        raise RuntimeError("a mistake of ours")

    moving = await service.jobs.waiting(2)
    service.sync.before = break_down

    switch = await service.switchover.rollback(ROLLBACK)

    assert (switch.status, found(switch)) == ("failed", ["step_failed"])
    assert switch.step("sync")["result"] == {"error": "RuntimeError"}
    assert await service.jobs.backends(moving) == ["background_tasks"] * 2


async def test_a_report_that_cannot_be_written_is_no_switch_under_way_for_ever(
    service: Switching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.outcome.conclude", lambda *_, **__: 1 / 0)

    switch = await service.switchover.rollback(ROLLBACK)

    assert (switch.status, switch.step("report")["result"]) == ("failed", {"error": "ZeroDivisionError"})
    assert await service.switchover.under_way() is None


async def test_a_database_that_goes_away_leaves_a_switch_that_goes_on_at_once(service: Switching) -> None:
    async def vanish() -> None:
        raise DatabaseUnavailable("gone")

    moving = await service.jobs.waiting(2)
    service.migration.before = vanish
    with pytest.raises(DatabaseUnavailable):
        await service.switchover.rollback(ROLLBACK)

    resumed = await service.another().resume()  # nobody waits for the lease: it was given back

    assert resumed is not None
    assert resumed.status == "completed"
    assert await service.jobs.backends(moving) == ["background_tasks"] * 2


async def test_whoever_is_interrupted_lets_go(service: Switching) -> None:
    async def end_the_process() -> None:
        service.switchover.interrupt()
        await asyncio.Event().wait()

    service.sync.before = end_the_process
    interrupted = await service.switchover.rollback(ROLLBACK)
    resumed = await service.another().resume()

    assert (interrupted.status, names(interrupted)) == ("running", ["flag", "migrate"])
    assert resumed is not None
    assert resumed.status == "completed"


async def test_following_goes_on_with_a_switch_whose_holder_died(service: Switching) -> None:
    heard: list[str] = []
    await service.abandoned(service.sync, ROLLBACK)
    under_way = await service.switchover.under_way()
    assert under_way is not None

    switch = await service.another().follow(under_way.id, lambda step: heard.append(step["name"]))

    assert switch.status == "completed"
    assert set(heard) == {"flag", "migrate", "sync", "verify", "report"}


async def test_a_later_word_is_not_undone_and_is_told(service: Switching) -> None:
    async def speak() -> None:
        await service.jobs.say("rq", percent=10)

    service.sync.before = speak

    switch = await service.switchover.rollback(ROLLBACK)

    assert (switch.status, found(switch)) == ("failed", ["mode_overridden"])
    assert (await service.jobs.mode()).rollout.percent == 10


async def test_jobs_that_nobody_can_run_are_named(service: Switching, impatient: None) -> None:
    await service.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM processes"))
    without_jobs = await service.switchover.rollback(ROLLBACK)
    await service.jobs.say("rq")
    await service.jobs.waiting(1)
    with_jobs = await service.switchover.rollback(ROLLBACK)

    assert (without_jobs.status, found(without_jobs)) == ("completed", ["no_api_process"])
    assert (with_jobs.status, found(with_jobs)) == ("failed", ["no_api_process"])


async def test_a_ledger_that_is_not_clean_is_told(service: Switching, impatient: None) -> None:
    await service.database.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO counters (name, shard, value) VALUES ('accepted', 99, 1)"
        )
    )

    switch = await service.switchover.rollback(ROLLBACK)

    assert (switch.status, found(switch)) == ("failed", ["ledger_not_clean"])
    assert switch.report["outcome"]["findings"][0]["params"]["lost"] == 1


async def test_both_ends_of_a_switch_are_in_the_audit(service: Switching) -> None:
    await service.switchover.rollback(ROLLBACK)

    assert await history(service) == [("ana", "rollback", "begun"), ("ana", "rollback", "done")]


async def test_a_preview_says_what_the_rollback_then_does_and_changes_nothing(service: Switching) -> None:
    await service.jobs.waiting(3)
    await service.jobs.scheduled(1)
    before = await service.jobs.mode()

    seen = await service.switchover.preview(ROLLBACK)

    assert await service.jobs.mode() == before
    assert (await count_switches(service), await history(service)) == (0, [])
    switch = await service.switchover.rollback(ROLLBACK)
    moved = switch.step("migrate")["result"]
    assert [seen["migration"][name] for name in ("migrated", "waiting", "scheduled")] == [4, 3, 1]
    assert [moved[name] for name in ("migrated", "waiting", "scheduled")] == [4, 3, 1]


async def test_a_preview_works_while_the_mode_takes_jobs_along_to_rq(service: Switching) -> None:
    await service.jobs.say("rq", "waiting")
    await service.jobs.waiting(2)

    seen = await service.switchover.preview(ROLLBACK)

    assert (seen["migration"]["migrated"], seen["migration"]["waiting"]) == (2, 2)


async def test_switches_are_listed_the_newest_first(service: Switching) -> None:
    ids = [(await service.switchover.rollback(ROLLBACK)).id for _ in range(3)]

    first = await service.switchover.list(limit=2)
    rest = await service.switchover.list(limit=2, cursor=first.next_cursor)

    assert [one.id for one in [*first.items, *rest.items]] == ids[::-1]
    assert rest.next_cursor is None
    with pytest.raises(Refused, match="invalid_cursor"):
        await service.switchover.list(limit=2, cursor="nonsense")
    with pytest.raises(Refused, match="switch_not_found"):
        await service.switchover.get("nonsense")


async def test_of_what_nobody_asked_for_the_world_is_told_once(service: Switching) -> None:
    await service.abandoned(service.sync, replace(ROLLBACK, source="trigger", said_by="trigger:redis"))

    another = service.another()
    await another.resume()
    await another.close()

    assert [(one.source, one.status) for one in service.notices] == [("trigger", "completed")]


async def test_a_process_that_ends_begins_nothing_that_it_cannot_finish(service: Switching) -> None:
    await service.abandoned(service.sync, ROLLBACK)
    ending = service.another()
    ending.interrupt()

    await ending.resume()
    resumed = await service.another().resume()

    assert resumed is not None
    assert resumed.status == "completed"
