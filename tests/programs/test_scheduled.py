"""Scheduled retries: hourly or daily, after their delays, so often and no more, one run at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from generation_service.database import db_now
from generation_service.database.programs import program_files
from generation_service.database.tables import alerts, firings, leases, schedules
from generation_service.jobs import schedules as jobs_schedules
from generation_service.jobs.model import Job, NewJob
from generation_service.programs import Accepted, ProgramFile, RetryRules
from tests.programs.conftest import SCRIPT, Shelf

SEOUL = ZoneInfo("Asia/Seoul")


async def refused(shelf: Shelf, count: int = 1) -> Accepted:
    """A program whose files failed in storing, and were tried at once without success."""
    wanted = [(f"{number}.txt", f"본문 {number}".encode()) for number in range(count)]
    accepted = await shelf.upload(*wanted, ("good.txt", SCRIPT))
    for job in accepted.jobs[:count]:
        shelf.objects.refused.add(f"preprocessed-{job.id}")
    await shelf.run(accepted.jobs)
    await shelf.keep_up()
    shelf.age(11)
    await shelf.run(await shelf.keep_up())
    await shelf.keep_up()
    return accepted


async def first_file(shelf: Shelf, accepted: Accepted) -> ProgramFile:
    return (await shelf.files(accepted.program.id))[0]


async def scheduled(shelf: Shelf, run: str = "hourly") -> int:
    """Run the schedule, then what it has taken; how many files that were."""
    assert (await shelf.run_scheduled(run)).status == "completed"
    delivered = await shelf.keep_up()
    await shelf.run(delivered)
    await shelf.keep_up()
    return len(delivered)


async def test_a_file_is_tried_after_its_delays_and_then_quarantined(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    tried = []
    for delay in (60, 300, 900):
        shelf.age(delay - 5)
        tried.append(await scheduled(shelf))
        shelf.age(delay + 5)
        tried.append(await scheduled(shelf))
    file = await first_file(shelf, accepted)

    assert tried == [0, 1, 0, 1, 0, 1]
    assert (file.auto_retry_count, file.retry_count, file.quarantined, file.runs) == (3, 4, True, 5)
    told = [alert for alert in shelf.alerts() if alert[0] == "file_quarantined"]
    assert told == [("file_quarantined", file.document_id)]
    assert shelf.rows(alerts, alerts.c.type == "file_quarantined")[0].detail["retries"] == 4
    shelf.age(100_000)
    assert await scheduled(shelf) == 0
    assert (await shelf.state(accepted.program.id)).next_retry_at is None


async def test_a_retry_by_hand_lifts_the_quarantine(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    shelf.change(program_files, {"quarantined_at": db_now(), "auto_retry_count": 3}, program_files.c.position == 0)
    shelf.allow()
    _, reopened = await shelf.retry(accepted.program.id)
    assert not (await first_file(shelf, accepted)).quarantined
    await shelf.run(reopened)

    assert (await first_file(shelf, accepted)).status == "completed"


async def test_one_that_fails_again_after_that_is_quarantined_and_told_again(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    shelf.change(program_files, {"auto_retry_count": 3}, program_files.c.position == 0)
    for _ in range(2):
        _, reopened = await shelf.retry(accepted.program.id)
        await shelf.run(reopened)

    assert (await first_file(shelf, accepted)).quarantined
    assert [alert for alert, _ in shelf.alerts()].count("file_quarantined") == 2


@pytest.mark.parametrize("given", [{"program_retry_max": 0}])
async def test_without_scheduled_retries_one_at_once_is_all_before_the_quarantine(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    file = await first_file(shelf, accepted)

    assert (file.retry_count, file.quarantined) == (1, True)
    shelf.age(100_000)
    assert await scheduled(shelf) == 0


async def test_one_that_has_used_its_tries_is_left_alone_where_it_is_not_quarantined_yet(shelf: Shelf) -> None:
    # Given a program whose last file takes so long that the schedule tries another one before it is tried at once
    accepted = await refused(shelf)
    used_up = {"auto_retry_count": 3, "at_once_retried": False}
    shelf.change(program_files, used_up, program_files.c.position == 0)
    shelf.age(100_000)

    assert (await shelf.run_scheduled()).result == {"programs": 0}
    assert (await shelf.state(accepted.program.id)).next_retry_at is None


async def test_the_last_delay_counts_for_what_comes_after_it(shelf: Shelf) -> None:
    rules = RetryRules.of(shelf.settings)

    assert [rules.delay_seconds(tried) for tried in range(6)] == [60, 300, 900, 3600, 3600, 3600]


@pytest.mark.parametrize("given", [{"program_retry_delays_seconds": "60", "program_retry_max": 5}])
async def test_one_delay_is_enough(shelf: Shelf) -> None:
    await refused(shelf)
    tried = []
    for _ in range(3):
        shelf.age(70)
        tried.append(await scheduled(shelf))

    assert tried == [1, 1, 1]


async def test_the_run_says_who_has_tried(shelf: Shelf) -> None:
    accepted = await refused(shelf, 2)
    shelf.age(100)
    shelf.allow()
    await scheduled(shelf, "daily")
    made = (await shelf.programs.retries(accepted.program.id, "ana"))[-1]

    assert (made.source, made.retry_type, made.results["document"]["success"]) == ("daily", "document", 2)


async def test_a_deleted_program_is_left_alone(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    await shelf.programs.delete(accepted.program.id, "ana")
    shelf.age(100)

    assert await scheduled(shelf) == 0


async def test_every_program_has_its_turn_in_one_run(shelf: Shelf) -> None:
    for _ in range(3):
        await refused(shelf)
    shelf.age(100)
    job = await shelf.run_scheduled()

    assert job.result == {"programs": 3}
    assert len(await shelf.keep_up()) == 3


async def test_one_run_at_a_time(shelf: Shelf) -> None:
    await refused(shelf)
    shelf.age(100)
    shelf.add(leases, name="program_retries", holder="another", until=db_now(60), taken_at=db_now())
    job = await shelf.run_scheduled()
    assert job.result == {"skipped": "another_run"}
    assert await shelf.keep_up() == []

    shelf.change(leases, {"until": db_now(-1)}, leases.c.name == "program_retries")
    first, second = await shelf.run_scheduled(), await shelf.run_scheduled()

    assert (first.result, second.result) == ({"programs": 1}, {"programs": 0})


async def fired(shelf: Shelf, run: str, due_at: datetime) -> Job:
    """Run what a schedule has fired for that time."""
    wanted = NewJob(kind="program_retries", user_id="scheduler", request={"run": run})
    job = (await shelf.core.jobs.submit(wanted)).job
    shelf.add(firings, schedule_id=run, due_at=due_at, job_id=job.id, fired_by="here", fired_at=db_now())
    return await shelf.core.run(job)


async def test_the_daily_run_takes_the_place_of_that_hours(shelf: Shelf) -> None:
    await refused(shelf)
    shelf.age(100)
    at_two = datetime(2026, 3, 4, 2, 0, tzinfo=SEOUL)

    hourly = await fired(shelf, "hourly", at_two)
    assert hourly.result == {"skipped": "daily_run_instead"}
    assert await shelf.keep_up() == []
    daily = await fired(shelf, "daily", at_two)
    assert daily.result == {"programs": 1}


async def test_any_other_hour_is_the_hourly_runs(shelf: Shelf) -> None:
    await refused(shelf)
    shelf.age(100)
    job = await fired(shelf, "hourly", datetime(2026, 3, 4, 2, 0, tzinfo=UTC))  # eleven in the morning in Seoul

    assert job.result == {"programs": 1}


async def test_both_schedules_fire_by_themselves(shelf: Shelf) -> None:
    rules = RetryRules.of(shelf.settings)
    shelf.database.write_now(lambda connection: jobs_schedules.declare(connection, rules.schedules))
    rows = {row.id: row for row in shelf.rows(schedules)}
    daily = rows["program_retries_daily"].next_due_at.astimezone(SEOUL)
    assert (daily.hour, daily.minute, rows["program_retries"].next_due_at.minute) == (2, 0, 0)

    shelf.change(schedules, {"next_due_at": db_now(-1)})
    fire = shelf.database.write_now(
        lambda connection: jobs_schedules.fire_due(connection, "here", shelf.core.jobs.admission)
    )

    assert sorted(job.request["run"] for job in fire) == ["daily", "hourly"]
    assert {job.status for job in await shelf.run(fire)} == {"completed"}


async def test_a_run_that_was_cut_off_goes_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        await refused(shelf)
    shelf.age(100)
    step = shelf.core.kinds["program_retries"]._step
    following, looks = step._next, 0

    def dying(*given: Any, **more: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise LookupError
        return following(*given, **more)

    wanted = NewJob(kind="program_retries", user_id="scheduler", request={"run": "hourly"})
    job = (await shelf.core.jobs.submit(wanted)).job
    with monkeypatch.context() as patched:
        patched.setattr(step, "_next", dying)
        waiting = await shelf.core.run(job)
    assert waiting.status == "pending"
    ended = await shelf.core.run(waiting)

    assert ended.result == {"programs": 1}
    assert len(await shelf.keep_up()) == 2


async def test_the_outlook_names_the_run_that_will_try_again(shelf: Shelf) -> None:
    accepted = await refused(shelf)
    file, now = await first_file(shelf, accepted), await shelf.programs.now()
    shown = (await shelf.state(accepted.program.id)).next_retry_at

    assert shown is not None
    assert file.ended_at is not None
    assert shown.minute == 0
    assert timedelta(seconds=55) <= shown - now <= timedelta(hours=1, minutes=2)
