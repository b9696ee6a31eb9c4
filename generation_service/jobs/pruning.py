"""Pruning: what ended long ago is deleted in small batches; a tombstone stays, so that its id answers 410."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_

from generation_service.database import Database, db_now, partitions
from generation_service.database.partitions import CLOCKS_AGREE, first_id
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import alerts, dead_letters, idempotency_keys, jobs, pruned_jobs, stream_tickets
from generation_service.database.types import db_moment
from generation_service.database.upsert import upsert
from generation_service.jobs import counters
from generation_service.jobs.alerts import add_failed_job
from generation_service.jobs.model import Job, Json
from generation_service.jobs.ports import Ending, Step, StepOutcome, StepRun

PRUNE = "prune"
_BATCH = 200
_DAY_SECONDS = 86_400
_ALERT_SECONDS = 30 * _DAY_SECONDS

Mark: TypeAlias = tuple[Any, ...]
"""Where a batch ended, in the order of the index that it walks along."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many were deleted of those that were looked at, and where the next batch begins; None: there is none."""

    pruned: int
    last: Mark | None


class PruneKind:
    """The kind of job that prunes; one step, which goes on where it was cut."""

    kind = PRUNE
    shares_commits = False

    def __init__(self, *, database: Database, retention_days: int, key_retention_hours: int) -> None:
        self._step = PruneStep(database, retention_days * _DAY_SECONDS, key_retention_hours * 3600)

    def steps(self, job: Job) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        return [self._step]

    def on_started(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Nothing belongs to it."""

    def on_ended(self, connection: Connection, endings: Sequence[Ending]) -> Sequence[Mapping[str, Json] | None]:
        for one in endings:
            if one.status == "failed" and one.error is not None:
                add_failed_job(connection, one.job, one.error)
        return [one.outputs.get(PRUNE) for one in endings]

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
        pruned = await self._in_batches(run, partial(prune_jobs, retention_seconds=self._retention_seconds))
        keys = await self._in_batches(run, partial(prune_keys, retention_seconds=self._key_retention_seconds))
        await self._in_batches(run, prune_alerts)
        await self._database.write(prune_tickets)
        await self._database.write(counters.fold_tallies)
        await asyncio.to_thread(partitions.maintain, self._database)
        return StepOutcome(output={"jobs": pruned, "idempotency_keys": keys})

    async def _in_batches(self, run: StepRun, prune: Callable[..., Batch]) -> int:
        """Go once over what is old, each batch from where the one before it ended: what stays is seen once."""
        pruned, after = 0, None
        while True:
            batch = await self._database.write(partial(prune, after=after))
            pruned += batch.pruned
            if batch.last is None:
                return pruned
            after = batch.last
            run.check_lease()


def prune_jobs(connection: Connection, retention_seconds: float, after: Mark | None = None) -> Batch:
    """Delete one batch of jobs that ended so long ago. Keys outlive them by their own rule.

    Jobs of files that failed stay while their program does: a retry reopens them.
    """
    ended = jobs.c.completed_at < db_moment(-retention_seconds)
    place = (jobs.c.completed_at, jobs.c.id)
    behind = [] if after is None else [tuple_(*place) > tuple_(*after)]
    seen = connection.execute(select(*place).where(ended, *behind).order_by(*place).limit(_BATCH)).all()
    # Locked from here on: one that is reopened meanwhile lives, and must not be deleted as one that had ended.
    free = select(jobs.c.id).where(jobs.c.id.in_([row.id for row in seen]), ended, ~_is_keyed(), ~_is_retriable())
    locked = free.order_by(jobs.c.id).with_for_update(skip_locked=True)
    ids = [row.id for row in connection.execute(locked)]
    if ids:
        tombstones = upsert(connection, pruned_jobs).values(
            [{"job_id": job_id, "pruned_at": db_now()} for job_id in ids]
        )
        connection.execute(tombstones.on_conflict_do_nothing())
        connection.execute(delete(dead_letters).where(dead_letters.c.job_id.in_(ids)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
    return Batch(len(ids), tuple(seen[-1]) if len(seen) == _BATCH else None)


def _is_keyed() -> ColumnElement[bool]:
    return select(idempotency_keys.c.job_id).where(idempotency_keys.c.job_id == jobs.c.id).exists()


def _is_retriable() -> ColumnElement[bool]:
    failed = (program_files.c.status == "failed", programs.c.deleted_at.is_(None))
    of_program = select(program_files.c.job_id).join(programs, programs.c.id == program_files.c.program_id)
    return of_program.where(program_files.c.job_id == jobs.c.id, *failed).exists()


def prune_keys(connection: Connection, retention_seconds: float, after: Mark | None = None) -> Batch:
    """Delete those of one batch of keys whose job ended so long ago, or is gone."""
    ended_at = select(jobs.c.completed_at).where(jobs.c.id == idempotency_keys.c.job_id).scalar_subquery()
    there = select(jobs.c.id).where(jobs.c.id == idempotency_keys.c.job_id).exists()
    old = ((ended_at < db_moment(-retention_seconds)) | ~there).label("old")
    # With its job: a key that was free, and is bound again meanwhile, is another one.
    columns = [idempotency_keys.c[name] for name in ("job_id", "user_id", "route", "key")]
    place = [idempotency_keys.c[name] for name in ("job_id", "key")]  # a job has one key of its caller's, or a few
    found = select(*columns, old).where(idempotency_keys.c.job_id < _made_before(retention_seconds))
    if after is not None:
        found = found.where(idempotency_keys.c.job_id >= after[0], tuple_(*place) > tuple_(*after))
    rows = connection.execute(found.order_by(*place).limit(_BATCH)).all()
    gone = [tuple(row[:-1]) for row in rows if row.old]
    if gone:
        theirs = idempotency_keys.c.job_id.in_([row[0] for row in gone])
        connection.execute(delete(idempotency_keys).where(theirs, tuple_(*columns).in_(gone)))
    return Batch(len(gone), (rows[-1].job_id, rows[-1].key) if len(rows) == _BATCH else None)


def prune_tickets(connection: Connection) -> None:
    """Delete the stream tickets that have run out."""
    connection.execute(delete(stream_tickets).where(stream_tickets.c.expires_at < db_moment()))


def prune_alerts(connection: Connection, after: Mark | None = None) -> Batch:
    """Delete those of one batch of alerts of over a month ago that were told, or given up."""
    old = [alerts.c.id < _made_before(_ALERT_SECONDS), alerts.c.id > (after[0] if after else "")]
    ids = connection.execute(select(alerts.c.id).where(*old).order_by(alerts.c.id).limit(_BATCH)).scalars().all()
    over = [alerts.c.due_at.is_(None), alerts.c.created_at < db_now(-_ALERT_SECONDS)]
    last = ids[-1] if ids else ""
    gone = connection.execute(delete(alerts).where(*old, alerts.c.id <= last, *over).returning(alerts.c.id)).all()
    return Batch(len(gone), (last,) if len(ids) == _BATCH else None)


def _made_before(seconds: float) -> str:
    """An id that is higher than any of a row that is so old, whoever's clock it was made by: where a search ends."""
    return first_id(datetime.now(UTC) - timedelta(seconds=seconds) + CLOCKS_AGREE)
