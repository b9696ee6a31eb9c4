"""Vectors of the index: of length 1, in 32-bit numbers, stored as each database likes them best.

numpy is imported where it is used: a process without an embedding model never pays for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, LargeBinary, func, select

from generation_service.database.tables import chunk_vectors, chunks
from generation_service.database.upsert import upsert
from generation_service.retrieval import generations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float32]

_WRITTEN_AT_ONCE = 1_000
_ARRAY_HEADER_BYTES = 20  # of a PostgreSQL array of one dimension, as it is sent
_DIGITS = 9  # of a similarity: what lies beyond them differs with the order of a sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Vectors of chunks for one generation: row by row of `matrix`."""

    generation_id: str
    chunk_ids: Sequence[str]
    matrix: "Matrix"


def unit(vectors: Sequence[Sequence[float]]) -> "Matrix":
    """Vectors as rows of length 1; one of nothing but zeros stays as it is, similar to nothing."""
    import numpy as np  # noqa: PLC0415 - see above

    matrix = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def write_vectors(connection: Connection, every: Sequence[Vectors]) -> None:
    """Store vectors, unless their generation or their chunk is gone by now, or has one already."""
    if not every:
        return
    living = generations.locked_in_use(connection)
    for one in every:
        if one.generation_id in living:
            for start in range(0, len(one.chunk_ids), _WRITTEN_AT_ONCE):
                _write(connection, one, slice(start, start + _WRITTEN_AT_ONCE))


def _write(connection: Connection, vectors: Vectors, some: slice) -> None:
    ids = vectors.chunk_ids[some]
    there = select(chunks.c.id).where(chunks.c.id.in_(ids)).with_for_update(read=True, key_share=True)
    known = set(connection.execute(there).scalars())
    rows = [
        {"generation_id": vectors.generation_id, "chunk_id": chunk_id, "vector": _stored(connection, row)}
        for chunk_id, row in zip(ids, vectors.matrix[some], strict=True)
        if chunk_id in known
    ]
    if rows:
        connection.execute(upsert(connection, chunk_vectors).on_conflict_do_nothing(), rows)


def _stored(connection: Connection, row: "Matrix") -> Any:
    return row.astype("<f4").tobytes() if connection.dialect.name == "sqlite" else row.tolist()


def sent(connection: Connection) -> ColumnElement[bytes]:
    """The column of vectors as `received` reads it: reading PostgreSQL's arrays number by number is slow."""
    column = chunk_vectors.c.vector
    return column if connection.dialect.name == "sqlite" else func.array_send(column, type_=LargeBinary)


def received(connection: Connection, values: Sequence[bytes]) -> "Matrix":
    """The vectors that were `sent`, row by row; they are of one dimension."""
    import numpy as np  # noqa: PLC0415 - see above

    together = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(values), -1)
    if connection.dialect.name == "sqlite":
        return together.view("<f4")
    numbers = together[:, _ARRAY_HEADER_BYTES:].reshape(len(values), -1, 8)[:, :, 4:]  # each behind its length
    return np.ascontiguousarray(numbers).view(">f4").reshape(len(values), -1).astype(np.float32)


def similarities(matrix: "Matrix", question: "Matrix") -> "NDArray[np.float64]":
    """The cosines of rows of length 1 and a question of length 1, the same on every database."""
    import numpy as np  # noqa: PLC0415 - see above

    found: NDArray[np.float64] = np.round(matrix.astype(np.float64) @ question.astype(np.float64), _DIGITS)
    return found
