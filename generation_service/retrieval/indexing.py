"""Indexing: from chunks to what is written into the index, tokens and (where a model is configured) vectors."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from generation_service.jobs.model import Usage
from generation_service.retrieval.chunks import add_prepared, prepare_chunks
from generation_service.retrieval.model import NewChunk

Spend = Callable[[Usage], None]
"""Records what a call to the embedding model cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `write` puts into the index: made outside of any transaction."""

    rows: Sequence[Mapping[str, object]]

    def write(self, connection: Connection) -> int:
        """Index what is not indexed yet, by id; return how many chunks were added."""
        return add_prepared(connection, self.rows)


class Indexer:
    """Prepares chunks for the index; one for each process, so that its bounds hold for all of it."""

    async def prepare(self, chunks: Iterable[NewChunk], spend: Spend) -> Prepared:  # noqa: ARG002 - for vectors
        """Make the rows, on a thread, as tokens take their time."""
        return Prepared(rows=await asyncio.to_thread(prepare_chunks, chunks))
