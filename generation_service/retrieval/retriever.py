"""Retrieval as the rest of the service asks for it."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from generation_service.database import Database
from generation_service.embeddings import Embedder, Spend
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.model import Usage
from generation_service.retrieval import generations
from generation_service.retrieval.finding import CANDIDATES, find_passages
from generation_service.retrieval.fusion import distinct, fused
from generation_service.retrieval.model import Passage, SourceKind
from generation_service.retrieval.questions import Questions
from generation_service.retrieval.scanning import Scanner

_FUSED = 60  # passages of each ranking that are fused, or twice as many as are asked for

_log = logging.getLogger(__name__)


class Retriever:
    """Finds the passages of a project that answer a question; one for each process."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None = None,
        *,
        questions: Questions | None = None,
        scanner: Scanner | None = None,
    ) -> None:
        self._database = database
        self._questions = questions or (Questions(embedder) if embedder else None)
        self._scanner = scanner or Scanner(database)

    async def find(
        self,
        project_id: str,
        query: str,
        limit: int = 12,
        source_kinds: Iterable[SourceKind] | None = None,
        *,
        spend: Spend | None = None,
    ) -> list[Passage]:
        """The `limit` best passages, the best first, each text once; [] where nothing matches.

        By words, and by meaning where an embedding model is configured: its being away is no error.
        """
        kinds = None if source_kinds is None else sorted(source_kinds)
        words, near = await asyncio.gather(
            find_passages(self._database, project_id, query, CANDIDATES, kinds),
            self._nearest(project_id, query, kinds, spend or _unrecorded),
        )
        by_words = distinct(words)
        if not near:
            return by_words[:limit]
        deep = max(_FUSED, 2 * limit)
        return fused([by_words[:deep], distinct(near)[:deep]])[:limit]

    async def _nearest(
        self, project_id: str, query: str, kinds: Sequence[SourceKind] | None, spend: Spend
    ) -> list[Passage]:
        if self._questions is None or not query.strip() or kinds == []:
            return []
        generation = await self._database.read(generations.active)
        if generation is None or generation.dimension is None:
            return []
        question = await self._questions.vector(generation, query, spend)
        if question is None:
            return []
        try:
            return await self._scanner.nearest(generation.id, project_id, question, kinds)
        except (SQLAlchemyError, DatabaseUnavailable, ArithmeticError, ValueError) as error:
            _log.warning(
                "A search uses words only: comparing vectors failed (%s)",
                type(error).__name__,
                extra={"action": "vectors_not_compared", "model": generation.model},
            )
            return []


def _unrecorded(_usage: Usage) -> None:
    """A search outside of any job is nobody's expense."""
