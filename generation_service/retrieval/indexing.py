"""Indexing: from chunks to what is written into the index, tokens and (where a model is configured) vectors."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.embeddings import Embedder, Spend
from generation_service.retrieval.chunks import add_prepared, prepare_chunks
from generation_service.retrieval.embedding import ChunkEmbedder
from generation_service.retrieval.model import NewChunk
from generation_service.retrieval.vectors import Vectors, write_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `write` puts into the index: made outside of any transaction."""

    rows: Sequence[Mapping[str, object]]
    vectors: Sequence[Vectors] = ()

    def write(self, connection: Connection) -> int:
        """Index what is not indexed yet, by id; return how many chunks were added."""
        added = add_prepared(connection, self.rows)
        write_vectors(connection, self.vectors)
        return added


class Indexer:
    """Prepares chunks for the index; one for each process, so that its bounds hold for all of it."""

    def __init__(self, database: Database | None = None, embedder: Embedder | None = None) -> None:
        self._embedder = ChunkEmbedder(database, embedder) if database and embedder else None

    async def prepare(self, chunks: Iterable[NewChunk], spend: Spend) -> Prepared:
        """Make the rows, on a thread, as tokens take their time, then their vectors.

        Vectors that are not to be had now are left out; `ReindexKind` makes them later.
        """
        given = list(chunks)
        rows = await asyncio.to_thread(prepare_chunks, given) if given else []
        if self._embedder is None or not rows:
            return Prepared(rows=rows)
        return Prepared(rows=rows, vectors=await self._embedder.vectors(rows, spend))
