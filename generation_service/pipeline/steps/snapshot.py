"""The step `snapshot`: the project, its earlier episodes and the request, as they stand when the job begins."""

from sqlalchemy import Connection, bindparam, select

from generation_service.database import Database
from generation_service.database.tables import documents
from generation_service.jobs.model import Job
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.pipeline import episodes, recipes
from generation_service.pipeline.shapes import KnownDocument, Snapshot

_EARLIER = 5  # episodes that continuity looks back on
_MOST_DOCUMENTS = 500

_DOCUMENTS = (
    select(documents.c.id, documents.c.file_name, documents.c.status)
    .where(documents.c.project_id == bindparam("project"))
    .order_by(documents.c.id)
    .limit(_MOST_DOCUMENTS)
)


class SnapshotStep:
    """Reads the project in one transaction."""

    name = Snapshot.step

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, run: StepRun) -> StepOutcome:
        taken = await self._database.look(lambda connection: _take(connection, run.job))
        return StepOutcome(output=taken.stored())


def _take(connection: Connection, job: Job) -> Snapshot:
    recipe = recipes.find(job.recipe)
    project_id = job.project_id or ""
    return Snapshot(
        project_id=project_id,
        recipe=recipe.name,
        request=dict(job.request),
        language=recipe.language(job.request),
        earlier=episodes.latest(connection, project_id, _EARLIER),
        documents=_documents(connection, project_id),
    )


def _documents(connection: Connection, project_id: str) -> list[KnownDocument]:
    mine = connection.execute(_DOCUMENTS, {"project": project_id})
    return [KnownDocument(id=row.id, name=row.file_name, status=row.status) for row in mine]
