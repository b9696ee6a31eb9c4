"""The outlook: when files that failed for a passing reason are tried again by themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from generation_service.database import db_now
from generation_service.database.programs import program_files, programs
from generation_service.programs.retrying import PASSING
from generation_service.programs.scheduled import RetryRules


def next_retries(connection: Connection, program_ids: Sequence[str], rules: RetryRules) -> Mapping[str, datetime]:
    """The time of the next retry of each of these programs that has one to come."""
    by_schedule = _by_schedule(connection, program_ids, rules)
    planned = select(programs.c.id, programs.c.at_once_due_at).where(
        programs.c.id.in_(program_ids), programs.c.at_once_due_at.is_not(None)
    )
    return by_schedule | {row.id: row.at_once_due_at for row in connection.execute(planned)}


def _by_schedule(connection: Connection, program_ids: Sequence[str], rules: RetryRules) -> dict[str, datetime]:
    files = program_files.c
    waiting = (
        select(files.program_id, files.auto_retry_count, func.min(files.ended_at).label("ended_at"))
        .add_columns(db_now().label("now"))
        .where(files.program_id.in_(program_ids), PASSING, files.retry_id.is_(None))
        .where(files.auto_retry_count < rules.max_retries)
        .group_by(files.program_id, files.auto_retry_count)
    )
    found: dict[str, datetime] = {}
    for row in connection.execute(waiting):
        rested = row.ended_at + timedelta(seconds=rules.delay_seconds(row.auto_retry_count))
        run = rules.next_run(max(rested, row.now))
        found[row.program_id] = min(run, found.get(row.program_id, run))
    return found
