"""The database's side of the ledger: what the counters say must be there, held against the rows that are.

Accepted, ended and reopened are counted in the transactions they count, apart from the rows; so a row that
vanished, came twice, or ended twice leaves a difference.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, null, select, union_all

from generation_service.database.operations import processes
from generation_service.database.tables import counters, episodes, events, jobs, projects
from generation_service.database.types import db_moment
from generation_service.jobs.model import ENDED, JobId
from generation_service.jobs.queries import PRUNED, counted_by_status

_LATELY_SECONDS = 3600.0
_LAST_EPISODES = 30
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
    """Count everything in one statement, so that what is committed meanwhile is in all of it or in none.

    Live rows are counted; those that have ended, and the tombstones, the database has tallied itself.
    """
    counted: dict[str, int] = {}
    rows: defaultdict[str, dict[str, int]] = defaultdict(dict)
    raised = select(counters.c.name, null(), func.sum(counters.c.value)).group_by(counters.c.name)
    parts: list[Any] = [raised, *counted_by_status().selects]
    for name, backend, number in connection.execute(union_all(*parts)):
        if backend:
            rows[backend][name] = int(number)
        else:
            counted[name] = int(number)
    return Counts(
        accepted=counted.get("accepted", 0),
        reopened=counted.get("reopened", 0),
        ended=counted.get("ended", 0),
        rows=dict(rows),
        pruned=counted.get(PRUNED, 0),
    )


def ended_twice(connection: Connection) -> set[JobId]:
    """Of the jobs that have ended lately, those whose events end them more often than somebody reopened them."""
    lately = (
        select(jobs.c.id)
        .where(jobs.c.completed_at > db_moment(-_LATELY_SECONDS))
        .order_by(jobs.c.completed_at.desc())
        .limit(_MOST_ENDED)
        .subquery()
    )
    reopened = and_(events.c.type == "retry", events.c.data["reason"].as_string() == "by hand")
    weight = case((events.c.type.in_(sorted(ENDED)), 1), (reopened, -1), else_=0)
    endings = select(func.sum(weight)).where(events.c.job_id == lately.c.id).scalar_subquery()  # job by job
    return {JobId(row.id) for row in connection.execute(select(lately.c.id).where(endings > 1))}


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


def miscounted_lately(connection: Connection) -> dict[str, int]:
    """As `miscounted_projects`, of the last episodes of the projects that have got some lately, however many more."""
    newest = select(episodes.c.project_id).order_by(episodes.c.id.desc()).limit(_LAST_EPISODES).subquery()
    count = projects.c.episode_count
    mine = episodes.c.project_id == projects.c.id
    last = select(func.count()).where(mine, episodes.c.number > count - _LAST_EPISODES).scalar_subquery()
    highest = select(func.max(episodes.c.number)).where(mine).scalar_subquery()
    wanted = case((count > _LAST_EPISODES, _LAST_EPISODES), else_=count)
    looked_at = (
        select(projects.c.id, (last - wanted).label("surplus"), (highest - count).label("beyond"))
        .where(projects.c.id.in_(select(newest.c.project_id)))
        .cte("looked_at")
    )
    found = select(looked_at).where((looked_at.c.surplus != 0) | (looked_at.c.beyond != 0))
    return {row.id: row.surplus for row in connection.execute(found)}


def held_by_the_dead(connection: Connection) -> int:
    """How many jobs run in a process that is known to have ended; their lease decides when they go on."""
    gone = select(processes.c.name).where(
        processes.c.ended_at.is_not(None),
        func.substr(jobs.c.holder, 1, func.length(processes.c.name)) == processes.c.name,
    )
    running = select(func.count()).where(jobs.c.status == "running", gone.exists())
    return int(connection.execute(running).scalar_one())
