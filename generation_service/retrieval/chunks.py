"""Writing and reading the index's rows; the databases keep their own search structure in step by themselves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, String, delete, exists, select

from generation_service.database import Database
from generation_service.database.rowsets import ROWS, built_once, rowset
from generation_service.database.tables import chunks
from generation_service.database.upsert import upsert
from generation_service.retrieval.model import NewChunk, Passage, SourceKind
from generation_service.retrieval.tokens import TOKENIZER, scope, tokens

COLUMNS = (
    chunks.c.id,
    chunks.c.source_kind,
    chunks.c.source_id,
    chunks.c.label,
    chunks.c.heading,
    chunks.c.page,
    chunks.c.text,
)

_KINDS: tuple[SourceKind, ...] = ("document", "job")


def prepare_chunks(chunks_to_add: Iterable[NewChunk]) -> list[Mapping[str, object]]:
    """The rows of chunks, tokens and all: the costly part of indexing, which needs no transaction."""
    return [_row(chunk) for chunk in chunks_to_add]


def add_prepared(connection: Connection, rows: Sequence[Mapping[str, object]]) -> int:
    """Index the rows that are not indexed yet, by id; return how many were added."""
    if not rows:
        return 0
    statement = upsert(connection, chunks).on_conflict_do_nothing(index_elements=[chunks.c.id])
    return len(connection.execute(statement.returning(chunks.c.rowid), rows).all())


def add_chunks(connection: Connection, chunks_to_add: Sequence[NewChunk]) -> int:
    """Index what is not indexed yet, by id; return how many were added."""
    return add_prepared(connection, prepare_chunks(chunks_to_add))


def remove_chunks(connection: Connection, source_kind: SourceKind, source_id: str) -> int:
    """Take everything of one source out of the index; return how many chunks that were."""
    mine = (chunks.c.source_kind == source_kind) & (chunks.c.source_id == source_id)
    return connection.execute(delete(chunks).where(mine)).rowcount


def chunks_of(connection: Connection, source_kind: SourceKind, source_id: str) -> list[Passage]:
    """All chunks of one source in their order."""
    mine = (chunks.c.source_kind == source_kind) & (chunks.c.source_id == source_id)
    return passages(connection, select(*COLUMNS).where(mine).order_by(chunks.c.ordinal))


def source_kinds(connection: Connection, project_ids: Sequence[str]) -> dict[str, frozenset[SourceKind]]:
    """The kinds of sources that each of these projects has any chunks of."""
    rows = connection.execute(_source_kinds(connection), {ROWS: [{"id": one} for one in project_ids]})
    return {row["id"]: frozenset(kind for kind in _KINDS if row[kind]) for row in rows.mappings()}


@built_once
def _source_kinds(dialect: str) -> Select[Any]:
    wanted = rowset(dialect, {"id": String(200)}).c
    there = (exists().where(chunks.c.project_id == wanted.id, chunks.c.source_kind == kind) for kind in _KINDS)
    return select(wanted.id, *(one.label(kind) for one, kind in zip(there, _KINDS, strict=True)))


async def project_chunks(
    database: Database, project_id: str, limit: int, source_kinds: Iterable[SourceKind] | None = None
) -> list[Passage]:
    """At most `limit` chunks of a project, source by source in reading order, the oldest source first.

    Where they are more, each source gives its beginning, so that a long one leaves room for the others.
    """
    wanted = chunks.c.project_id == project_id
    if source_kinds is not None:
        wanted &= chunks.c.source_kind.in_(sorted(source_kinds))
    turn = (chunks.c.ordinal, chunks.c.source_id, chunks.c.id)
    first = select(*COLUMNS, chunks.c.ordinal).where(wanted).order_by(*turn).limit(limit).subquery()
    ordered = select(first).order_by(first.c.source_kind, first.c.source_id, first.c.ordinal, first.c.id)
    return await database.read(lambda connection: passages(connection, ordered))


def passages(connection: Connection, statement: Select[Any]) -> list[Passage]:
    """Run a statement whose columns include a passage's."""
    return [passage(row) for row in connection.execute(statement)]


def passage(row: Row[Any], score: float = 0.0) -> Passage:
    """A row of the index as a passage."""
    return Passage(
        chunk_id=row.id,
        source_kind=row.source_kind,
        source_id=row.source_id,
        label=row.label,
        heading=row.heading,
        page=row.page,
        text=row.text,
        score=score,
    )


def _row(chunk: NewChunk) -> Mapping[str, object]:
    # What a person looks for stands in the heading as often as below it.
    words = tokens(f"{chunk.heading}\n{chunk.text}" if chunk.heading else chunk.text)
    return {
        "id": chunk.id,
        "project_id": chunk.project_id,
        "source_kind": chunk.source_kind,
        "source_id": chunk.source_id,
        "label": _storable(chunk.label),
        "ordinal": chunk.ordinal,
        "heading": _storable(chunk.heading) if chunk.heading else None,
        "page": chunk.page,
        "text": _storable(chunk.text),
        "tokens": " ".join([scope(chunk.project_id), *words]),
        "token_count": len(words),
        "tokenizer": TOKENIZER,
    }


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
