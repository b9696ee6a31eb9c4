"""Retrieval as the rest of the service asks for it."""

from collections.abc import Iterable

from generation_service.database import Database
from generation_service.retrieval.finding import find_passages
from generation_service.retrieval.model import Passage, SourceKind


class Retriever:
    """Finds the passages of a project that answer a question."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, project_id: str, query: str, limit: int = 12, source_kinds: Iterable[SourceKind] | None = None
    ) -> list[Passage]:
        """The `limit` best passages, the best first; [] where nothing matches."""
        return await find_passages(self._database, project_id, query, limit, source_kinds)
