"""Episodes: saved with the project's next number in the transaction that ends their job; read for what comes after."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, Integer, Select, String, Text, insert, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from generation_service.database import db_now
from generation_service.database.rowsets import ROWS, Columns, built_once, rowset
from generation_service.database.tables import episodes, projects
from generation_service.database.types import Json as JsonColumn
from generation_service.database.upsert import insert_if_absent
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job, JobId, Json
from generation_service.pipeline.shapes import EarlierEpisode


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A saved result."""

    id: str
    project_id: str
    number: int
    job_id: str
    recipe: str
    title: str
    language: str
    generator: str
    created_at: datetime
    content: Mapping[str, Json]


def save_all(
    connection: Connection, written: Sequence[tuple[Job, Mapping[str, Json]]]
) -> dict[JobId, Mapping[str, Json]]:
    """Save what jobs have written, each under the next number of its project; return each one's result.

    The projects' rows are locked from here to the commit, in order, so numbers have neither gap nor
    repeat; whoever holds a job's row takes the project's after it, never before.
    """
    if not written:
        return {}
    numbers = _next_numbers(connection, [job for job, _ in written])
    rows = [
        {
            "id": uuid7(),
            "project_id": job.project_id or "",
            "number": number,
            "job_id": job.id,
            **{name: content[name] for name in ("recipe", "title", "language", "generator")},
            "content": dict(content),
        }
        for (job, content), number in zip(written, numbers, strict=True)
    ]
    connection.execute(_insert(connection), {ROWS: rows})
    return {JobId(row["job_id"]): {"episode_id": row["id"], "episode_number": row["number"]} for row in rows}


def _next_numbers(connection: Connection, written: Sequence[Job]) -> list[int]:
    """A number for each job, counted on in its project."""
    owners = {job.project_id or "": job.user_id for job in written}
    added = Counter(job.project_id or "" for job in written)
    rows = [{"id": project_id, "added": count} for project_id, count in added.items()]
    there = connection.execute(_lock(connection), {ROWS: rows}).scalars()
    for missing in sorted(set(owners) - set(there)):
        absent = {"id": missing, "user_id": owners[missing], "episode_count": 0, "created_at": db_now()}
        insert_if_absent(connection, projects, absent)
    counted = connection.execute(_count(connection), {ROWS: rows})
    upcoming = {row.id: itertools.count(row.episode_count - added[row.id] + 1) for row in counted}
    return [next(upcoming[job.project_id or ""]) for job in written]


@built_once
def _lock(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, {"id": String(200)})
    mine = select(projects.c.id).where(projects.c.id.in_(select(wanted.c.id)))
    return mine.order_by(projects.c.id).with_for_update(key_share=True)


@built_once
def _count(dialect: str) -> ReturningUpdate[Any]:
    wanted = rowset(dialect, {"id": String(200), "added": Integer()}).c
    raised = update(projects).where(projects.c.id == wanted.id)
    return raised.values(episode_count=projects.c.episode_count + wanted.added).returning(
        projects.c.id, projects.c.episode_count
    )


@built_once
def _insert(dialect: str) -> Insert:
    given: Columns = {"id": String(36), "project_id": String(200), "number": Integer(), "job_id": String(36)}
    given = {**given, "recipe": String(64), "title": Text(), "language": String(8), "generator": String(200)}
    given = {**given, "content": JsonColumn}
    return insert(episodes).from_select([*given, "created_at"], select(*rowset(dialect, given).c, db_now()))


def latest_of(connection: Connection, project_ids: Sequence[str], limit: int) -> dict[str, list[EarlierEpisode]]:
    """The last `limit` episodes of each of these projects, the oldest first."""
    found: dict[str, list[EarlierEpisode]] = {project_id: [] for project_id in project_ids}
    wanted = [{"id": project_id, "back": back} for project_id in project_ids for back in range(limit)]
    for row in connection.execute(_latest(connection), {ROWS: wanted}):
        episode = EarlierEpisode(number=row.number, title=row.title, summary=row.summary or "")
        found[row.project_id].append(episode)
    return found


@built_once
def _latest(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, {"id": String(200), "back": Integer()}).c
    summary = episodes.c.content["summary"].as_string().label("summary")
    return (
        select(episodes.c.project_id, episodes.c.number, episodes.c.title, summary)
        .where(projects.c.id == wanted.id)
        # There is no gap, and an equation is what a planner knows an index for.
        .where(episodes.c.project_id == projects.c.id, episodes.c.number == projects.c.episode_count - wanted.back)
        .order_by(episodes.c.project_id, episodes.c.number)
    )


def episode_of_job(connection: Connection, job_id: str) -> Episode | None:
    """What a job has made, with its content; None where it has made nothing yet."""
    row = connection.execute(select(episodes).where(episodes.c.job_id == job_id)).mappings().one_or_none()
    return Episode(**row) if row else None


def episode_of_pruned_job(connection: Connection, job_id: str, user_id: str) -> Episode | None:
    """As `episode_of_job`, where only the project is left to say whose it is; None for another user's too."""
    owned = episodes.join(projects, projects.c.id == episodes.c.project_id)
    kept = select(episodes).select_from(owned).where(episodes.c.job_id == job_id, projects.c.user_id == user_id)
    row = connection.execute(kept).mappings().one_or_none()
    return Episode(**row) if row else None
