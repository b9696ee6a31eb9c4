"""How programs stand: derived from their files in one query each time, never stored."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select, true

from generation_service.database import db_now
from generation_service.database.programs import program_files, programs
from generation_service.programs.model import (
    FILE_STATUSES,
    FileStatus,
    Program,
    ProgramState,
    ProgramStatus,
    Stage,
    StageSummary,
)

_WINDOW_SECONDS = 60.0  # the pace of the last minute says how long the rest will take
_READ_SHARE = 0.5  # of a file's work, once it is read and not indexed

PROGRAM_COLUMNS = tuple(programs.c[name] for name in Program.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Group:
    """The files of one program that are in one status and stage."""

    status: FileStatus
    stage: Stage
    count: int
    recent: int  # that were begun, and ended in the last minute
    first_start: datetime | None
    now: datetime


def program_of(row: Row[Any]) -> Program:
    """The value of a row that holds `PROGRAM_COLUMNS`."""
    return Program(**{name: getattr(row, name) for name in Program.__dataclass_fields__})


def visible_to(user_id: str | None) -> ColumnElement[bool]:
    """Whether a program is there for this user: it is theirs and not deleted. None: where all callers are one."""
    mine = true() if user_id is None else programs.c.user_id == user_id
    return and_(mine, programs.c.deleted_at.is_(None))


def states(
    connection: Connection, wanted: Sequence[Program], next_retries: Mapping[str, datetime]
) -> list[ProgramState]:
    """How these programs stand; `next_retries` by program id is passed on."""
    groups = _groups(connection, [program.id for program in wanted])
    return [_state(program, groups[program.id], next_retries.get(program.id)) for program in wanted]


def _groups(connection: Connection, program_ids: Sequence[str]) -> Mapping[str, list[_Group]]:
    lately = (program_files.c.ended_at > db_now(-_WINDOW_SECONDS)) & program_files.c.started_at.is_not(None)
    recent = case((lately, 1), else_=0)
    counted = (
        select(
            program_files.c.program_id,
            program_files.c.status,
            program_files.c.stage,
            func.count().label("count"),
            func.sum(recent).label("recent"),
            func.min(program_files.c.started_at).label("first_start"),
            db_now().label("now"),
        )
        .where(program_files.c.program_id.in_(program_ids))
        .group_by(program_files.c.program_id, program_files.c.status, program_files.c.stage)
    )
    found: defaultdict[str, list[_Group]] = defaultdict(list)
    for row in connection.execute(counted):
        found[row.program_id].append(
            _Group(row.status, row.stage, row._mapping["count"], row.recent, row.first_start, row.now)  # noqa: SLF001 - SQLAlchemy's public name for it; `row.count` is a method
        )
    return found


def _state(program: Program, groups: Sequence[_Group], next_retry_at: datetime | None) -> ProgramState:
    counts = {status: sum(one.count for one in groups if one.status == status) for status in FILE_STATUSES}
    live = counts["pending"] + counts["processing"]
    failed = {stage: _count(groups, "failed", stage) for stage in ("preprocessing", "document")}
    came_through = sum(one.count for one in groups if one.stage == "document")
    return ProgramState(
        program=program,
        status=_status(counts, live),
        counts=counts,
        preprocessing=StageSummary(total=sum(counts.values()), success=came_through, failed=failed["preprocessing"]),
        document_storage=StageSummary(total=came_through, success=counts["completed"], failed=failed["document"]),
        progress=_progress(groups, counts),
        seconds_left=_seconds_left(groups, live),
        next_retry_at=next_retry_at,
    )


def _status(counts: Mapping[FileStatus, int], live: int) -> ProgramStatus:
    if live:
        return "processing"
    return "completed" if counts["completed"] else "failed"


def _count(groups: Sequence[_Group], status: str, stage: str) -> int:
    return sum(one.count for one in groups if (one.status, one.stage) == (status, stage))


def _progress(groups: Sequence[_Group], counts: Mapping[FileStatus, int]) -> float:
    half_way = sum(one.count for one in groups if one.stage == "document" and one.status in {"pending", "processing"})
    done = counts["completed"] + counts["failed"] + half_way * _READ_SHARE
    return round(100 * done / max(1, sum(counts.values())), 1)


def _seconds_left(groups: Sequence[_Group], live: int) -> float | None:
    """What the rest takes at the pace of the last minute, or of the time since the first file was begun."""
    starts = [one.first_start for one in groups if one.first_start is not None]
    ended = sum(one.recent for one in groups)
    if not live or not starts or not ended:
        return None
    lasted = min(_WINDOW_SECONDS, (groups[0].now - min(starts)).total_seconds())
    return round(live * lasted / ended, 1)
