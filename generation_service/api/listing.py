"""What lists need besides their rows: steps of many jobs, and episodes, in one query each."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from generation_service.database import Database
from generation_service.database.tables import episodes, projects, steps
from generation_service.errors import Refused
from generation_service.jobs.model import JobId, StepRecord
from generation_service.jobs.queries import Page


async def steps_of(database: Database, job_ids: Sequence[JobId]) -> Mapping[JobId, list[StepRecord]]:
    """The steps that were ever started, by job, in order; without their outputs, which can be long."""
    if not job_ids:
        return {}
    columns = [column for column in steps.c if column.name != "output"]

    def unit(connection: Connection) -> dict[JobId, list[StepRecord]]:
        found: dict[JobId, list[StepRecord]] = {}
        rows = connection.execute(select(*columns).where(steps.c.job_id.in_(job_ids)).order_by(steps.c.ordinal))
        for row in rows.mappings():
            found.setdefault(row["job_id"], []).append(StepRecord(output=None, **row))
        return found

    return await database.read(unit)


async def list_episodes(
    database: Database, project_id: str, user_id: str, *, limit: int, after: int
) -> Page[Mapping[str, Any]]:
    """A page of a project's episodes, in the order of their numbers, from behind `after`.

    Empty for a project that nobody has used yet. Raises Refused `project_not_found` (404) for another user's.
    """
    wanted = select(*_SHOWN).where(episodes.c.project_id == project_id, episodes.c.number > after)

    def unit(connection: Connection) -> list[Mapping[str, Any]]:
        _check_owner(connection, project_id, user_id)
        rows = connection.execute(wanted.order_by(episodes.c.number).limit(limit + 1))
        return [dict(row) for row in rows.mappings()]

    found = await database.read(unit)
    return Page(found[:limit], str(found[limit - 1]["number"]) if len(found) > limit else None)


async def find_episode(database: Database, project_id: str, user_id: str, number: int) -> Mapping[str, Any]:
    """One episode. Raises Refused: `project_not_found` and `episode_not_found` (404)."""

    def unit(connection: Connection) -> Mapping[str, Any]:
        _check_owner(connection, project_id, user_id)
        wanted = select(*_SHOWN).where(episodes.c.project_id == project_id, episodes.c.number == number)
        row = connection.execute(wanted).mappings().one_or_none()
        if row is None:
            raise Refused("episode_not_found", 404)
        return dict(row)

    return await database.read(unit)


_SHOWN = [column for column in episodes.c if column.name != "content"]


def _check_owner(connection: Connection, project_id: str, user_id: str) -> None:
    owner = connection.execute(select(projects.c.user_id).where(projects.c.id == project_id)).scalar_one_or_none()
    if owner not in (None, user_id):
        raise Refused("project_not_found", 404)
