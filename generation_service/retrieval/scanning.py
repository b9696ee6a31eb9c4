"""The nearest passages of a project, by comparing its every vector: with pgvector where it is, else with numpy.

An index of vectors that is filtered by a project silently finds too little, so there is none. Either
way of comparing names candidates only; one calculation orders them, so that the answer is the same.
"""

import heapq
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select, text
from sqlalchemy.exc import DBAPIError

from generation_service.database import Database
from generation_service.database.tables import chunk_vectors, chunks
from generation_service.errors import DatabaseUnavailable
from generation_service.retrieval.chunks import COLUMNS, passage
from generation_service.retrieval.model import Passage
from generation_service.retrieval.vectors import received, sent, similarities

if TYPE_CHECKING:
    from generation_service.retrieval.vectors import Matrix

CANDIDATES = 200
_BLOCK = 2_000  # vectors in memory at once
_AVAILABLE = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
_INSTALLED = text("SELECT to_regtype('vector') IS NOT NULL")
_INSTALL = text("CREATE EXTENSION IF NOT EXISTS vector")
_NEAREST = """
    SELECT chunks.id
    FROM chunk_vectors JOIN chunks ON chunks.id = chunk_vectors.chunk_id
    WHERE chunk_vectors.generation_id = :generation AND chunks.project_id = :project{kinds}
    ORDER BY CAST(chunk_vectors.vector AS vector) <#> CAST(:question AS vector), chunks.id COLLATE "C"
    LIMIT :most"""
_OF_KINDS = " AND chunks.source_kind IN :kinds"

_log = logging.getLogger(__name__)


class Scanner:
    """Compares vectors; it looks once whether the database can."""

    def __init__(self, database: Database, *, pgvector: bool | None = None) -> None:
        self._database = database
        self._pgvector = pgvector  # None: to be looked for

    async def nearest(
        self, generation_id: str, project_id: str, question: "Matrix", kinds: Sequence[str] | None
    ) -> list[Passage]:
        """Up to CANDIDATES passages, the most similar first; equal ones in the order of their ids."""
        if self._pgvector is None:
            self._pgvector = await self._can_compare()
        candidates = _by_pgvector if self._pgvector else _by_numpy

        def unit(connection: Connection) -> list[Passage]:
            ids = candidates(connection, generation_id, project_id, question, kinds)
            return _ordered(connection, generation_id, ids, question)

        return await self._database.read(unit)

    async def _can_compare(self) -> bool:
        if self._database.dialect != "postgresql":
            return False
        try:
            return await self._database.write(_install)
        except DatabaseUnavailable:
            raise
        except DBAPIError as error:  # not allowed to this role, or another process was doing it
            found = await self._database.read(lambda connection: bool(connection.execute(_INSTALLED).scalar_one()))
            if not found:
                _log.info("pgvector is not used: %s", type(error.orig).__name__, extra={"action": "pgvector_refused"})
            return found


def _install(connection: Connection) -> bool:
    if not connection.execute(_INSTALLED).scalar_one() and connection.execute(_AVAILABLE).scalar_one():
        connection.execute(_INSTALL)
    return bool(connection.execute(_INSTALLED).scalar_one())


def _by_pgvector(
    connection: Connection, generation_id: str, project_id: str, question: "Matrix", kinds: Sequence[str] | None
) -> list[str]:
    statement = text(_NEAREST.format(kinds=_OF_KINDS if kinds is not None else ""))
    values: dict[str, Any] = {
        "generation": generation_id,
        "project": project_id,
        "question": str(question.tolist()),
        "most": CANDIDATES,
    }
    if kinds is not None:
        statement = statement.bindparams(bindparam("kinds", expanding=True))
        values["kinds"] = list(kinds)
    return list(connection.execute(statement, values).scalars())


def _by_numpy(
    connection: Connection, generation_id: str, project_id: str, question: "Matrix", kinds: Sequence[str] | None
) -> list[str]:
    wanted = _vectors(connection, generation_id, chunks.c.project_id == project_id)
    if kinds is not None:
        wanted = wanted.where(chunks.c.source_kind.in_(kinds))
    best: list[tuple[float, str]] = []
    with connection.execute(wanted.execution_options(yield_per=_BLOCK)) as rows:
        for block in rows.partitions():
            scores = similarities(received(connection, [row.sent for row in block]), question)
            # Negative, so that of equal ones the smallest id is the best here, as it is in SQL.
            scored = zip((-scores).tolist(), (row.id for row in block), strict=True)
            best = heapq.nsmallest(CANDIDATES, [*best, *scored])
    return [chunk_id for _, chunk_id in best]


def _ordered(connection: Connection, generation_id: str, ids: Sequence[str], question: "Matrix") -> list[Passage]:
    if not ids:
        return []
    wanted = _vectors(connection, generation_id, chunks.c.id.in_(ids)).add_columns(*COLUMNS[1:])
    rows = connection.execute(wanted).all()
    if not rows:
        return []
    scores = similarities(received(connection, [row.sent for row in rows]), question).tolist()
    found = [passage(row, score) for row, score in zip(rows, scores, strict=True)]
    return sorted(found, key=lambda one: (-one.score, one.chunk_id))


def _vectors(connection: Connection, generation_id: str, wanted: ColumnElement[bool]) -> Select[Any]:
    joined = chunk_vectors.join(chunks, chunks.c.id == chunk_vectors.c.chunk_id)
    mine = chunk_vectors.c.generation_id == generation_id
    return select(chunks.c.id, sent(connection).label("sent")).select_from(joined).where(mine, wanted)
