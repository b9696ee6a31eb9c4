"""Questions as vectors; one that cannot be embedded now is answered by its words alone."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from generation_service.embeddings import Embedder, Spend
from generation_service.errors import PermanentError, ServiceError
from generation_service.retrieval.generations import Generation
from generation_service.retrieval.vectors import unit

if TYPE_CHECKING:
    from generation_service.retrieval.vectors import Matrix

_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 10.0
_LONGEST_QUESTION = 2_000  # characters that are embedded
_ANY_QUESTION = frozenset({"embedding_unauthorized", "embedding_forbidden", "embedding_not_found"})  # are refused so

_log = logging.getLogger(__name__)


class Questions:
    """Embeds questions by the model of the generation that is searched; one for each process.

    After a failure nobody asks for a while, so that a server that is away does not slow every search down. A refusal
    of one question is none of the next.
    """

    def __init__(
        self, embedder: Embedder, *, patience_seconds: float = _PATIENCE_SECONDS, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self._embedder = embedder
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._silent_until = 0.0
        self._told: set[str] = set()  # generations of which it was logged that their model does not answer

    async def vector(self, generation: Generation, question: str, spend: Spend) -> "Matrix | None":
        """The question's vector, of length 1; None where there is none to be had now."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            async with asyncio.timeout(self._patience_seconds):
                found = await self._embedder.embed(
                    [question[:_LONGEST_QUESTION]], spend=spend, model=generation.model, urgent=True
                )
        except (ServiceError, TimeoutError) as error:
            if not isinstance(error, PermanentError) or error.code in _ANY_QUESTION:
                self._silent_until = time.monotonic() + self._pause_seconds
            self._tell(generation, error.code if isinstance(error, ServiceError) else "embedding_timeout")
            return None
        if len(found[0]) != generation.dimension:
            self._tell(generation, "embedding_dimension")
            return None
        self._told.discard(generation.id)
        vector: Matrix = unit(found)[0]
        return vector

    def _tell(self, generation: Generation, code: str) -> None:
        if generation.id not in self._told:
            self._told.add(generation.id)
            _log.warning(
                "Searches use words only: the embedding model gives no vector for questions (%s)",
                code,
                extra={"action": "search_by_words_only", "model": generation.model},
            )
