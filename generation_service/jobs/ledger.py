"""The database's side of the ledger: what the counters say must be there, held against the rows that are.

Accepted, ended and reopened are counted in the transactions they count, apart from the rows; so a row that
vanished, came twice, or ended twice leaves a difference.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, literal, null, select, union_all

from generation_service.database import db_now
from generation_service.database.operations import processes
from generation_service.database.tables import counters, episodes, events, jobs, projects, pruned_jobs
from generation_service.jobs.model import ENDED, JobId

_LATELY_SECONDS = 3600.0
_MOST_ENDED = 500  # so many of the jobs that have ended lately are held against their events


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counters, and rows by backend and status, of one instant; `pruned` had ended before they were deleted."""

    accepted: int
    reopened: int
    ended: int
    rows: Mapping[str, Mapping[str, int]]
    pruned: int

    def of_status(self, *statuses: str) -> int:
        """How many rows are in one of these states."""
        return sum(by_status.get(status, 0) for by_status in self.rows.values() for status in statuses)

    @property
    def rows_missing(self) -> int:
        """Jobs that were accepted and have no row; below 0: rows that nobody accepted."""
        rows = sum(sum(by_status.values()) for by_status in self.rows.values())
        return self.accepted - rows - self.pruned

    @property
    def endings_too_many(self) -> int:
        """Endings that no row explains; below 0: rows that have ended though no ending was counted."""
        return self.ended - self.of_status(*ENDED) - self.pruned - self.reopened

    @property
    def lost(self) -> int:
        return max(0, self.rows_missing)

    @property
    def duplicated(self) -> int:
        """Endings too many, but for those of rows that are lost."""
        return max(0, self.endings_too_many - self.lost)

    @property
    def unexplained(self) -> int:
        """Rows that nobody accepted, or that have ended though no ending was counted."""
        return max(0, -self.rows_missing, -self.endings_too_many)


def count(connection: Connection) -> Counts:
    """Count everything in one statement, so that what is committed meanwhile is in all of it or in none."""
    unnamed = null().label("backend")
    parts: list[Any] = [
        select(literal("counter"), counters.c.name, unnamed, func.sum(counters.c.value)).group_by(counters.c.name),
        select(literal("row"), jobs.c.status, jobs.c.backend, func.count()).group_by(jobs.c.status, jobs.c.backend),
        select(literal("pruned"), literal(""), unnamed, func.count()).select_from(pruned_jobs),
    ]
    counted: dict[str, int] = {}
    rows: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for part, name, backend, number in connection.execute(union_all(*parts)):
        if part == "row":
            rows[backend][name] = int(number)
        else:
            counted[name] = int(number)
    return Counts(
        accepted=counted.get("accepted", 0),
        reopened=counted.get("reopened", 0),
        ended=counted.get("ended", 0),
        rows=dict(rows),
        pruned=counted.get("", 0),
    )


def ended_twice(connection: Connection) -> set[JobId]:
    """Of the jobs that have ended lately, those whose events end them more often than somebody reopened them."""
    lately = (
        select(jobs.c.id)
        .where(jobs.c.completed_at > db_now(-_LATELY_SECONDS))
        .order_by(jobs.c.completed_at.desc())
        .limit(_MOST_ENDED)
        .subquery()
    )
    reopened = and_(events.c.type == "retry", events.c.data["reason"].as_string() == "by hand")
    weight = case((events.c.type.in_(sorted(ENDED)), 1), (reopened, -1), else_=0)
    more = (
        select(events.c.job_id)
        .join(lately, lately.c.id == events.c.job_id)
        .group_by(events.c.job_id)
        .having(func.sum(weight) > 1)
    )
    return {JobId(row.job_id) for row in connection.execute(more)}


def miscounted_projects(connection: Connection) -> dict[str, int]:
    """Projects whose episodes are not 1, 2, 3 ... to their count: how many too many, or below 0 too few."""
    surplus = func.count() - projects.c.episode_count
    rows = connection.execute(
        select(projects.c.id, surplus.label("surplus"))
        .join(episodes, episodes.c.project_id == projects.c.id)
        .group_by(projects.c.id, projects.c.episode_count)
        .having((func.count() != projects.c.episode_count) | (func.max(episodes.c.number) != func.count()))
    )
    return {row.id: row.surplus for row in rows}


def held_by_the_dead(connection: Connection) -> int:
    """How many jobs run in a process that is known to have ended; their lease decides when they go on."""
    gone = select(processes.c.name).where(
        processes.c.ended_at.is_not(None),
        func.substr(jobs.c.holder, 1, func.length(processes.c.name)) == processes.c.name,
    )
    running = select(func.count()).where(jobs.c.status == "running", gone.exists())
    return int(connection.execute(running).scalar_one())
