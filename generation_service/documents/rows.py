"""The rows of documents: found, and moved from state to state by compare-and-set."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from generation_service.database import db_now
from generation_service.database.tables import documents
from generation_service.documents.model import Document
from generation_service.retrieval import Prepared, remove_chunks

_NOT_READ_YET = documents.c.status.in_(["pending", "processing"])


def document_of(row: Row[Any]) -> Document:
    """The value of a row that holds every column of `documents`."""
    return Document(**{column.key: row._mapping[column] for column in documents.c})  # noqa: SLF001 - SQLAlchemy's public name for it


def find(connection: Connection, *conditions: ColumnElement[bool]) -> Document | None:
    """The one document that meets the conditions, or None."""
    row = connection.execute(select(documents).where(*conditions)).one_or_none()
    return document_of(row) if row else None


def find_same(connection: Connection, values: Mapping[str, Any]) -> Document | None:
    """The first document of the project with the content of `values`, read in the same way, that has not failed.

    None that goes when its program is deleted, which only one that is read outlives. It stays until the
    transaction ends.
    """
    alike = ("user_id", "project_id", "sha256", "use_multimodal")
    same = [documents.c[name] == values[name] for name in alike]
    stays = or_(documents.c.program_id.is_(None), documents.c.status == "completed")
    wanted = select(documents).where(*same, documents.c.status != "failed", stays).order_by(documents.c.id).limit(1)
    row = connection.execute(wanted.with_for_update(read=True, key_share=True)).one_or_none()
    return document_of(row) if row else None


def add(connection: Connection, values: Mapping[str, object]) -> None:
    """Add a document that waits to be read."""
    connection.execute(insert(documents).values(**values, status="pending", progress=0.0, created_at=db_now()))


def start(connection: Connection, document_id: str, job_id: str) -> bool:
    """Let `job_id` read a document that is not read yet, whoever else does; False where it is read or gone."""
    return _hold(connection, document_id, job_id, _NOT_READ_YET)


def take(connection: Connection, seen: Document, job_id: str) -> bool:
    """As `start`, but only where the document is still as it was seen; False where somebody was faster."""
    as_seen = (documents.c.status == seen.status) & documents.c.held_by.is_not_distinct_from(seen.held_by)
    return _hold(connection, seen.id, job_id, as_seen)


def show_progress(connection: Connection, document_id: str, percent: float) -> bool:
    """Say how far reading is, 0 to 100."""
    return _move(connection, document_id, documents.c.status == "processing", progress=percent)


def complete(connection: Connection, document_id: str, findings: Mapping[str, object], prepared: Prepared) -> bool:
    """End the reading and put the chunks in the index, both or neither; False where it had ended, or is gone.

    `findings` are values of the columns `pages`, `characters` and `language`.
    """
    ended = _move(
        connection,
        document_id,
        _NOT_READ_YET,
        status="completed",
        progress=100.0,
        held_by=None,
        completed_at=db_now(),
        **findings,
    )
    if ended:
        remove_chunks(connection, "document", document_id)
        prepared.write(connection)
    return ended


def fail(connection: Connection, document_id: str, code: str, error: str, *, holder: str | None = None) -> bool:
    """End the reading without a result; False where it had ended, or the document is gone.

    With `holder` only while that job holds the document: a guest's verdict gives way to the document's own job.
    """
    condition = _NOT_READ_YET if holder is None else _NOT_READ_YET & (documents.c.held_by == holder)
    ended = {"status": "failed", "held_by": None, "code": code, "error": error, "completed_at": db_now()}
    return _move(connection, document_id, condition, **ended)


def release(connection: Connection, document_id: str, holder: str) -> bool:
    """Let a document that `holder` holds wait to be read again; False where it holds it no more."""
    mine = (documents.c.status == "processing") & (documents.c.held_by == holder)
    return _move(connection, document_id, mine, status="pending", held_by=None)


def reopen(connection: Connection, document_id: str) -> bool:
    """Let a failed document be read again; False where it has not failed."""
    fresh = dict.fromkeys(("held_by", "code", "error", "started_at", "completed_at"))
    return _move(connection, document_id, documents.c.status == "failed", status="pending", progress=0.0, **fresh)


def _hold(connection: Connection, document_id: str, job_id: str, condition: ColumnElement[bool]) -> bool:
    first_start = func.coalesce(documents.c.started_at, db_now())
    return _move(connection, document_id, condition, status="processing", held_by=job_id, started_at=first_start)


def _move(connection: Connection, document_id: str, condition: ColumnElement[bool], **changes: Any) -> bool:
    moved = connection.execute(update(documents).where(documents.c.id == document_id, condition).values(**changes))
    return moved.rowcount > 0
