"""Schedules: rows that submit a job when they are due; a firing is a row, unique by schedule and due time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from sqlalchemy import ColumnElement, Connection, func, select, update

from generation_service.database import db_now
from generation_service.database.tables import firings, schedules
from generation_service.database.upsert import insert_if_absent
from generation_service.jobs.ids import new_job_id
from generation_service.jobs.model import Job, Json, NewJob
from generation_service.jobs.submission import Admission, submit

SCHEDULER = "scheduler"
"""The user whose jobs a schedule's are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is submitted (kind and request) and when: a cron expression in a time zone."""

    id: str
    cron: str
    timezone: str
    kind: str
    request: Mapping[str, Json]


def next_due(cron: str, timezone: str, after: datetime) -> datetime:
    """The first moment of `cron` after `after`, in UTC."""
    local = after.astimezone(ZoneInfo(timezone))
    moment: datetime = croniter(cron, local).get_next(datetime)
    return moment.astimezone(UTC)


def declare(connection: Connection, wanted: Iterable[Schedule]) -> None:
    """Make the rows of these schedules say what is wanted; what has not changed keeps its due time."""
    now = connection.execute(select(db_now())).scalar_one()
    for schedule in wanted:
        due = next_due(schedule.cron, schedule.timezone, now)
        plan = {"cron": schedule.cron, "timezone": schedule.timezone}
        work = {"kind": schedule.kind, "request": dict(schedule.request)}
        insert_if_absent(
            connection, schedules, {"id": schedule.id, **plan, **work, "enabled": True, "next_due_at": due}
        )
        changed = (schedules.c.cron != schedule.cron) | (schedules.c.timezone != schedule.timezone)
        connection.execute(
            update(schedules).where(schedules.c.id == schedule.id, changed).values(**plan, **work, next_due_at=due)
        )


def is_any_due() -> ColumnElement[bool]:
    """Whether one of the enabled schedules is due."""
    return select(schedules.c.id).where(schedules.c.enabled, schedules.c.next_due_at <= db_now()).exists()


def earliest_due(connection: Connection) -> datetime | None:
    """When the next of the enabled schedules is due, or has been since; None where there is none."""
    due = select(func.min(schedules.c.next_due_at)).where(schedules.c.enabled)
    return connection.execute(due).scalar_one_or_none()


def fire_due(connection: Connection, fired_by: str, admission: Admission, *, overdue_seconds: float = 0.0) -> list[Job]:
    """Fire what has been due for `overdue_seconds`: firing, job and next due time in one transaction.

    What was missed several times is caught up once. Returns the jobs, to be delivered after the commit.
    """
    overdue = schedules.c.next_due_at <= db_now(-overdue_seconds)
    due = select(schedules).where(schedules.c.enabled, overdue).order_by(schedules.c.id)
    fired = []
    for schedule in connection.execute(due).all():
        job_id = new_job_id()
        firing = {"schedule_id": schedule.id, "due_at": schedule.next_due_at, "job_id": job_id}
        # Where another ticker was faster it has moved the due time, too, unless the row was planned back to a time
        # that had fired: it is moved in either case, or that schedule would never fire again.
        if insert_if_absent(connection, firings, {**firing, "fired_by": fired_by, "fired_at": db_now()}):
            wanted = NewJob(kind=schedule.kind, user_id=SCHEDULER, request=schedule.request, priority="low", id=job_id)
            fired.append(submit(connection, wanted, admission).job)
        now = connection.execute(select(db_now())).scalar_one()
        following = next_due(schedule.cron, schedule.timezone, max(now, schedule.next_due_at))
        connection.execute(
            update(schedules)
            .where(schedules.c.id == schedule.id, schedules.c.next_due_at == schedule.next_due_at)
            .values(next_due_at=following)
        )
    return fired
