"""Removal: a document goes with everything that belongs to it, whoever works on it, and its bytes go for certain."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from generation_service.database import Database, db_now
from generation_service.database.programs import program_files, programs
from generation_service.database.tables import chunks, documents, generation_sources, jobs
from generation_service.errors import Refused
from generation_service.jobs.ids import uuid7
from generation_service.jobs.model import Job
from generation_service.pipeline import episodes
from tests.documents import files
from tests.documents.conftest import Library
from tests.documents.test_sweeping import doomed

SCRIPT = files.SCRIPT.encode()


def count_of(database: Database, column: Any) -> int:
    return int(database.read_now(lambda connection: connection.execute(select(func.count(column))).scalar_one()))


async def test_a_document_goes_with_its_chunks_and_its_bytes(library: Library, database: Database) -> None:
    document, _ = await library.read(SCRIPT)
    other, _ = await library.read(b"another text", "b.txt")

    gone = await library.documents.remove(document.id, "ana")

    assert gone.chunks > 0
    assert gone.objects == 2  # what was uploaded, and what was read of it
    assert [key for key in library.stored() if document.id in key] == []
    assert [key for key in library.stored() if other.id in key] != []
    assert count_of(database, documents.c.id) == 1
    remaining = select(chunks.c.source_id).distinct()
    assert database.read_now(lambda connection: connection.execute(remaining).scalars().all()) == [other.id]
    with pytest.raises(Refused) as caught:
        await library.documents.remove(document.id, "ana")
    assert (caught.value.code, caught.value.status) == ("document_not_found", 404)


async def test_another_users_document_stays(library: Library, database: Database) -> None:
    document, _ = await library.read(SCRIPT)

    for user, document_id in (("ben", document.id), ("ana", "no id"), ("ana", uuid7())):
        with pytest.raises(Refused) as caught:
            await library.documents.remove(document_id, user)
        assert caught.value.code == "document_not_found"

    assert count_of(database, documents.c.id) == 1
    assert doomed(database) == []


async def test_what_was_written_from_it_is_said_and_stays(library: Library, database: Database) -> None:
    document, job = await library.read(SCRIPT)
    database.write_now(lambda connection: _write_episode(connection, document.id, job))

    gone = await library.documents.remove(document.id, "ana")

    assert [(one.job_id, one.number, one.title, one.project_id) for one in gone.generated] == [
        (job.id, 1, "편지", document.project_id)
    ]
    assert count_of(database, generation_sources.c.job_id) == 0


def _write_episode(connection: Any, document_id: str, job: Job) -> None:
    content = {
        "recipe": "script",
        "title": "편지",
        "language": "ko",
        "generator": "offline",
        "is_language_model": False,
        "text": "편지",
    }
    row = {
        "id": uuid7(),
        "project_id": job.project_id,
        "number": 1,
        "job_id": job.id,
        "recipe": "script",
        "title": "편지",
        "language": "ko",
        "generator": "offline",
        "content": content,
        "created_at": db_now(),
    }
    connection.execute(insert(episodes.episodes).values(**row))
    connection.execute(insert(generation_sources).values(document_id=document_id, job_id=job.id))


async def test_the_job_that_waits_to_read_it_is_cancelled(library: Library, database: Database) -> None:
    accepted = await library.upload(SCRIPT)
    assert accepted.job is not None

    await library.documents.remove(accepted.document.id, "ana")

    status = select(jobs.c.status).where(jobs.c.id == accepted.job.id)
    assert database.read_now(lambda connection: connection.execute(status).scalar_one()) == "cancelled"
    assert library.stored() == []


async def test_a_document_that_is_deleted_while_it_is_read_leaves_nothing(
    library: Library, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = await library.upload(SCRIPT)
    prepare = library.reading.prepare
    deleted = asyncio.Event()

    async def overtaken(*arguments: Any) -> Any:
        prepared = await prepare(*arguments)
        await library.documents.remove(accepted.document.id, "ana")
        deleted.set()
        return prepared

    monkeypatch.setattr(library.reading, "prepare", overtaken)
    job = await library.core.run(accepted.job)

    assert deleted.is_set()
    assert job.status == "cancelled"
    assert count_of(database, chunks.c.id) == 0
    assert count_of(database, documents.c.id) == 0


async def test_the_same_upload_under_the_same_key_is_a_document_again(library: Library) -> None:
    first = await library.upload(SCRIPT, key="k")
    await library.documents.remove(first.document.id, "ana")

    second = await library.upload(SCRIPT, key="k")

    assert second.is_fresh
    assert second.document.id != first.document.id


async def test_a_programs_file_keeps_its_state_without_its_document(library: Library, database: Database) -> None:
    document, job = await library.read(SCRIPT)
    program_id = uuid7()
    database.write_now(lambda connection: _add_file(connection, program_id, document.id, job.id))

    await library.documents.remove(document.id, "ana")

    row = database.read_now(lambda connection: connection.execute(select(program_files)).one())
    assert (row.status, row.document_id, row.job_id) == ("completed", None, job.id)


def _add_file(connection: Any, program_id: str, document_id: str, job_id: str) -> None:
    common = {"user_id": "ana", "project_id": "책방", "use_multimodal": False, "file_count": 1}
    connection.execute(insert(programs).values(id=program_id, created_at=db_now(), **common))
    counts = dict.fromkeys(("runs", "seconds", "tokens", "retry_count", "auto_retry_count", "file_size"), 0)
    connection.execute(
        insert(program_files).values(
            program_id=program_id,
            position=0,
            file_name="대본.txt",
            document_id=document_id,
            job_id=job_id,
            status="completed",
            stage="document",
            **counts,
        )
    )


async def test_an_accepted_upload_is_not_doomed(library: Library, database: Database) -> None:
    await library.upload(SCRIPT)
    await library.upload(SCRIPT)  # a duplicate: its bytes are gone, and so is what dooms them

    assert doomed(database) == []
    assert len(library.stored()) == 1


async def test_twenty_deletions_at_once_delete_it_once(library: Library) -> None:
    document, _ = await library.read(SCRIPT)

    ended = await asyncio.gather(
        *(library.documents.remove(document.id, "ana") for _ in range(20)), return_exceptions=True
    )

    assert sum(not isinstance(one, Exception) for one in ended) == 1
    assert {one.code for one in ended if isinstance(one, Refused)} == {"document_not_found"}
