"""Programs that contend: for the rows of counters, for a key, for jobs that somebody holds."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, program_retry_files
from generation_service.database.tables import documents, jobs
from generation_service.documents.quota import Quota, check_quota
from generation_service.errors import DatabaseUnavailable, Refused
from generation_service.jobs import counters
from generation_service.jobs.model import Job
from generation_service.programs import Accepted, accepting, deletion, reopening, retrying
from generation_service.programs.reopening import reopen_taken
from generation_service.programs.retrying import begin_by_hand
from tests.programs.conftest import Shelf
from tests.programs.test_retrying import with_failures
from tests.support.toy import until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

_PROGRAMS = 4
_FILES = 40


async def large_programs(shelf: Shelf) -> list[Accepted]:
    wanted = [(f"{number}.txt", b"%d" % number) for number in range(_FILES)]
    return [await shelf.upload(*wanted, user_id=f"user {one}", project_id=f"p{one}") for one in range(_PROGRAMS)]


def each_at_once(
    shelf: Shelf, accepted: Sequence[Accepted], batch: Callable[[Connection, str], Sequence[Job]]
) -> tuple[list[int], int]:
    """How many jobs one batch of each program has taken, each in a process of its own, and how often one was rerun."""
    start, tries = threading.Barrier(len(accepted)), []

    def one(program_id: str) -> int:
        database = Database(shelf.database.url.render_as_string(hide_password=False))

        def unit(connection: Connection) -> int:
            tries.append(program_id)
            return len(batch(connection, program_id))

        start.wait()
        try:
            return database.write_now(unit)
        finally:
            database.close()

    with ThreadPoolExecutor(len(accepted)) as pool:
        taken = list(pool.map(one, [whole.program.id for whole in accepted]))
    return taken, len(tries) - len(accepted)


async def test_large_programs_that_are_reopened_at_once_do_not_wait_for_one_another(shelf: Shelf) -> None:
    # Given four programs of which every file has failed, and was taken by a retry
    accepted = await large_programs(shelf)
    shelf.change(jobs, {"status": "failed", "completed_at": db_now(-60)})
    shelf.change(documents, {"status": "failed"})
    shelf.change(program_files, {"status": "failed", "error_class": "transient", "ended_at": db_now(-60)})
    for one in accepted:
        program_id, asked_at = one.program.id, await shelf.later()
        shelf.database.write_now(
            lambda connection, of=program_id, at=asked_at: begin_by_hand(connection, of, "all", at)
        )

    def batch(connection: Connection, program_id: str) -> Sequence[Job]:
        return reopen_taken(connection, program_id, shelf.core.jobs).jobs

    assert each_at_once(shelf, accepted, batch) == ([_FILES] * _PROGRAMS, 0)
    reopened = shelf.database.read_now(lambda connection: counters.total(connection, "reopened"))
    assert reopened == _FILES * _PROGRAMS


async def test_large_programs_that_are_deleted_at_once_do_not_wait_for_one_another(shelf: Shelf) -> None:
    accepted = await large_programs(shelf)

    def batch(connection: Connection, program_id: str) -> Sequence[Job]:
        return deletion.cancel_live(connection, program_id, shelf.core.jobs) or ()

    assert each_at_once(shelf, accepted, batch) == ([_FILES] * _PROGRAMS, 0)
    assert shelf.database.read_now(counters.live) == 0


@contextlib.contextmanager
def held(shelf: Shelf, job: Job) -> Iterator[None]:
    """A job whose row somebody else has locked."""
    with shelf.database._writing.begin() as connection:
        connection.execute(select(jobs.c.id).where(jobs.c.id == job.id).with_for_update())
        yield


async def test_a_deletion_waits_a_moment_for_a_job_that_somebody_holds(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", b"a"), ("b.txt", b"b"))
    first, second = accepted.jobs

    async def cancelled() -> bool:
        return (await shelf.core.jobs.get(second.id)).status == "cancelled"

    with held(shelf, first):
        deleting = asyncio.create_task(shelf.programs.delete(accepted.program.id, "ana"))
        await until(cancelled)

    assert {job.id for job in await deleting} == {first.id, second.id}


async def test_a_deletion_leaves_a_job_that_is_held_for_long_to_the_upkeep(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", b"a"))

    with held(shelf, accepted.jobs[0]):
        assert await shelf.programs.delete(accepted.program.id, "ana") == []
        await shelf.keep_up()
    await shelf.keep_up()

    assert (await shelf.core.jobs.get(accepted.jobs[0].id)).status == "cancelled"


async def test_a_program_whose_rows_are_held_keeps_nobody_else_waiting(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await shelf.upload((f"{number}.txt", b"")) for number in range(2)]
    advance = shelf.upkeep._advance

    def contended(connection: Any, program_id: str) -> bool:
        if program_id == first.program.id:
            raise DatabaseUnavailable("rows of the database were locked for too long")
        return advance(connection, program_id)

    monkeypatch.setattr(shelf.upkeep, "_advance", contended)
    await shelf.keep_up()

    assert (await shelf.state(first.program.id)).program.settled_at is None
    assert (await shelf.state(second.program.id)).program.settled_at is not None


async def test_a_key_that_a_deletion_frees_meanwhile_makes_a_program(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await shelf.upload(("a.txt", b"a"), key="once")
    replayed, looks = accepting._replayed, 0

    def deleted_meanwhile(connection: Connection, wanted: Any) -> Accepted | None:
        nonlocal looks
        looks += 1
        shelf.database.write_now(lambda other: deletion.hide(other, first.program.id, "ana"))
        return replayed(connection, wanted)

    monkeypatch.setattr(accepting, "_replayed", deleted_meanwhile)
    second = await shelf.upload(("a.txt", b"a"), key="once")

    assert (looks, second.replayed) == (1, False)
    assert second.program.id != first.program.id


async def test_a_file_that_is_let_go_while_a_retry_begins_is_tried_and_not_skipped(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file that a retry has taken, and whose job is gone
    accepted = await with_failures(shelf, 1)
    program_id, asked_at = accepted.program.id, await shelf.later()
    shelf.database.write_now(lambda connection: begin_by_hand(connection, program_id, "document", asked_at))
    gone = accepted.jobs[0].id
    shelf.database.write_now(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == gone)))
    skipped = retrying._skipped

    def let_go_meanwhile(*given: Any) -> Any:
        found = skipped(*given)
        shelf.database.write_now(lambda other: reopening._give_up(other, gone, "job_gone"))
        return found

    # When another retry begins, and the file is let go between its two looks
    monkeypatch.setattr(retrying, "_skipped", let_go_meanwhile)
    asked_at = await shelf.later()
    retry_id = shelf.database.write_now(lambda connection: begin_by_hand(connection, program_id, "document", asked_at))

    # Then this one has taken it
    (row,) = shelf.rows(program_retry_files, program_retry_files.c.retry_id == retry_id)
    assert (row.position, row.outcome) == (0, None)


async def test_uploads_cannot_pass_a_users_quota_together(shelf: Shelf) -> None:
    start, quota = threading.Barrier(3), Quota(documents=10, bytes=1000)
    shape = {"project_id": "p", "user_id": "ana", "job_id": "j", "file_name": "f", "file_type": "txt", "file_size": 1}
    shape |= {"sha256": "", "object_key": "k", "status": "pending", "progress": 0.0}

    def upload(number: int) -> bool:
        def unit(connection: Connection) -> None:
            check_quota(connection, "ana", 4, 4, quota)
            with contextlib.suppress(threading.BrokenBarrierError):
                start.wait(timeout=0.3)  # all are let in before one is committed, where nothing keeps them from it
            ids = [{"id": f"{number}-{one}"} for one in range(4)]
            connection.execute(insert(documents).values(**shape, created_at=db_now()), ids)

        try:
            shelf.database.write_now(unit)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(upload, range(3))) == [False, True, True]
