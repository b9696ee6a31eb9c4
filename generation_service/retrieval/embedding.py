"""Embedding chunks for the generations in use, outside of any transaction."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from generation_service.database import Database
from generation_service.embeddings import Embedder, Spend
from generation_service.errors import ServiceError
from generation_service.retrieval import generations
from generation_service.retrieval.generations import Generation
from generation_service.retrieval.vectors import Vectors, unit

if TYPE_CHECKING:
    from generation_service.retrieval.vectors import Matrix

_log = logging.getLogger(__name__)


class ChunkEmbedder:
    """Makes the vectors of chunks; one for each process."""

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._told: set[str] = set()  # models of which it was logged that they give no vectors

    async def vectors(self, rows: Sequence[Mapping[str, object]], spend: Spend) -> list[Vectors]:
        """The vectors of these rows of chunks, for each generation in use; the first use begins one.

        What a model does not give now is left out: words find it at once, and reindexing fills the gap.
        """
        if not rows:
            return []
        found = await self._generations()
        models = {one.model: await self._embedded(one.model, rows, spend) for one in found}
        made = [await self.fitting(one, rows, models[one.model]) for one in found]
        return [one for one in made if one is not None]

    async def fitting(
        self, generation: Generation, rows: Sequence[Mapping[str, object]], matrix: "Matrix | None"
    ) -> Vectors | None:
        """The vectors as the generation's own; None where their dimension is not the generation's."""
        if matrix is None:
            return None
        dimension = matrix.shape[1]
        if generation.dimension is None:
            fits = await self._database.write(
                lambda connection: generations.agree_on_dimension(connection, generation.id, dimension)
            )
        else:
            fits = generation.dimension == dimension
        if not fits:
            _log.warning(
                "Vectors of %d numbers do not fit the index: `generation-service reindex --anew` builds another one",
                dimension,
                extra={"action": "embedding_misfit", "model": generation.model},
            )
            return None
        return Vectors(generation_id=generation.id, chunk_ids=[str(row["id"]) for row in rows], matrix=matrix)

    async def embed(self, model: str, rows: Sequence[Mapping[str, object]], spend: Spend) -> "Matrix":
        """The vectors of these rows by one model. Raises TransientError and PermanentError."""
        return unit(await self._embedder.embed([_words(row) for row in rows], spend=spend, model=model))

    async def _generations(self) -> list[Generation]:
        found = await self._database.read(generations.in_use)
        if not any(one.status == "active" for one in found):
            model = self._embedder.model
            await self._database.write(lambda connection: generations.begin(connection, model))
            found = await self._database.read(generations.in_use)
        return found

    async def _embedded(self, model: str, rows: Sequence[Mapping[str, object]], spend: Spend) -> "Matrix | None":
        try:
            matrix = await self.embed(model, rows, spend)
        except ServiceError as error:
            if model not in self._told:
                self._told.add(model)
                _log.warning(
                    "What is indexed now is found by its words only: the embedding model gives no vectors (%s)",
                    error.code,
                    extra={"action": "vectors_missing", "model": model},
                )
            return None
        self._told.discard(model)
        return matrix


def _words(row: Mapping[str, object]) -> str:
    return f"{row['heading']}\n{row['text']}" if row["heading"] else str(row["text"])
