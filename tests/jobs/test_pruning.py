"""What ended long ago goes; what lives again, or is bound anew, meanwhile stays."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection, CursorResult, Executable, Table, delete, insert, select, text, update

from generation_service.database import Database, db_now
from generation_service.database.partitions import first_id
from generation_service.database.tables import alerts, idempotency_keys, jobs
from generation_service.database.upsert import Insert
from generation_service.errors import Refused
from generation_service.jobs import idempotency, pruning, submission, transitions
from generation_service.jobs.model import IdempotencyKey, Job, JobId, NewJob
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.support.toy import Core, ToyKind, nothing

KEY = IdempotencyKey(route="r", key="k", fingerprint="f")
WANTED = NewJob(kind="toy", user_id="ana", request={})
LOCK_WAITS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def fails(run: StepRun) -> StepOutcome:
    raise ZeroDivisionError


async def old_failure(core: Core) -> Job:
    job = await core.run(await core.submit(max_attempts=1))
    core.database.write_now(lambda connection: connection.execute(update(jobs).values(completed_at=db_now(-3600))))
    return job


async def test_a_job_that_ended_long_ago_is_pruned_and_answers_so(database: Database) -> None:
    core = Core(database, ToyKind({"one": fails}))
    job = await old_failure(core)

    assert database.write_now(lambda connection: pruning.prune_jobs(connection, 60)).pruned == 1

    with pytest.raises(Refused) as refused:
        await core.jobs.get(job.id)
    assert refused.value.code == "job_pruned"


async def test_a_job_that_is_reopened_while_old_ones_are_pruned_is_not_lost(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgresql_database
    core = Core(database, ToyKind({"one": fails}))
    job = await old_failure(core)
    upsert = pruning.upsert

    with ThreadPoolExecutor(1) as pool:
        reopening: list[Future[Job]] = []

        def reopened_now(connection: Connection, table: Table) -> Insert:
            """Between the look and the deletion; it is done, or waits for the deletion."""
            reopening.append(pool.submit(database.write_now, lambda other: core.jobs._reopen(other, job.id, None)))
            while not reopening[0].done() and not database.read_now(lambda other: other.execute(LOCK_WAITS).scalar()):
                pass
            return upsert(connection, table)

        monkeypatch.setattr(pruning, "upsert", reopened_now)
        database.write_now(lambda connection: pruning.prune_jobs(connection, 60))
        refused = reopening[0].exception() is not None

    left = database.read_now(lambda connection: transitions.find_job(connection, job.id))
    assert refused == (left is None)


def submit(database: Database, core: Core, key: IdempotencyKey = KEY) -> JobId:
    accepted = database.write_now(
        lambda connection: submission.submit(connection, WANTED, core.jobs.admission, key=key)
    )
    return accepted.job.id


async def with_a_key_whose_job_is_gone(database: Database) -> Core:
    core = Core(database, ToyKind({"one": nothing}))
    gone = submit(database, core)
    database.write_now(lambda connection: connection.execute(delete(jobs).where(jobs.c.id == gone)))
    return core


async def test_a_free_key_that_two_bind_at_once_makes_one_job(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgresql_database
    core = await with_a_key_whose_job_is_gone(database)
    find_jobs = idempotency._jobs
    winners: list[JobId] = []

    def bound_meanwhile(connection: Connection, job_ids: Sequence[str]) -> dict[JobId, Job]:
        found = find_jobs(connection, job_ids)
        monkeypatch.setattr(idempotency, "_jobs", find_jobs)
        winners.append(submit(database, core))
        return found

    monkeypatch.setattr(idempotency, "_jobs", bound_meanwhile)

    assert submit(database, core) == winners[0]
    assert database.read_now(lambda connection: len(connection.execute(select(jobs)).all())) == 1


async def test_a_free_key_that_is_bound_while_keys_are_pruned_stays_bound(postgresql_database: Database) -> None:
    database = postgresql_database
    core = await with_a_key_whose_job_is_gone(database)
    bound: list[JobId] = []

    class Meanwhile:
        """A connection between whose first two statements the key is bound anew."""

        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def execute(self, statement: Executable) -> CursorResult[Any]:
            found = self._connection.execute(statement)
            if not bound:
                bound.append(submit(database, core))
            return found

    database.write_now(lambda connection: pruning.prune_keys(Meanwhile(connection), 60))

    keys = database.read_now(lambda connection: connection.execute(select(idempotency_keys.c.job_id)).scalars().all())
    assert list(keys) == bound


async def run_step(database: Database, key_retention_seconds: float) -> dict[str, int]:
    """What a prune says that it deleted."""
    step = pruning.PruneStep(database, 60, key_retention_seconds)
    looked = cast("StepRun", SimpleNamespace(check_lease=lambda: None))
    return dict((await step.run(looked)).output)


async def test_what_stays_keeps_nothing_behind_it_from_being_pruned(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 2)
    core = Core(database, ToyKind({"one": fails}))
    kept = [submit(database, core, IdempotencyKey(route="r", key=f"k{number}", fingerprint="f")) for number in range(5)]
    for job_id in kept:
        await core.jobs.cancel(job_id)
    others = [await core.run(await core.submit(max_attempts=1)) for _ in range(3)]
    database.write_now(lambda connection: connection.execute(update(jobs).values(completed_at=db_now(-3600))))

    assert await run_step(database, 7200) == {"jobs": 3, "idempotency_keys": 0}
    left = database.read_now(lambda connection: set(connection.execute(select(jobs.c.id)).scalars()))
    assert (left, len(others)) == (set(kept), 3)

    database.write_now(
        lambda connection: connection.execute(update(jobs).where(jobs.c.id == kept[4]).values(completed_at=db_now()))
    )
    assert await run_step(database, 60) == {"jobs": 0, "idempotency_keys": 4}
    assert await run_step(database, 60) == {"jobs": 4, "idempotency_keys": 0}


async def test_alerts_of_long_ago_go_unless_they_are_still_to_be_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 1)
    long_ago = datetime.now(UTC) - timedelta(days=40)

    def add(connection: Connection, name: str, made: datetime, *, told: bool) -> None:
        texts = {"type": "job_failed", "subject": name, "fingerprint": name}
        moments = {"created_at": made, "due_at": None if told else made}
        connection.execute(insert(alerts).values(id=first_id(made), **texts, **moments, detail={}, tries=1))

    for number in range(4):
        made = long_ago + timedelta(seconds=number)
        database.write_now(partial(add, name=f"old {number}", made=made, told=number != 1))
    database.write_now(partial(add, name="of late", made=datetime.now(UTC), told=True))

    await run_step(database, 60)

    left = database.read_now(lambda connection: set(connection.execute(select(alerts.c.subject)).scalars()))
    assert left == {"old 1", "of late"}
