"""The step `snapshot`: the project, its earlier episodes and the request, as they stand when the job begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, String, func, select

from generation_service.database import Database
from generation_service.database.among import among
from generation_service.database.rowsets import ROWS, built_once, rowset
from generation_service.database.tables import documents
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.pipeline import episodes, recipes
from generation_service.pipeline.shapes import EarlierEpisode, KnownDocument, Snapshot

_EARLIER = 5  # episodes that continuity looks back on
_MOST_DOCUMENTS = 500


@dataclass(frozen=True, slots=True)
class _Project:
    """What there is of a project: its last episodes, the oldest first, and its first documents."""

    earlier: list[EarlierEpisode]
    documents: list[KnownDocument]


class SnapshotStep:
    """Reads the project in one transaction."""

    name = Snapshot.step

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, run: StepRun) -> StepOutcome:
        recipe, project_id = recipes.find(run.job.recipe), run.job.project_id or ""
        project = await self._database.look_up(_find_projects, project_id)
        taken = Snapshot(
            project_id=project_id,
            recipe=recipe.name,
            request=dict(run.job.request),
            language=recipe.language(run.job.request),
            earlier=project.earlier,
            documents=project.documents,
        )
        return StepOutcome(output=taken.stored())


def _find_projects(connection: Connection, project_ids: Sequence[str]) -> dict[str, _Project]:
    earlier = episodes.latest_of(connection, project_ids, _EARLIER)
    known: dict[str, list[KnownDocument]] = {project_id: [] for project_id in project_ids}
    for row in connection.execute(_documents(connection), {ROWS: [{"id": one} for one in project_ids]}):
        known[row.project_id].append(KnownDocument(id=row.id, name=row.file_name, status=row.status))
    return {one: _Project(earlier[one], known[one]) for one in project_ids}


@built_once
def _documents(dialect: str) -> Select[Any]:
    """The first documents of each project, in the order in which they came."""
    wanted = rowset(dialect, {"id": String(200)})
    place = func.row_number().over(partition_by=documents.c.project_id, order_by=documents.c.id).label("place")
    columns = (documents.c.project_id, documents.c.id, documents.c.file_name, documents.c.status, place)
    mine = select(*columns).where(among(dialect, documents.c.project_id, select(wanted.c.id))).subquery()
    return select(mine).where(mine.c.place <= _MOST_DOCUMENTS).order_by(mine.c.project_id, mine.c.id)
