"""What became of retries: their results and sums, from the outcome of each file."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, true

from generation_service.database import db_now
from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.programs.model import STAGES, Hopeless, Retry, RetryStats, Skipped

_NAME = ("position", "file_name")
_COLUMNS = ("id", "program_id", "retry_type", "source", "created_at")


def find_retries(connection: Connection, *conditions: ColumnElement[bool]) -> list[Retry]:
    """The retries that meet the conditions, the oldest first."""
    found = connection.execute(select(program_retries).where(*conditions).order_by(program_retries.c.id)).all()
    ids = select(program_retries.c.id).where(*conditions)  # not their values: there may be more than a statement takes
    counts, named, ended = _counts(connection, ids), _named(connection, ids), _ended(connection, ids)
    return [_retry(row, counts[row.id], named[row.id], ended.get(row.id)) for row in found]


def stats_of(connection: Connection, user_id: str | None) -> RetryStats:
    """How the retries of this user's files ended, those of programs that were deleted since included."""
    whose = true() if user_id is None else programs.c.user_id == user_id
    mine = (
        select(program_retry_files.c.outcome, func.count().label("files"))
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .join(programs, programs.c.id == program_retries.c.program_id)
        .where(whose, program_retry_files.c.outcome.in_(["success", "failed"]))
        .group_by(program_retry_files.c.outcome)
    )
    counts = {row.outcome: row.files for row in connection.execute(mine)}
    successful, failed = counts.get("success", 0), counts.get("failed", 0)
    total = successful + failed
    rate = round(successful / total, 4) if total else 0.0
    return RetryStats(total=total, successful=successful, failed=failed, success_rate=rate)


def _counts(connection: Connection, ids: Select[tuple[str]]) -> Mapping[str, Mapping[tuple[str, str | None], int]]:
    """How many files of each retry had failed in which stage and came to which outcome."""
    columns = (program_retry_files.c.retry_id, program_retry_files.c.stage, program_retry_files.c.outcome)
    counted = select(*columns, func.count().label("files")).where(program_retry_files.c.retry_id.in_(ids))
    counts: defaultdict[str, dict[tuple[str, str | None], int]] = defaultdict(dict)
    for row in connection.execute(counted.group_by(*columns)):
        counts[row.retry_id][row.stage, row.outcome] = row.files
    return counts


def _of_retries(ids: Select[tuple[str]], *columns: ColumnElement[Any]) -> Select[Any]:
    """What is asked of these retries and of their files, `retry_id` first."""
    in_program = program_files.c.program_id == program_retries.c.program_id
    return (
        select(program_retry_files.c.retry_id, *columns)
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .join(program_files, in_program & (program_files.c.position == program_retry_files.c.position))
        .where(program_retry_files.c.retry_id.in_(ids))
    )


def _named(connection: Connection, ids: Select[tuple[str]]) -> Mapping[str, list[Skipped | Hopeless]]:
    """The files that each retry did not try, with the reason, in their order."""
    columns = (program_retry_files.c.outcome, program_retry_files.c.reason, *(program_files.c[name] for name in _NAME))
    wanted = _of_retries(ids, *columns).where(program_retry_files.c.reason.is_not(None))
    named: defaultdict[str, list[Skipped | Hopeless]] = defaultdict(list)
    for row in connection.execute(wanted.order_by(program_files.c.position)):
        shape = Skipped if row.outcome == "skipped" else Hopeless
        named[row.retry_id].append(shape(position=row.position, file_name=row.file_name, reason=row.reason))
    return named


def _ended(connection: Connection, ids: Select[tuple[str]]) -> Mapping[str, datetime]:
    """When the last file of each retry ended: stands in until the upkeep has written down the retry's own end."""
    last = func.max(func.coalesce(program_files.c.ended_at, db_now()))  # null: a later retry has it already
    wanted = _of_retries(ids, last.label("ended_at")).where(program_retries.c.completed_at.is_(None))
    return {row.retry_id: row.ended_at for row in connection.execute(wanted.group_by(program_retry_files.c.retry_id))}


def _retry(
    row: Row[Any],
    counts: Mapping[tuple[str, str | None], int],
    named: Sequence[Skipped | Hopeless],
    ended_at: datetime | None,
) -> Retry:
    def files(stage: str, *outcomes: str | None) -> int:
        return sum(counts.get((stage, outcome), 0) for outcome in outcomes)

    results = {
        stage: {
            "retried": files(stage, "success", "failed", None),
            "success": files(stage, "success"),
            "failed": files(stage, "failed"),
        }
        for stage in STAGES
    }
    waiting = sum(files(stage, None) for stage in STAGES)
    return Retry(
        **{name: getattr(row, name) for name in _COLUMNS},
        completed_at=None if waiting else row.completed_at or ended_at,
        results=results,
        skipped=[one for one in named if isinstance(one, Skipped)],
        hopeless=[one for one in named if isinstance(one, Hopeless)],
        waiting=waiting,
    )
