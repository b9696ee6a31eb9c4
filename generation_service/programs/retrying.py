"""Retrying: which files a retry takes is decided in one transaction.

A file that was taken carries the retry's id from then on, and nobody else takes it; see
`programs.reopening` for what is done with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, and_, case, insert, null, or_, select, true, update

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.jobs.ids import uuid7
from generation_service.programs.model import (
    NOTHING_STORED,
    SCHEDULED,
    STAGES,
    RetrySource,
    RetryType,
    Stage,
)

Rows: TypeAlias = Sequence[Any]  # each with `position` and `stage`

_files = program_files.c
STORED: ColumnElement[bool] = and_(_files.job_id.is_not(None), _files.document_id.is_not(None))
PASSING: ColumnElement[bool] = and_(
    _files.status == "failed", _files.error_class == "transient", _files.quarantined_at.is_(None), STORED
)
"""Files that are tried again by themselves, sooner or later."""
AT_ONCE: ColumnElement[bool] = and_(PASSING, _files.retry_id.is_(None), ~_files.at_once_retried)


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """A retry that is about to be written."""

    id: str
    program_id: str
    retry_type: RetryType
    source: RetrySource


def begin_by_hand(connection: Connection, program_id: str, retry_type: RetryType, asked_at: datetime) -> str | None:
    """Take every failed file of these stages, quarantined or not; the retry's id, None where the program is gone.

    What is under retry already is skipped and named, and so is what was, when it was asked for.
    """
    if not _lock(connection, program_id):
        return None
    stages = STAGES if retry_type == "all" else (retry_type,)
    wanted = and_(
        _files.status == "failed",
        _files.stage.in_(stages),
        or_(_files.retry_count == 0, _files.ended_at < asked_at),
    )
    skipped = _skipped(connection, program_id, stages, asked_at)
    refused = _fail_again(connection, program_id, wanted)
    retry_id = uuid7()
    readable = and_(wanted, STORED, _files.code.is_distinct_from("cancelled"))
    taken = _take(connection, program_id, retry_id, "user", readable)
    tried = {row.position for row in [*refused, *taken]}  # somebody may have let one go since it was skipped
    outcomes = [
        *(_outcome(row, outcome="failed", reason=NOTHING_STORED) for row in refused),
        *(_outcome(row, outcome="skipped", reason=row.reason) for row in skipped if row.position not in tried),
    ]
    fresh = _New(id=retry_id, program_id=program_id, retry_type=retry_type, source="user")
    _record(connection, fresh, [*map(_outcome, taken), *outcomes])
    return retry_id


def begin_by_itself(
    connection: Connection, program_id: str, source: RetrySource, wanted: ColumnElement[bool]
) -> str | None:
    """Take the `wanted` ones of the files that failed for a passing reason; None where there is none."""
    if not _lock(connection, program_id):
        return None
    retry_id = uuid7()
    taken = _take(connection, program_id, retry_id, source, and_(PASSING, wanted))
    if not taken:
        return None
    stages = {row.stage for row in taken}
    retry_type: RetryType = stages.pop() if len(stages) == 1 else "all"
    fresh = _New(id=retry_id, program_id=program_id, retry_type=retry_type, source=source)
    _record(connection, fresh, [_outcome(row) for row in taken])
    return retry_id


def _lock(connection: Connection, program_id: str) -> bool:
    """Retries of one program begin one after the other; False where it is gone."""
    there = select(programs.c.id).where(programs.c.id == program_id, programs.c.deleted_at.is_(None))
    return connection.execute(there.with_for_update(key_share=True)).first() is not None


def _take(
    connection: Connection, program_id: str, retry_id: str, source: RetrySource, wanted: ColumnElement[bool]
) -> Rows:
    counts: dict[str, Any] = {"retry_count": _files.retry_count + 1}
    if source in SCHEDULED:
        counts["auto_retry_count"] = _files.auto_retry_count + 1
    elif source == "at_once":
        counts["at_once_retried"] = true()
    free = (_files.program_id == program_id, _files.retry_id.is_(None), wanted)
    taken = update(program_files).where(*free).values(retry_id=retry_id, **counts)
    return connection.execute(taken.returning(_files.position, _files.stage)).all()


def _fail_again(connection: Connection, program_id: str, wanted: ColumnElement[bool]) -> Rows:
    """What was turned away at the door fails at once, as before: nothing of it was stored."""
    refused = (_files.program_id == program_id, _files.job_id.is_(None), wanted)
    counted = update(program_files).where(*refused).values(retry_count=_files.retry_count + 1, ended_at=db_now())
    return connection.execute(counted.returning(_files.position, _files.stage)).all()


def _skipped(connection: Connection, program_id: str, stages: Sequence[Stage], asked_at: datetime) -> Rows:
    """Files that were under retry when this one was asked for, and failed ones whose document is gone."""
    under = select(program_retry_files.c.stage).where(
        program_retry_files.c.retry_id == _files.retry_id, program_retry_files.c.position == _files.position
    )
    before = (
        select(program_retry_files.c.retry_id)
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .where(
            program_retries.c.program_id == _files.program_id,
            program_retry_files.c.position == _files.position,
            program_retry_files.c.outcome.in_(["success", "failed"]),
            program_retry_files.c.stage.in_(stages),
        )
        .exists()
    )
    under_retry = and_(_files.retry_id.is_not(None), under.scalar_subquery().in_(stages))
    since = and_(_files.retry_id.is_(None), _files.ended_at >= asked_at, before)
    failed = and_(_files.status == "failed", _files.stage.in_(stages), _files.job_id.is_not(None))
    gone, cancelled = and_(failed, _files.document_id.is_(None)), and_(failed, _files.code == "cancelled")
    reason = case(
        (under_retry, "under_retry"),
        (gone, "document_deleted"),
        (cancelled, "cancelled"),
        else_="retried_meanwhile",
    )
    wanted = (_files.program_id == program_id, or_(under_retry, since, gone, cancelled))
    return connection.execute(select(_files.position, _files.stage, reason.label("reason")).where(*wanted)).all()


def _outcome(row: Row[Any], outcome: str | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"position": row.position, "stage": row.stage, "outcome": outcome, "reason": reason}


def _record(connection: Connection, fresh: _New, outcomes: Sequence[Mapping[str, Any]]) -> None:
    under_way = any(one["outcome"] is None for one in outcomes)
    ended_at = null() if under_way else db_now()
    connection.execute(insert(program_retries).values(**asdict(fresh), created_at=db_now(), completed_at=ended_at))
    if outcomes:
        connection.execute(insert(program_retry_files).values(retry_id=fresh.id), list(outcomes))
    if under_way:
        again = update(programs).where(programs.c.id == fresh.program_id)
        connection.execute(again.values(settled_at=None, at_once_due_at=None))
