"""Ingesting: a generation reads what waits, waits for what is read, and reports what cannot be read."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import func, select, update

from generation_service.database.tables import chunks, documents, jobs
from generation_service.documents import Ingester, IngestReport
from generation_service.documents.parsing import Parser
from generation_service.errors import Deferred, PermanentError, ServiceError, TransientError
from generation_service.jobs.model import Job, JobId, NewJob
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.retrieval import find_passages
from tests.documents import files
from tests.documents.conftest import Library
from tests.support.toy import ToyKind


class Generations:
    """Jobs of one step, which ingests; `reports` are what it found, by job."""

    def __init__(self, library: Library, ingester: Ingester | None = None) -> None:
        self.library = library
        self.ingester = ingester or library.ingester
        self.reports: dict[JobId, IngestReport] = {}
        library.core.kinds["toy"] = ToyKind({"doc_ingest": self._ingest})

    async def start(self) -> Job:
        wanted = NewJob(kind="toy", user_id="ana", project_id="책방", request={})
        return (await self.library.core.jobs.submit(wanted)).job

    async def run(self) -> IngestReport:
        job = await self.library.core.run(await self.start())
        assert job.status == "completed", job.error
        return self.reports[job.id]

    async def _ingest(self, run: StepRun) -> StepOutcome:
        self.reports[run.job.id] = await self.ingester.ingest_unready(run, "책방")
        return StepOutcome(output={})


def chunk_count(library: Library) -> int:
    counted = select(func.count()).select_from(chunks)
    return library.core.database.read_now(lambda connection: connection.execute(counted).scalar_one())


def changed(library: Library, table: object, row_id: str, values: Mapping[str, object]) -> None:
    library.core.database.write_now(
        lambda connection: connection.execute(update(table).where(table.c.id == row_id).values(**values))
    )


async def test_documents_that_wait_are_read_at_once(library: Library) -> None:
    await library.upload(files.SCRIPT.encode())
    await library.upload(files.word(), "인물.docx")
    report = await Generations(library).run()

    assert (report.ready, report.ingested, report.failed) == (2, 2, [])
    assert await find_passages(library.core.database, "책방", "편지를 찾는 사람")


async def test_the_documents_own_job_then_has_nothing_to_do(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a document that a generation has read
    accepted = await library.upload(files.SCRIPT.encode())
    await Generations(library).run()
    before = chunk_count(library)

    # When its own job runs, it must not read it a second time
    monkeypatch.delattr(Parser, "parse")
    job = await library.core.run(accepted.job)

    # Then
    assert job.status == "completed"
    assert [step.status for step in await library.core.jobs.steps(job.id)] == ["skipped", "skipped"]
    assert chunk_count(library) == before
    assert (await library.documents.get(accepted.document.id)).status == "completed"


async def test_a_document_that_cannot_be_read_is_reported_and_fails_nothing(library: Library) -> None:
    bad = await library.upload(files.pdf([["비밀"]], encrypted=True), "secret.pdf")
    await library.upload(b"text")
    generations = Generations(library)
    report = await generations.run()

    expected = [{"document_id": bad.document.id, "file_name": "secret.pdf", "code": "encrypted"}]
    assert (report.ready, report.failed) == (1, expected)
    job = await library.core.run(bad.job)
    assert (job.status, job.error["code"]) == ("failed", "encrypted")  # its own job says the same
    assert (await generations.run()).failed == expected


async def test_a_document_that_its_own_job_reads_is_waited_for(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a document's own job in the middle of its reading
    begun, go_on, parse, parsed = asyncio.Event(), asyncio.Event(), Parser.parse, 0

    async def slow(self: Parser, *given: object, **named: object) -> object:
        nonlocal parsed
        parsed += 1
        begun.set()
        await go_on.wait()
        return await parse(self, *given, **named)

    monkeypatch.setattr(Parser, "parse", slow)
    accepted = await library.upload(files.SCRIPT.encode())
    own = asyncio.create_task(library.core.run(accepted.job))
    await asyncio.wait_for(begun.wait(), 10)

    # When a generation needs it
    generation = asyncio.create_task(Generations(library).run())
    await asyncio.wait({generation}, timeout=0.3)
    assert not generation.done()
    go_on.set()

    # Then it is read once, and both have it
    assert (await own).status == "completed"
    assert (await generation).ready == 1
    assert parsed == 1


async def test_two_generations_read_a_document_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, parsed = Parser.parse, 0

    async def counted(self: Parser, *given: object, **named: object) -> object:
        nonlocal parsed
        parsed += 1
        return await parse(self, *given, **named)

    monkeypatch.setattr(Parser, "parse", counted)
    await library.upload(files.SCRIPT.encode())
    await library.upload(files.word(), "인물.docx")
    generations = Generations(library)
    reports = await asyncio.gather(*(generations.run() for _ in range(4)))

    assert [report.ready for report in reports] == [2, 2, 2, 2]
    assert sum(report.ingested for report in reports) == parsed == 2


@pytest.mark.parametrize("holder_status", ["pending", "failed", "pruned"])
async def test_a_document_whose_holder_does_not_run_is_taken_over(library: Library, holder_status: str) -> None:
    accepted = await library.upload(files.SCRIPT.encode())
    holder = await Generations(library).start()
    held_by = holder.id if holder_status != "pruned" else "019a0000-0000-7000-8000-000000000000"
    changed(library, documents, accepted.document.id, {"status": "processing", "held_by": held_by})
    changed(library, jobs, holder.id, {"status": holder_status if holder_status != "pruned" else "pending"})

    assert (await Generations(library).run()).ingested == 1


async def test_what_is_read_for_too_long_is_reported(library: Library) -> None:
    accepted = await library.upload(files.SCRIPT.encode())
    holder = await Generations(library).start()
    changed(library, documents, accepted.document.id, {"status": "processing", "held_by": holder.id})
    changed(library, jobs, holder.id, {"status": "running"})
    impatient = Ingester(library.core.database, library.reading, wait_seconds=0.0)

    report = await Generations(library, impatient).run()

    assert [one["code"] for one in report.failed] == ["still_processing"]


@pytest.mark.parametrize(
    "error", [TransientError("storage_unavailable", "away"), Deferred("storage_refused", "no credentials")]
)
async def test_a_store_that_is_away_is_tried_again(
    library: Library, monkeypatch: pytest.MonkeyPatch, error: ServiceError
) -> None:
    async def away(*_: object) -> None:
        raise error

    accepted = await library.upload(files.SCRIPT.encode())
    generations = Generations(library)
    job = await generations.start()
    with monkeypatch.context() as patched:
        patched.setattr(library.objects, "download", away)
        waiting = await library.core.run(job)
    assert (waiting.status, waiting.attempt) == ("pending", 2)
    assert (await library.documents.get(accepted.document.id)).status == "processing"

    await library.core.run(waiting)

    assert generations.reports[job.id].ingested == 1


async def test_a_store_that_refuses_a_guest_does_not_fail_the_document(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise Deferred("storage_refused", "no credentials")

    accepted = await library.upload(files.SCRIPT.encode())
    with monkeypatch.context() as patched:
        patched.setattr(library.objects, "download", refuses)
        await library.core.run(await Generations(library).start())

    assert (await library.core.run(accepted.job)).status == "completed"
    assert (await library.documents.get(accepted.document.id)).status == "completed"


async def test_an_embedding_model_that_refuses_fails_neither_a_guest_nor_the_document(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise PermanentError("embedding_auth", "no credentials")

    # Given a generation that reads two documents, whose vectors nobody makes
    first, second = await library.upload(files.SCRIPT.encode()), await library.upload(b"text")
    with monkeypatch.context() as patched:
        patched.setattr(library.reading, "prepare", refuses)
        report = await asyncio.wait_for(Generations(library).run(), 20)

    # Then it says so, and leaves both to their own jobs
    assert [(one["document_id"], one["code"]) for one in report.failed] == [
        (first.document.id, "embedding_auth"),
        (second.document.id, "embedding_auth"),
    ]
    left = await library.documents.get(first.document.id)
    assert (left.status, left.held_by, left.code) == ("pending", None, None)
    assert (await library.core.run(first.job)).status == "completed"
    assert (await Generations(library).run()).ready == 2


async def test_the_verdict_of_a_guest_gives_way_to_the_documents_own_job(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a generation that finds a document too complex, while the document's own job begins to read it
    accepted = await library.upload(files.SCRIPT.encode())
    parse, kind = Parser.parse, library.core.kinds["document"]

    async def overtaken(self: Parser, *given: object, **_: object) -> object:
        monkeypatch.setattr(Parser, "parse", parse)
        library.core.database.write_now(lambda connection: kind.on_started(connection, [accepted.job]))
        return await Parser.parse(self, given[0], "pdf")  # which it is not: unreadable

    monkeypatch.setattr(Parser, "parse", overtaken)
    report = await Generations(library).run()

    # Then the document has not failed: whose job is not running any more is read again
    assert (report.ready, report.failed) == (1, [])
