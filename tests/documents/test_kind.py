"""The job that reads a document: its two steps, its endings, and that doing it again changes nothing."""

import asyncio
import json

import pytest
from sqlalchemy import Connection, select

from generation_service.database.tables import chunks
from generation_service.documents import rows
from generation_service.documents.parsing import Parser
from generation_service.errors import TransientError
from generation_service.jobs.model import Usage
from generation_service.retrieval import chunks_of, find_passages
from tests.documents import files
from tests.documents.conftest import Library


def indexed(library: Library) -> list[tuple[str, int]]:
    """Every chunk in the index: its id and its place."""
    every = select(chunks.c.id, chunks.c.ordinal).order_by(chunks.c.source_id, chunks.c.ordinal)
    return library.core.database.read_now(lambda connection: [tuple(row) for row in connection.execute(every)])


async def test_a_document_is_read_and_found(library: Library) -> None:
    document, job = await library.read(files.SCRIPT.encode("cp949"))

    assert (document.status, document.progress, document.code) == ("completed", 100.0, None)
    assert (document.language, document.characters) == ("ko", len(files.SCRIPT.strip()))
    assert document.started_at
    assert document.completed_at
    assert job.result == {"document_id": document.id}
    found = await find_passages(library.core.database, "책방", "정전된 극장")
    assert found[0].heading == "S#2. 아리랑 극장 / 밤"
    assert found[0].label == "대본.txt"


@pytest.mark.parametrize(
    ("content", "name", "page"),
    [(files.pdf([["앞 쪽."], ["도현이 편지를 찾는다."]]), "a.pdf", 2), (files.word(), "a.docx", None)],
)
async def test_a_passage_names_its_page_where_there_is_one(
    library: Library, content: bytes, name: str, page: int | None
) -> None:
    document, _ = await library.read(content, name)
    found = await find_passages(library.core.database, "책방", "편지를 찾는")

    assert (document.status, found[0].page) == ("completed", page)
    assert "편지를 찾는" in found[0].text


async def test_the_preprocessing_step_leaves_an_artefact_whose_key_contains_the_fence(library: Library) -> None:
    document, job = await library.read(files.SCRIPT.encode())
    steps = {step.name: step for step in await library.core.jobs.steps(job.id)}
    key = steps["preprocessing"].output["artefact"]

    assert key.endswith(f"preprocessed-{job.id}-{steps['preprocessing'].fence}.json")
    stored = json.loads(await library.objects.read(key))
    assert stored["sha256"] == document.sha256
    assert len(stored["pieces"]) == steps["document"].output["chunks"] == len(indexed(library))


async def test_the_document_step_never_reads_the_source_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job whose document step fails once, after preprocessing was committed
    accepted = await library.upload(files.SCRIPT.encode())
    with monkeypatch.context() as patched:
        patched.setattr(library.objects, "read", _away)
        waiting = await library.core.run(accepted.job)
    assert waiting.status == "pending"
    await library.objects.delete(accepted.document.object_key)

    # When it runs again without its source
    ended = await library.core.run(waiting)

    # Then it completes from its artefact
    assert ended.status == "completed"
    assert (await library.documents.get(accepted.document.id)).status == "completed"


async def test_an_artefact_that_is_gone_fails_the_document(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = await library.upload(files.SCRIPT.encode())
    with monkeypatch.context() as patched:
        patched.setattr(library.objects, "read", _away)
        waiting = await library.core.run(accepted.job)
    (step,) = [step for step in await library.core.jobs.steps(waiting.id) if step.name == "preprocessing"]
    await library.objects.delete(step.output["artefact"])

    ended = await library.core.run(waiting)

    assert (ended.status, ended.error["code"]) == ("failed", "artefact_missing")
    assert (await library.documents.get(accepted.document.id)).code == "artefact_missing"
    assert indexed(library) == []


async def test_a_document_that_cannot_be_read_fails_with_its_code_at_the_first_try(library: Library) -> None:
    document, job = await library.read(files.pdf([["비밀"]], encrypted=True), "secret.pdf")

    assert (job.status, job.attempt, job.error["code"]) == ("failed", 1, "encrypted")
    assert (document.status, document.code) == ("failed", "encrypted")
    assert document.held_by is None
    assert indexed(library) == []


async def test_a_reopened_document_waits_again_and_then_ends_again(library: Library) -> None:
    document, job = await library.read(files.pdf([[]]), "scan.pdf")
    assert document.status == "failed"

    reopened = await library.core.jobs.reopen(job.id)
    waiting = await library.documents.get(document.id)
    await library.core.run(reopened)

    assert (waiting.status, waiting.code, waiting.completed_at) == ("pending", None, None)
    assert (await library.documents.get(document.id)).code == "needs_ocr"


async def test_a_cancelled_job_fails_its_document(library: Library) -> None:
    accepted = await library.upload(b"text")
    await library.core.jobs.cancel(accepted.job.id)
    document = await library.documents.get(accepted.document.id)

    assert (document.status, document.code) == ("failed", "cancelled")


def free(usage: Usage) -> None:
    """Nothing here costs anything."""


async def test_a_cancelled_document_comes_into_the_index_no_more(library: Library) -> None:
    accepted = await library.upload(files.SCRIPT.encode())
    prepared = await library.reading.prepare(await library.reading.read(accepted.document), accepted.document, free)
    await library.core.jobs.cancel(accepted.job.id)

    late = library.core.database.write_now(
        lambda connection: rows.complete(connection, accepted.document.id, {}, prepared)
    )

    assert not late
    assert indexed(library) == []
    assert (await library.documents.get(accepted.document.id)).code == "cancelled"


async def test_cancelling_while_it_is_read_stops_the_reading(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def endless(*_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr(Parser, "parse", endless)
    accepted = await library.upload(b"text")
    async with library.core.beating():
        running = asyncio.create_task(library.core.run(accepted.job))
        await asyncio.wait_for(begun.wait(), 10)
        assert (await library.documents.get(accepted.document.id)).status == "processing"
        await library.core.jobs.cancel(accepted.job.id)
        await asyncio.wait_for(stopped.wait(), 10)
        await running

    document = await library.documents.get(accepted.document.id)
    assert (document.status, document.code) == ("failed", "cancelled")
    assert indexed(library) == []


async def test_reading_again_changes_nothing_in_the_index(library: Library) -> None:
    # Given a document that was read
    document, _ = await library.read(files.SCRIPT.encode())
    before = indexed(library)
    assert len(before) > 2

    # When it is read again, by a run that does not know that it was
    prepared = await library.reading.prepare(await library.reading.read(document), document, free)

    # Then a second completion is refused, and every chunk would have the id that it has
    def again(connection: Connection) -> tuple[bool, int]:
        return rows.complete(connection, document.id, {}, prepared), prepared.write(connection)

    assert library.core.database.write_now(again) == (False, 0)
    assert indexed(library) == before


async def test_chunks_say_where_in_the_text_they_stand(library: Library) -> None:
    document, _ = await library.read(files.SCRIPT.encode())
    found = library.core.database.read_now(lambda connection: chunks_of(connection, "document", document.id))

    assert [passage.heading for passage in found] == [None, "S#1. 헌책방 / 낮", "S#2. 아리랑 극장 / 밤"]


async def test_one_text_in_two_projects_is_found_in_both(library: Library) -> None:
    for project in ("가", "나"):
        accepted = await library.upload(files.SCRIPT.encode(), project_id=project)
        await library.core.run(accepted.job)

    for project in ("가", "나"):
        assert await find_passages(library.core.database, project, "헌책방")
    assert not await find_passages(library.core.database, "다", "헌책방")


async def _away(*_: object) -> bytes:
    raise TransientError("storage_unavailable", "the store is away")
