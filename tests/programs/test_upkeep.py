"""Looking after programs: at once, once, in time, by any number of processes, and what is told of it."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import Job
from generation_service.programs import Accepted, ProgramFile, Retry, Thresholds
from generation_service.programs import upkeep as upkeep_module
from generation_service.programs.troubles import tell
from tests.documents import files
from tests.programs.conftest import SCRIPT, Delivered, Shelf, upkeep_of
from tests.support.toy import until


async def failed_in_storing(shelf: Shelf, count: int = 2) -> Accepted:
    """A program with `count` files that the store refuses, and one that is read."""
    wanted = [(f"{number}.txt", f"본문 {number}".encode()) for number in range(count)]
    accepted = await shelf.upload(*wanted, ("good.txt", SCRIPT))
    for file in (await shelf.files(accepted.program.id))[:count]:
        shelf.objects.refused.add(f"preprocessed-{file.job_id}")
    await shelf.run(accepted.jobs)
    return accepted


async def history(shelf: Shelf, accepted: Accepted) -> list[Retry]:
    return list(await shelf.programs.retries(accepted.program.id, "ana"))


async def failures(shelf: Shelf, accepted: Accepted) -> list[ProgramFile]:
    return list(await shelf.programs.failures(accepted.program.id, "ana"))


async def test_what_failed_for_a_passing_reason_is_tried_again_once_after_five_to_ten_seconds(shelf: Shelf) -> None:
    # Given files that the store refuses, when the others have ended
    accepted = await failed_in_storing(shelf)
    before = await shelf.programs.now()
    assert await shelf.keep_up(3) == []

    # Then they are planned, and stay failed until then
    state = await shelf.state(accepted.program.id)
    due_at = state.program.at_once_due_at
    assert due_at is not None
    assert 5 <= (due_at - before).total_seconds() <= 11
    assert (state.status, state.counts["failed"], state.next_retry_at) == ("completed", 2, due_at)

    # When the time has come, they are tried again from where they failed
    shelf.age(11)
    shelf.allow()
    delivered = await shelf.keep_up(2)
    assert len(delivered) == 2
    await shelf.run(delivered)
    await shelf.keep_up(2)

    # Then the program has settled
    (made,) = await history(shelf, accepted)
    assert (made.source, made.retry_type, made.results["document"]) == (
        "at_once",
        "document",
        {"retried": 2, "success": 2, "failed": 0},
    )
    assert made.completed_at is not None
    state = await shelf.state(accepted.program.id)
    assert (state.counts["completed"], state.next_retry_at) == (3, None)
    assert state.program.settled_at is not None


@pytest.mark.parametrize("given", [{"program_retry_at_once_seconds": 0.3}])
async def test_the_wait_is_never_shorter_than_it_is_set(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf, 1)

    async def delivered() -> bool:
        return bool(await shelf.keep_up())

    await until(delivered)
    (file, *_) = await shelf.files(accepted.program.id)
    (made,) = await history(shelf, accepted)
    assert file.ended_at is not None
    assert made.created_at - file.ended_at >= timedelta(seconds=0.3)
    assert len(shelf.delivered.jobs) == 1


async def test_it_is_tried_at_once_only_once(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf)
    await shelf.keep_up()
    shelf.age(11)
    await shelf.run(await shelf.keep_up())  # refused again
    shelf.age(11)

    assert await shelf.keep_up(3) == []
    assert (await shelf.state(accepted.program.id)).program.settled_at is not None
    assert len(await history(shelf, accepted)) == 1
    assert [(file.at_once_retried, file.quarantined) for file in await failures(shelf, accepted)] == [(True, False)] * 2


async def test_it_waits_until_the_last_of_the_others_has_ended(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", b"a"), ("b.txt", b"b"))
    shelf.objects.refused.add(f"preprocessed-{accepted.jobs[0].id}")
    await shelf.core.run(accepted.jobs[0])
    shelf.age(60)
    await shelf.keep_up(2)
    assert (await shelf.state(accepted.program.id)).program.at_once_due_at is None

    await shelf.core.run(accepted.jobs[1])
    await shelf.keep_up()

    assert (await shelf.state(accepted.program.id)).program.at_once_due_at is not None


async def test_what_cannot_be_mended_is_never_tried_again_by_itself(shelf: Shelf) -> None:
    accepted = await shelf.read(("잠김.pdf", files.encrypted_pdf()), ("빈.txt", b""))
    await shelf.keep_up(2)
    shelf.age(100_000)
    await shelf.run_scheduled()

    assert await shelf.keep_up(2) == []
    state = await shelf.state(accepted.program.id)
    assert state.program.settled_at is not None
    assert (state.next_retry_at, await history(shelf, accepted)) == (None, [])


async def test_a_program_without_anything_to_run_settles(shelf: Shelf) -> None:
    accepted = await shelf.upload(("빈.txt", b""))
    await shelf.keep_up()

    assert (await shelf.state(accepted.program.id)).program.settled_at is not None


async def test_a_retry_by_hand_makes_the_plan_anew(shelf: Shelf) -> None:
    # Given a plan that is due soon, when the files are tried by hand before and fail again
    accepted = await failed_in_storing(shelf, 1)
    await shelf.keep_up()
    shelf.age(4)
    _, reopened = await shelf.retry(accepted.program.id)
    await shelf.run(reopened)
    before = await shelf.programs.now()
    assert await shelf.keep_up(2) == []

    # Then they have their five seconds from then on
    due_at = (await shelf.state(accepted.program.id)).program.at_once_due_at
    assert due_at is not None
    assert (due_at - before).total_seconds() >= 5


async def test_any_number_of_processes_may_look_after_a_program(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf, 3)
    delivered = [Delivered() for _ in range(4)]
    crowd = [upkeep_of(shelf.core, one, shelf.settings) for one in delivered]
    await asyncio.gather(*(one.turn() for one in crowd))
    shelf.age(11)
    await asyncio.gather(*(one.turn() for one in crowd))
    await asyncio.gather(*(one.turn() for one in crowd))

    reopened = [job.id for one in delivered for job in one.jobs]
    assert len(reopened) == len(set(reopened)) == 3
    assert [file.retry_count for file in await failures(shelf, accepted)] == []
    assert len(shelf.rows(program_retries)) == 1


async def test_who_dies_after_a_move_has_lost_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that dies at every place in turn at which it has just made a move
    accepted = await failed_in_storing(shelf, 2)
    shelf.allow()
    write, moves = shelf.database.write, 0

    async def dying(unit: Any) -> Any:
        nonlocal moves
        await write(unit)
        moves += 1
        raise DatabaseUnavailable("killed")

    for _ in range(6):
        with monkeypatch.context() as patched:
            patched.setattr(shelf.database, "write", dying)
            with contextlib.suppress(DatabaseUnavailable):
                await shelf.upkeep.turn()
        shelf.age(11)
    assert moves >= 3

    # Then what it has reopened without delivering is what recovery delivers, and all is well in the end
    waiting = [await shelf.core.jobs.get(job.id) for job in accepted.jobs]
    await shelf.run([job for job in waiting if job.status == "pending"])
    await shelf.keep_up(3)
    state = await shelf.state(accepted.program.id)
    assert (state.counts["completed"], len(await history(shelf, accepted))) == (3, 1)
    assert state.program.settled_at is not None


async def test_while_files_are_read_it_only_reads(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT), ("b.txt", b"b"))
    await shelf.core.run(accepted.jobs[0])

    async def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(shelf.database, "write", never)
    await shelf.keep_up(2)


async def test_a_program_that_cannot_be_looked_after_keeps_nobody_else_waiting(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await shelf.upload((f"{number}.txt", b"")) for number in range(2)]
    advance = shelf.upkeep._advance

    def odd(connection: Any, program_id: str) -> bool:
        if program_id == first.program.id:
            raise LookupError
        return advance(connection, program_id)

    monkeypatch.setattr(shelf.upkeep, "_advance", odd)
    await shelf.keep_up()

    assert (await shelf.state(first.program.id)).program.settled_at is None
    assert (await shelf.state(second.program.id)).program.settled_at is not None


async def test_where_nothing_is_open_it_only_reads(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.read(("a.txt", SCRIPT))
    await shelf.keep_up()

    async def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(shelf.database, "write", never)
    await shelf.keep_up(2)


async def test_programs_beyond_one_batch_are_looked_at_too(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "_BATCH", 2)
    for number in range(5):
        await shelf.upload((f"{number}.txt", b""))
    await shelf.keep_up()

    assert all(row.settled_at for row in shelf.rows(programs))


@pytest.mark.parametrize("given", [{"alert_program_retries": 2, "alert_retry_failure_percent": 0.0}])
async def test_a_program_that_keeps_failing_is_told_of_once(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf, 1)
    shelf.change(program_files, {"at_once_retried": True})
    seen = []
    for _ in range(4):
        await retried(shelf, accepted)
        seen.append(shelf.alerts().count(("program_keeps_failing", accepted.program.id)))
    shelf.allow()
    await retried(shelf, accepted)

    assert seen == [0, 1, 1, 1]


@pytest.mark.parametrize("given", [{"alert_program_retries": 2, "alert_retry_failure_percent": 0.0}])
async def test_however_long_a_program_keeps_failing_it_is_told_of_once(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf, 1)
    program_id = accepted.program.id

    def one_more(connection: Any, number: int) -> None:
        retry = {"id": f"{number:036}", "program_id": program_id, "retry_type": "all", "source": "user"}
        connection.execute(insert(program_retries).values(**retry, created_at=db_now(), completed_at=db_now()))
        file = {"retry_id": retry["id"], "position": 0, "stage": "document", "outcome": "failed"}
        connection.execute(insert(program_retry_files).values(**file))
        tell(connection, program_id, Thresholds.of(shelf.settings))

    shelf.database.write_now(lambda connection: [one_more(connection, number) for number in range(60)])

    assert shelf.alerts() == [("program_keeps_failing", program_id)]


@pytest.mark.parametrize(
    "given", [{"alert_retry_failure_count": 4, "alert_retry_failure_percent": 50.0, "alert_program_retries": 3}]
)
async def test_retries_of_what_was_never_stored_are_no_trouble(shelf: Shelf) -> None:
    # Given ten retries of a file that was turned away at the door
    empty = await shelf.upload(("빈.txt", b""))
    for _ in range(10):
        await shelf.retry(empty.program.id)
        await shelf.keep_up()

    # When another file's retry fails, with which they would be looked at
    accepted = await shelf.upload(("빈.txt", b""), ("a.txt", SCRIPT))
    shelf.objects.refused.add(f"preprocessed-{accepted.jobs[0].id}")
    await shelf.run(accepted.jobs)
    shelf.change(program_files, {"at_once_retried": True})
    await retried(shelf, accepted)

    assert len(shelf.rows(program_retries)) == 11
    assert shelf.alerts() == []


@pytest.mark.parametrize("given", [{"alert_program_retries": 2, "alert_retry_failure_percent": 0.0}])
async def test_a_program_whose_retries_help_a_little_is_not_told_of(shelf: Shelf) -> None:
    accepted = await failed_in_storing(shelf, 3)
    shelf.change(program_files, {"at_once_retried": True})
    await retried(shelf, accepted)
    first, *_ = await failures(shelf, accepted)
    shelf.objects.refused.discard(f"preprocessed-{first.job_id}")
    await retried(shelf, accepted)
    await retried(shelf, accepted)

    assert shelf.alerts() == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"alert_retry_failure_count": 4, "alert_retry_failure_percent": 50.0, "alert_program_retries": 99}, 1),
        ({"alert_retry_failure_count": 5, "alert_retry_failure_percent": 50.0, "alert_program_retries": 99}, 0),
        ({"alert_retry_failure_count": 4, "alert_retry_failure_percent": 75.0, "alert_program_retries": 99}, 0),
        ({"alert_retry_failure_count": 4, "alert_retry_failure_percent": 0.0, "alert_program_retries": 99}, 0),
    ],
)
async def test_retries_that_fail_too_often_are_told_of(shelf: Shelf, told: int) -> None:
    accepted = await failed_in_storing(shelf, 4)
    shelf.change(program_files, {"at_once_retried": True})
    first, *_ = await failures(shelf, accepted)
    shelf.objects.refused.discard(f"preprocessed-{first.job_id}")
    await retried(shelf, accepted)  # three of four fail

    assert [alert for alert, _ in shelf.alerts()].count("retries_keep_failing") == told


async def retried(shelf: Shelf, accepted: Accepted) -> list[Job]:
    _, reopened = await shelf.retry(accepted.program.id)
    ended = await shelf.run(reopened)
    await shelf.keep_up()
    return ended
