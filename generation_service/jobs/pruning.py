"""Pruning: what ended long ago is deleted in small batches; a tombstone stays, so that its id answers 410."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, select, tuple_

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import alerts, dead_letters, idempotency_keys, jobs, pruned_jobs, stream_tickets
from generation_service.database.upsert import upsert
from generation_service.jobs.alerts import add_failed_job
from generation_service.jobs.model import Job, Json, StepRecord
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun

PRUNE = "prune"
_BATCH = 200
_DAY_SECONDS = 86_400
_ALERT_SECONDS = 30 * _DAY_SECONDS


class PruneKind:
    """The kind of job that prunes; one step, which goes on where it was cut."""

    kind = PRUNE

    def __init__(self, *, database: Database, retention_days: int, key_retention_hours: int) -> None:
        self._step = PruneStep(database, retention_days * _DAY_SECONDS, key_retention_hours * 3600)

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return [self._step]

    def on_started(self, connection: Connection, job: Job) -> None:
        """Nothing belongs to it."""

    def on_ended(
        self, connection: Connection, job: Job, ending: Ending, steps: Mapping[str, StepRecord]
    ) -> Mapping[str, Json] | None:
        if ending.status == "failed" and ending.error is not None:
            add_failed_job(connection, job, ending.error)
        record = steps.get(PRUNE)
        return record.output if record else None

    def on_reopened(self, connection: Connection, job: Job) -> None:
        """Nothing belongs to it."""


class PruneStep:
    """Deletes batch by batch, each in a transaction of its own."""

    name = PRUNE

    def __init__(self, database: Database, retention_seconds: float, key_retention_seconds: float) -> None:
        self._database = database
        self._retention_seconds = retention_seconds
        self._key_retention_seconds = key_retention_seconds

    async def run(self, run: StepRun) -> StepOutcome:
        pruned = keys = 0
        while batch := await self._database.write(lambda connection: prune_jobs(connection, self._retention_seconds)):
            pruned += batch
            run.check_lease()
        while batch := await self._database.write(
            lambda connection: prune_keys(connection, self._key_retention_seconds)
        ):
            keys += batch
            run.check_lease()
        await self._database.write(prune_tickets)
        await self._database.write(prune_alerts)
        return StepOutcome(output={"jobs": pruned, "idempotency_keys": keys})


def prune_jobs(connection: Connection, retention_seconds: float) -> int:
    """Delete up to one batch of jobs that ended so long ago; how many. Keys outlive them by their own rule.

    Jobs of files that failed stay while their program does: a retry reopens them.
    """
    keyed = select(idempotency_keys.c.job_id).where(idempotency_keys.c.job_id == jobs.c.id).exists()
    retriable = (
        select(program_files.c.job_id)
        .join(programs, programs.c.id == program_files.c.program_id)
        .where(program_files.c.job_id == jobs.c.id, program_files.c.status == "failed", programs.c.deleted_at.is_(None))
        .exists()
    )
    ended = jobs.c.completed_at < db_now(-retention_seconds)
    old = select(jobs.c.id).where(ended, ~keyed, ~retriable).order_by(jobs.c.id)
    # Locked from here on: one that is reopened meanwhile lives, and must not be deleted as one that had ended.
    ids = [row.id for row in connection.execute(old.limit(_BATCH).with_for_update(skip_locked=True))]
    if ids:
        tombstones = upsert(connection, pruned_jobs).values(
            [{"job_id": job_id, "pruned_at": db_now()} for job_id in ids]
        )
        connection.execute(tombstones.on_conflict_do_nothing())
        connection.execute(delete(dead_letters).where(dead_letters.c.job_id.in_(ids)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
    return len(ids)


def prune_keys(connection: Connection, retention_seconds: float) -> int:
    """Delete up to one batch of keys whose job ended so long ago, or is gone; how many."""
    ended_at = select(jobs.c.completed_at).where(jobs.c.id == idempotency_keys.c.job_id).scalar_subquery()
    there = select(jobs.c.id).where(jobs.c.id == idempotency_keys.c.job_id).exists()
    old = (ended_at < db_now(-retention_seconds)) | ~there
    # With its job: a key that was free, and is bound again meanwhile, is another one.
    columns = [idempotency_keys.c[name] for name in ("user_id", "route", "key", "job_id")]
    rows = [tuple(row) for row in connection.execute(select(*columns).where(old).limit(_BATCH))]
    if rows:
        connection.execute(delete(idempotency_keys).where(tuple_(*columns).in_(rows)))
    return len(rows)


def prune_tickets(connection: Connection) -> None:
    """Delete the stream tickets that have run out."""
    connection.execute(delete(stream_tickets).where(stream_tickets.c.expires_at < db_now()))


def prune_alerts(connection: Connection) -> None:
    """Delete the alerts of over a month ago that were told, or given up."""
    connection.execute(delete(alerts).where(alerts.c.due_at.is_(None), alerts.c.created_at < db_now(-_ALERT_SECONDS)))
