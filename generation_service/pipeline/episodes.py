"""Episodes: saved with the project's next number in the transaction that ends their job; read for what comes after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from generation_service.database import db_now
from generation_service.database.tables import episodes, projects
from generation_service.database.upsert import insert_if_absent
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job, Json
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


def save(connection: Connection, job: Job, content: Mapping[str, Json]) -> tuple[str, int]:
    """Save a job's result under the project's next number; return the episode's id and that number.

    The project's row is locked from here to the commit, so numbers have neither gap nor repeat;
    whoever holds a job's row takes the project's after it, never before.
    """
    project_id = job.project_id or ""
    absent = {"id": project_id, "user_id": job.user_id, "episode_count": 0, "created_at": db_now()}
    insert_if_absent(connection, projects, absent)
    counted = update(projects).where(projects.c.id == project_id).values(episode_count=projects.c.episode_count + 1)
    number: int = connection.execute(counted.returning(projects.c.episode_count)).scalar_one()
    episode_id = uuid7()
    connection.execute(
        insert(episodes).values(
            id=episode_id,
            project_id=project_id,
            number=number,
            job_id=job.id,
            recipe=content["recipe"],
            title=content["title"],
            language=content["language"],
            generator=content["generator"],
            content=dict(content),
            created_at=db_now(),
        )
    )
    return episode_id, number


def latest(connection: Connection, project_id: str, limit: int) -> list[EarlierEpisode]:
    """The last `limit` episodes of a project, the oldest first."""
    columns = (episodes.c.number, episodes.c.title, episodes.c.content)
    mine = select(*columns).where(episodes.c.project_id == project_id).order_by(episodes.c.number.desc()).limit(limit)
    found = [
        EarlierEpisode(number=row.number, title=row.title, summary=str(row.content.get("summary") or ""))
        for row in connection.execute(mine)
    ]
    return found[::-1]


def episode_of_job(connection: Connection, job_id: str) -> Episode | None:
    """What a job has made, with its content; None where it has made nothing yet."""
    row = connection.execute(select(episodes).where(episodes.c.job_id == job_id)).mappings().one_or_none()
    return Episode(**row) if row else None
