"""Numbers of episodes: 1, 2, 3 ... in each project, whoever saves at the same time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from generation_service.database import Database
from generation_service.database.tables import episodes as table
from generation_service.database.tables import projects
from generation_service.jobs.model import Job, Json
from generation_service.jobs.ports import Ending
from generation_service.pipeline import episodes
from tests.pipeline.harness import Pipeline, job_for

CONTENT: Mapping[str, Json] = {
    "recipe": "script",
    "title": "밤",
    "language": "ko",
    "generator": "extractive-v1",
    "text": "글",
    "summary": "줄거리",
}


def job_in(project: str) -> Job:
    return job_for({"project_id": project, "episode_data": {"title": "밤"}})


async def save(database: Database, project: str, job: Job | None = None) -> tuple[str, int]:
    return await database.write(lambda connection: saved(connection, job or job_in(project)))


def saved(connection: Connection, job: Job) -> tuple[str, int]:
    [result] = episodes.save_all(connection, [(job, CONTENT)]).values()
    return result["episode_id"], result["episode_number"]


async def numbers(database: Database, project: str) -> list[int]:
    mine = select(table.c.number).where(table.c.project_id == project).order_by(table.c.number)
    return await database.read(lambda connection: list(connection.execute(mine).scalars()))


async def test_fifty_at_once_are_numbered_one_to_fifty(database: Database) -> None:
    saved = await asyncio.gather(*(save(database, "p") for _ in range(50)))

    assert sorted(number for _, number in saved) == list(range(1, 51))
    assert await numbers(database, "p") == list(range(1, 51))


async def test_each_project_counts_by_itself(database: Database) -> None:
    for project in ("a", "b", "a"):
        await save(database, project)

    assert (await numbers(database, "a"), await numbers(database, "b")) == ([1, 2], [1])


async def test_a_transaction_that_is_rolled_back_leaves_no_gap(database: Database) -> None:
    def failing(connection: Connection) -> None:
        saved(connection, job_in("p"))
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(failing)
    await save(database, "p")

    assert await numbers(database, "p") == [1]


async def test_a_job_saves_one_episode_only(database: Database) -> None:
    job = job_in("p")
    await save(database, "p", job)

    with pytest.raises(IntegrityError):
        await save(database, "p", job)
    assert await numbers(database, "p") == [1]


async def test_an_episode_is_found_by_its_job(database: Database) -> None:
    job = job_in("p")
    episode_id, number = await save(database, "p", job)

    found = await database.read(lambda connection: episodes.episode_of_job(connection, job.id))
    missing = await database.read(lambda connection: episodes.episode_of_job(connection, "another"))

    assert found is not None
    assert (found.id, found.number, found.content, found.job_id) == (episode_id, number, CONTENT, job.id)
    assert missing is None


async def test_only_the_last_episodes_are_looked_back_on(database: Database) -> None:
    for _ in range(7):
        await save(database, "p")
    await save(database, "q")

    earlier = await database.read(lambda connection: episodes.latest_of(connection, ["p", "q", "none"], 5))

    assert {name: len(found) for name, found in earlier.items()} == {"p": 5, "q": 1, "none": 0}
    assert [(one.number, one.summary) for one in earlier["p"]] == [(number, "줄거리") for number in range(3, 8)]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_did_not_complete_leaves_no_episode(sqlite_database: Database, status: Any) -> None:
    kind = Pipeline(sqlite_database).kind
    job = job_in("p")

    ending = Ending(job=job, status=status)
    results = await sqlite_database.write(lambda connection: kind.on_ended(connection, [ending]))

    assert results == [None]
    assert await numbers(sqlite_database, "p") == []


async def test_a_project_that_is_there_already_goes_on_counting(database: Database) -> None:
    row = {"id": "p", "user_id": "ana", "episode_count": 6, "created_at": job_in("p").created_at}
    await database.write(lambda connection: connection.execute(insert(projects).values(**row)).close())

    await save(database, "p")

    assert await numbers(database, "p") == [7]
