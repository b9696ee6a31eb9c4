"""What became of retries: their results and sums, from the outcome of each file."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from generation_service.database.programs import program_files, program_retries, program_retry_files, programs
from generation_service.programs.model import STAGES, Retry, RetryStats, Skipped


def find_retries(connection: Connection, *conditions: ColumnElement[bool]) -> list[Retry]:
    """The retries that meet the conditions, the oldest first."""
    found = connection.execute(select(program_retries).where(*conditions).order_by(program_retries.c.id)).all()
    ids = [row.id for row in found]
    counts, skipped = _counts(connection, ids), _skipped(connection, ids)
    return [_retry(row, counts[row.id], skipped[row.id]) for row in found]


def stats_of(connection: Connection, user_id: str) -> RetryStats:
    """How the retries of this user's files ended."""
    mine = (
        select(program_retry_files.c.outcome, func.count().label("files"))
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .join(programs, programs.c.id == program_retries.c.program_id)
        .where(programs.c.user_id == user_id, program_retry_files.c.outcome.in_(["success", "failed"]))
        .group_by(program_retry_files.c.outcome)
    )
    counts = {row.outcome: row.files for row in connection.execute(mine)}
    successful, failed = counts.get("success", 0), counts.get("failed", 0)
    total = successful + failed
    rate = round(successful / total, 4) if total else 0.0
    return RetryStats(total=total, successful=successful, failed=failed, success_rate=rate)


def _counts(connection: Connection, ids: Sequence[str]) -> Mapping[str, Mapping[tuple[str, str | None], int]]:
    """How many files of each retry had failed in which stage and came to which outcome."""
    columns = (program_retry_files.c.retry_id, program_retry_files.c.stage, program_retry_files.c.outcome)
    counted = select(*columns, func.count().label("files")).where(program_retry_files.c.retry_id.in_(ids))
    counts: defaultdict[str, dict[tuple[str, str | None], int]] = defaultdict(dict)
    for row in connection.execute(counted.group_by(*columns)):
        counts[row.retry_id][row.stage, row.outcome] = row.files
    return counts


def _skipped(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Skipped]]:
    named = (
        select(program_retry_files.c.retry_id, program_retry_files.c.reason, program_files.c.position)
        .add_columns(program_files.c.file_name)
        .join(program_retries, program_retries.c.id == program_retry_files.c.retry_id)
        .join(
            program_files,
            (program_files.c.program_id == program_retries.c.program_id)
            & (program_files.c.position == program_retry_files.c.position),
        )
        .where(program_retry_files.c.retry_id.in_(ids), program_retry_files.c.outcome == "skipped")
        .order_by(program_files.c.position)
    )
    skipped: defaultdict[str, list[Skipped]] = defaultdict(list)
    for row in connection.execute(named):
        one = Skipped(position=row.position, file_name=row.file_name, reason=row.reason)
        skipped[row.retry_id].append(one)
    return skipped


def _retry(row: Row[Any], counts: Mapping[tuple[str, str | None], int], skipped: Sequence[Skipped]) -> Retry:
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
    return Retry(**row._mapping, results=results, skipped=skipped, waiting=waiting)  # noqa: SLF001 - SQLAlchemy's public name for it
