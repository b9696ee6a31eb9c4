"""Retries by hand: each failed file once, from the stage it failed in, and the others are named."""

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import delete, event

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.database.tables import documents, jobs
from generation_service.documents.doomed import ObjectSweeper
from generation_service.errors import Refused
from generation_service.jobs.model import Job
from generation_service.jobs.pruning import prune_jobs
from generation_service.programs import Accepted, ProgramFile, deletion
from generation_service.programs.reopening import reopen_taken
from generation_service.programs.retrying import begin_by_hand
from tests.documents import files
from tests.programs.conftest import SCRIPT, Shelf
from tests.support.toy import until

NONE = {"retried": 0, "success": 0, "failed": 0}


async def with_failures(shelf: Shelf, count: int = 3) -> Accepted:
    """A program of `count` files whose storing has failed, one that cannot be read and one that is read."""
    wanted = [(f"{number}.txt", f"본문 {number}".encode()) for number in range(count)]
    accepted = await shelf.upload(*wanted, ("잠김.pdf", files.encrypted_pdf()), ("good.txt", SCRIPT))
    for job in accepted.jobs[:count]:
        shelf.objects.refused.add(f"preprocessed-{job.id}")
    await shelf.run(accepted.jobs)
    shelf.allow()
    return accepted


async def test_what_failed_is_tried_again_each_from_its_stage(shelf: Shelf) -> None:
    accepted = await with_failures(shelf)
    made, reopened = await shelf.retry(accepted.program.id)
    await shelf.keep_up()  # it is under way
    begun = await shelf.programs.get_retry(accepted.program.id, made.id, "ana")
    await shelf.run(reopened)
    await shelf.keep_up()

    assert (made.waiting, begun.completed_at) == (4, None)
    ended = await shelf.programs.get_retry(accepted.program.id, made.id, "ana")
    assert ended.results == {
        "preprocessing": {"retried": 1, "success": 0, "failed": 1},
        "document": {"retried": 3, "success": 3, "failed": 0},
    }
    assert (ended.waiting, ended.source, ended.retry_type, ended.skipped) == (0, "user", "all", [])
    assert ended.completed_at is not None
    assert await shelf.programs.retries(accepted.program.id, "ana") == [ended]
    counts = [(file.retry_count, file.runs, file.retry_id) for file in await shelf.files(accepted.program.id)]
    assert counts == [(1, 2, None)] * 4 + [(0, 1, None)]


@pytest.mark.parametrize(("retry_type", "reopened"), [("preprocessing", 1), ("document", 3)])
async def test_only_the_stage_that_is_asked_for_is_tried_again(shelf: Shelf, retry_type: Any, reopened: int) -> None:
    accepted = await with_failures(shelf)
    made, again = await shelf.retry(accepted.program.id, retry_type)

    assert len(again) == reopened
    assert made.results[retry_type]["retried"] == reopened
    assert sum(one["retried"] for one in made.results.values()) == reopened
    assert made.skipped == []


async def test_storing_again_never_reads_the_source(shelf: Shelf) -> None:
    accepted = await with_failures(shelf)
    for row in shelf.rows(documents):
        await shelf.objects.delete(row.object_key)

    _, reopened = await shelf.retry(accepted.program.id, "document")

    assert [job.status for job in await shelf.run(reopened)] == ["completed"] * 3


async def test_a_file_whose_artefact_is_gone_begins_anew(shelf: Shelf) -> None:
    # Given a file that failed in storing, and whose artefact is lost since
    accepted = await with_failures(shelf, 1)
    (file, *_) = await shelf.files(accepted.program.id)
    await shelf.objects.delete(str(file.artefact_key))

    # When it is tried again, it says so, as a trouble that can pass
    _, reopened = await shelf.retry(accepted.program.id, "document")
    await shelf.run(reopened)
    (file, *_) = await shelf.files(accepted.program.id)
    assert (file.status, file.stage, file.code) == ("failed", "preprocessing", "artefact_missing")
    assert (file.error_class, file.artefact_key) == ("transient", None)

    # Then the next retry reads its source
    made, reopened = await shelf.retry(accepted.program.id, "preprocessing")
    await shelf.run(reopened[:1])
    (file, *_) = await shelf.files(accepted.program.id)
    assert (file.status, file.stage) == ("completed", "document")
    assert file.artefact_key in shelf.stored()
    assert made.results["document"] == NONE


async def test_what_was_turned_away_at_the_door_fails_again_at_once(shelf: Shelf) -> None:
    accepted = await shelf.read(("빈.txt", b""), ("a.txt", SCRIPT))
    made, reopened = await shelf.retry(accepted.program.id)

    assert made.results == {"preprocessing": {"retried": 1, "success": 0, "failed": 1}, "document": NONE}
    assert (made.waiting, reopened) == (0, [])
    assert made.completed_at is not None
    assert (await shelf.files(accepted.program.id))[0].retry_count == 1


async def test_of_twenty_retries_at_once_each_file_is_tried_once(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 6)
    for failed in (7, 1):  # and again, with the one that cannot be read
        asked_at = await shelf.later()
        answers = await asyncio.gather(
            *(shelf.programs.retry(accepted.program.id, "ana", "all", asked_at=asked_at) for _ in range(20))
        )

        reopened = Counter(job.id for _, jobs in answers for job in jobs)
        assert len(reopened) == failed
        assert set(reopened.values()) == {1}
        for made, _ in answers:
            named = {one.position for one in made.skipped}
            assert sum(one["retried"] for one in made.results.values()) + len(named) == len(reopened)
            assert all(one.reason == "under_retry" for one in made.skipped)
        await shelf.run([job for _, jobs in answers for job in jobs])


async def test_a_retry_that_began_and_ended_while_another_waited_is_not_repeated(shelf: Shelf) -> None:
    # Given two who ask at the same time, one of whom has to wait until the other's retry is over
    accepted = await with_failures(shelf, 1)
    door = await shelf.read(("빈.txt", b""))
    asked_at = await shelf.later()
    await wait_beyond(shelf, asked_at)
    _, reopened = await shelf.programs.retry(accepted.program.id, "ana", "all", asked_at=asked_at)
    await shelf.run(reopened)
    await shelf.programs.retry(door.program.id, "ana", "all", asked_at=asked_at)

    # When the other one's turn comes
    late, again = await shelf.programs.retry(accepted.program.id, "ana", "all", asked_at=asked_at)
    late_at_the_door, _ = await shelf.programs.retry(door.program.id, "ana", "all", asked_at=asked_at)

    # Then what the first one has tried is named, whatever came of it
    assert again == []
    assert [(one.position, one.file_name, one.reason) for one in late.skipped] == [
        (0, "0.txt", "retried_meanwhile"),
        (1, "잠김.pdf", "retried_meanwhile"),
    ]
    assert [one.reason for one in late_at_the_door.skipped] == ["retried_meanwhile"]
    assert late_at_the_door.results["preprocessing"]["retried"] == 0


async def test_a_retry_that_is_cut_off_in_between_is_gone_on_with(shelf: Shelf) -> None:
    # Given a process that died after it had taken the files
    accepted = await with_failures(shelf)
    program_id, asked_at = accepted.program.id, await shelf.later()
    shelf.database.write_now(lambda connection: begin_by_hand(connection, program_id, "all", asked_at))
    assert (await shelf.state(program_id)).counts["failed"] == 4

    # When another one looks after programs
    delivered = await shelf.keep_up()

    # Then it has reopened, and delivered, each of them once
    assert len({job.id for job in delivered}) == len(delivered) == 4
    assert (await shelf.state(program_id)).counts["pending"] == 4
    assert await shelf.keep_up() == []


async def test_a_batch_that_breaks_off_reopens_nothing_of_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = await with_failures(shelf)
    reopen, calls = shelf.core.jobs.reopen_within, 0

    def breaking(*given: Any) -> Job | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise LookupError
        return reopen(*given)

    with monkeypatch.context() as patched:
        patched.setattr(shelf.core.jobs, "reopen_within", breaking)
        with pytest.raises(LookupError):
            await shelf.retry(accepted.program.id)
    assert {row.status for row in shelf.rows(jobs, jobs.c.kind == "program_file")} == {"failed", "completed"}

    assert len(await shelf.keep_up()) == 4


async def test_two_who_reopen_at_once_share_the_work(shelf: Shelf) -> None:
    accepted = await with_failures(shelf)
    program_id, asked_at = accepted.program.id, await shelf.later()
    shelf.database.write_now(lambda connection: begin_by_hand(connection, program_id, "all", asked_at))

    def unit(connection: Any) -> list[str]:
        return [job.id for job in reopen_taken(connection, program_id, shelf.core.jobs).jobs]

    both = await asyncio.gather(*(shelf.database.write(unit) for _ in range(4)))
    both.append(await shelf.database.write(unit))

    reopened = [job_id for one in both for job_id in one]
    assert len(reopened) == len(set(reopened)) == 4


async def test_one_that_was_reopened_and_failed_again_meanwhile_is_not_reopened_twice(shelf: Shelf) -> None:
    # Given a process that has seen what was taken, and is slow
    core = shelf.core
    if core.database.dialect == "sqlite":
        pytest.skip("a unit that writes sees nobody else's writes")
    accepted = await with_failures(shelf, 1)
    program_id, asked_at = accepted.program.id, await shelf.later()
    core.database.write_now(lambda connection: begin_by_hand(connection, program_id, "document", asked_at))
    shelf.objects.refused.add(f"preprocessed-{accepted.jobs[0].id}")
    seen, go_on = threading.Event(), threading.Event()

    def slowly(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "SKIP LOCKED" in statement and not seen.is_set():
            seen.set()
            assert go_on.wait(30)

    def slow_unit(connection: Any) -> Any:
        event.listen(connection, "before_cursor_execute", slowly)
        return reopen_taken(connection, program_id, core.jobs)

    slow = asyncio.create_task(core.database.write(slow_unit))
    await asyncio.to_thread(seen.wait, 30)

    # When another one reopens the file, which fails again
    fast = await core.database.write(lambda connection: reopen_taken(connection, program_id, core.jobs))
    assert [job.status for job in await shelf.run(fast.jobs)] == ["failed"]
    go_on.set()

    # Then it stays failed
    assert (await slow).jobs == []
    assert (await core.jobs.get(accepted.jobs[0].id)).status == "failed"


async def test_a_file_whose_job_is_gone_is_named_and_let_go(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 1)
    (file, *_) = await shelf.files(accepted.program.id)
    shelf.database.write_now(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == file.job_id)))

    made, reopened = await shelf.retry(accepted.program.id)

    assert [(one.position, one.reason) for one in made.skipped] == [(0, "job_gone")]
    assert len(reopened) == 1
    assert (await shelf.files(accepted.program.id))[0].retry_id is None


async def test_a_file_whose_document_was_deleted_is_named(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 1)
    shelf.change(program_files, {"document_id": None}, program_files.c.position == 0)

    made, _ = await shelf.retry(accepted.program.id, "document")

    assert [(one.position, one.reason) for one in made.skipped] == [(0, "document_deleted")]


async def test_a_replay_by_an_operator_counts_as_a_retry_and_opens_the_program(shelf: Shelf) -> None:
    accepted = await shelf.read(("잠김.pdf", files.encrypted_pdf()))
    await shelf.keep_up()
    assert (await shelf.state(accepted.program.id)).program.settled_at is not None

    await shelf.core.jobs.reopen(accepted.jobs[0].id)

    (file,) = await shelf.files(accepted.program.id)
    assert (file.status, file.retry_count, file.code) == ("pending", 1, None)
    assert (await shelf.state(accepted.program.id)).program.settled_at is None


async def test_the_figures_count_files_that_have_an_outcome(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 2)
    before = await shelf.programs.stats("ana")
    _, reopened = await shelf.retry(accepted.program.id)
    await shelf.run(reopened[:2])
    stats = await shelf.programs.stats("ana")

    assert (before.total, before.success_rate) == (0, 0.0)
    assert (stats.total, stats.successful, stats.failed, stats.success_rate) == (2, 2, 0, 1.0)
    await shelf.run(reopened[2:])
    assert (await shelf.programs.stats("ana")).success_rate == 0.6667
    assert (await shelf.programs.stats("ben")).total == 0
    await shelf.programs.delete(accepted.program.id, "ana")
    assert (await shelf.programs.stats("ana")).total == 3  # what was tried, was


async def test_a_deleted_program_is_gone_and_what_waits_of_it_is_cancelled(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT), ("b.txt", b"b"), ("c.txt", b"c"), key="once")
    await shelf.core.run(accepted.jobs[0])
    cancelled = await shelf.programs.delete(accepted.program.id, "ana")

    assert {job.id for job in cancelled} == {job.id for job in accepted.jobs[1:]}
    assert [row.status for row in shelf.rows(documents)] == ["completed"]
    for asked in (shelf.programs.get, shelf.programs.files, shelf.programs.retries, shelf.programs.delete):
        with pytest.raises(Refused) as refused:
            await asked(accepted.program.id, "ana")
        assert (refused.value.code, refused.value.status) == ("program_not_found", 404)
    assert (await shelf.programs.list("ana", 10)).items == []
    assert (await shelf.upload(("a.txt", SCRIPT), key="once")).replayed is False


async def test_nothing_that_was_not_read_outlives_its_program(shelf: Shelf) -> None:
    # Given a program with a file that is read, one that failed and one that waits
    accepted = await shelf.upload(("a.txt", SCRIPT), ("잠김.pdf", files.encrypted_pdf()), ("b.txt", b"b"))
    await shelf.run(accepted.jobs[:2])
    (good, *others) = await shelf.files(accepted.program.id)

    # When it is deleted, and what is doomed has been swept
    await shelf.programs.delete(accepted.program.id, "ana")
    await ObjectSweeper(shelf.database, shelf.objects).sweep()

    # Then the document that is read is all that is left, and no row names another
    assert [row.id for row in shelf.rows(documents)] == [good.document_id]
    assert {key.split("/")[3] for key in shelf.stored()} == {good.document_id}
    left = {row.position: row.document_id for row in shelf.rows(program_files)}
    assert left == {0: good.document_id, **{one.position: None for one in others}}


async def test_more_failed_files_than_one_batch_go_with_their_program(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_BATCH", 2)
    accepted = await with_failures(shelf, 4)
    await shelf.programs.delete(accepted.program.id, "ana")

    assert [row.status for row in shelf.rows(documents)] == ["completed"]
    assert [row.settled_at is not None for row in shelf.rows(programs)] == [True]


async def test_a_failed_file_can_be_retried_however_long_ago_it_failed(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 2)
    shelf.change(jobs, {"completed_at": db_now(-3600)})
    assert shelf.database.write_now(lambda connection: prune_jobs(connection, 0)).pruned == 1  # of the one that is read

    _, reopened = await shelf.retry(accepted.program.id, "document")
    assert [job.status for job in await shelf.run(reopened)] == ["completed"] * 2

    # And with its program its job goes, too
    await shelf.programs.delete(accepted.program.id, "ana")
    shelf.change(jobs, {"completed_at": db_now(-3600)})
    assert shelf.database.write_now(lambda connection: prune_jobs(connection, 0)).pruned == 3


async def test_a_file_that_an_operator_has_read_anew_says_so(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 1)
    (before, *_) = await shelf.files(accepted.program.id)
    await shelf.core.jobs.reopen(accepted.jobs[0].id, "preprocessing")

    (after, *_) = await shelf.files(accepted.program.id)
    assert (before.stage, before.artefact_key is None) == ("document", False)
    assert (after.status, after.stage, after.artefact_key) == ("pending", "preprocessing", None)


async def test_a_deletion_that_was_cut_off_is_gone_on_with(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT), ("b.txt", b"b"))

    def lost(*_: object, **__: object) -> None:
        raise LookupError

    with monkeypatch.context() as patched:
        patched.setattr(shelf.core.jobs, "cancel_within", lost)
        with pytest.raises(LookupError):
            await shelf.programs.delete(accepted.program.id, "ana")

    await shelf.keep_up(2)

    assert {(await shelf.core.jobs.get(job.id)).status for job in accepted.jobs} == {"cancelled"}
    settled = [row.settled_at is not None for row in shelf.rows(program_files.metadata.tables["programs"])]
    assert settled == [True]


async def test_a_deleted_program_is_not_retried(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 1)
    program_id, asked_at = accepted.program.id, await shelf.later()
    shelf.database.write_now(lambda connection: begin_by_hand(connection, program_id, "all", asked_at))
    await shelf.programs.delete(program_id, "ana")

    assert await shelf.keep_up(2) == []
    assert [row.completed_at is not None for row in shelf.rows(program_retries)] == [True]


async def test_another_users_program_is_not_found(shelf: Shelf) -> None:
    accepted = await with_failures(shelf, 1)
    with pytest.raises(Refused) as refused:
        await shelf.programs.retry(accepted.program.id, "ben", "all", asked_at=await shelf.later())

    assert refused.value.code == "program_not_found"
    assert shelf.rows(program_retry_files) == []


async def test_pages_of_files_go_on_where_the_last_one_ended(shelf: Shelf) -> None:
    accepted = await shelf.upload(*((f"{number}.txt", b"%d" % number) for number in range(5)), ("빈.txt", b""))
    seen: list[ProgramFile] = []
    cursor = None
    while True:
        page = await shelf.programs.files(accepted.program.id, "ana", "pending", 2, cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break

    assert [file.position for file in seen] == [0, 1, 2, 3, 4]
    with pytest.raises(Refused):
        await shelf.programs.files(accepted.program.id, "ana", None, 2, "x")


async def wait_beyond(shelf: Shelf, moment: Any) -> None:
    async def beyond() -> bool:
        return bool(await shelf.programs.now() > moment)

    await until(beyond)
