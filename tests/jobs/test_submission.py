"""One transaction accepts a job; a key makes one job however often it is used; a refusal leaves nothing."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select

from generation_service.database import Database
from generation_service.database.tables import counters, events, idempotency_keys, jobs
from generation_service.errors import Refused
from generation_service.jobs import submission
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import IdempotencyKey, NewJob
from generation_service.jobs.submission import Admission
from tests.support.toy import Core, ToyKind, nothing

WANTED = NewJob(kind="toy", user_id="ana", request={"title": "하나"})
KEY = IdempotencyKey(route="generation", key="k1", fingerprint="f" * 64)


def rows(database: Database, table) -> int:
    return database.read_now(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )


async def test_two_hundred_submissions_with_one_key_make_one_job(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))

    answers = await asyncio.gather(*(core.jobs.submit(WANTED, key=KEY) for _ in range(200)))

    assert len({answer.job.id for answer in answers}) == 1
    assert sum(answer.replayed for answer in answers) == 199
    assert (rows(database, jobs), rows(database, events), rows(database, idempotency_keys)) == (1, 1, 1)


async def test_a_key_used_for_another_body_is_refused(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await core.jobs.submit(WANTED, key=KEY)

    other = IdempotencyKey(route=KEY.route, key=KEY.key, fingerprint="e" * 64)
    with pytest.raises(Refused, match="idempotency_key_reused"):
        await core.jobs.submit(WANTED, key=other)

    assert rows(database, jobs) == 1


async def test_keys_belong_to_their_caller_and_their_route(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))

    mine = await core.jobs.submit(WANTED, key=KEY)
    theirs = await core.jobs.submit(NewJob(kind="toy", user_id="bo", request={}), key=KEY)
    elsewhere = await core.jobs.submit(
        WANTED, key=IdempotencyKey(route="documents", key=KEY.key, fingerprint=KEY.fingerprint)
    )

    assert len({mine.job.id, theirs.job.id, elsewhere.job.id}) == 3


async def test_a_refused_submission_binds_no_key_and_leaves_nothing(database: Database) -> None:
    full = Admission(max_live=0, max_live_per_user=10, max_attempts=4)

    with pytest.raises(Refused, match="queue_full"):
        await database.write(lambda connection: submission.submit(connection, WANTED, full, key=KEY))

    assert [rows(database, table) for table in (jobs, events, idempotency_keys, counters)] == [0, 0, 0, 0]


async def test_what_fails_within_the_accepting_transaction_leaves_nothing(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))

    def fails(_connection: object) -> None:
        raise Refused("document_empty", 422)

    with pytest.raises(Refused):
        await core.jobs.submit(WANTED, key=KEY, within=fails)

    assert [rows(database, table) for table in (jobs, events, idempotency_keys)] == [0, 0, 0]


async def test_a_callers_limit_holds_exactly_over_many_at_once(database: Database) -> None:
    admission = Admission(max_live=1000, max_live_per_user=10, max_attempts=4)

    def one() -> object:
        return database.write(lambda connection: submission.submit(connection, WANTED, admission))

    answers = await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(answers) - len(refused) == 10
    assert {(answer.code, answer.status) for answer in refused} == {("caller_over_limit", 429)}


def test_two_batches_cannot_pass_a_callers_limit_together(postgresql_database: Database) -> None:
    database, admission = postgresql_database, Admission(max_live=9999, max_live_per_user=1000, max_attempts=4)
    both = threading.Barrier(2)

    def meet(_connection: Connection) -> None:
        """Both are let in before either is committed, where nothing keeps them from it."""
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)

    def submit(count: int) -> str:
        wanted = [replace(WANTED, id=new_job_id()) for _ in range(count)]
        within = meet if count == 400 else None
        try:
            database.write_now(lambda c: submission.submit_batch(c, wanted, admission, within=within))
        except Refused as refused:
            return refused.code
        return "accepted"

    submit(300)
    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(submit, [400, 400]))

    assert answers == ["accepted", "caller_over_limit"]
    assert rows(database, jobs) == 700


async def test_a_project_is_its_first_users_and_nobody_elses(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    await core.submit(project_id="p")
    await core.submit(project_id="p")

    with pytest.raises(Refused, match="project_not_found"):
        await core.submit(project_id="p", user_id="bo")

    assert rows(database, jobs) == 2


async def test_an_ended_job_makes_room(database: Database) -> None:
    core = Core(database, ToyKind({"one": nothing}))
    core.jobs.admission = Admission(max_live=1, max_live_per_user=100, max_attempts=4)
    job = await core.submit()
    with pytest.raises(Refused, match="queue_full"):
        await core.submit()

    await core.run(job)

    assert (await core.submit()).status == "pending"
