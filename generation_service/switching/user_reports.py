"""Reports of users: what people say does not work; how many there are of late is a trigger's advice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from generation_service.database import db_now
from generation_service.database.operations import user_reports
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id, uuid7
from generation_service.jobs.queries import Page

_LATELY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserReport:
    """What somebody reports; `user_id` is who says it, as the operator who enters it knows them."""

    user_id: str
    message: str
    job_id: str | None = None


def add(connection: Connection, report: UserReport) -> Mapping[str, Any]:
    """Keep a report; the row."""
    values = {"id": uuid7(), "user_id": report.user_id, "job_id": report.job_id, "message": report.message}
    statement = insert(user_reports).values(**values, created_at=db_now()).returning(*user_reports.c)
    return dict(connection.execute(statement).mappings().one())


def count_lately(connection: Connection) -> int:
    """How many came in the last hour."""
    return int(connection.execute(_COUNT).scalar_one())


_COUNT = select(func.count()).select_from(user_reports).where(user_reports.c.created_at > db_now(-_LATELY_SECONDS))
LATELY = _COUNT.scalar_subquery()
"""How many came in the last hour, as an expression."""


def page(connection: Connection, *, limit: int, cursor: str | None) -> Page[Mapping[str, Any]]:
    """A page of reports, the newest first. Raises Refused `invalid_cursor` (422)."""
    if cursor is not None and not is_id(cursor):
        raise Refused("invalid_cursor", 422)
    wanted = select(user_reports).order_by(user_reports.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        wanted = wanted.where(user_reports.c.id < cursor)
    rows: list[Mapping[str, Any]] = [dict(row) for row in connection.execute(wanted).mappings()]
    return Page(rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None)
