"""A file's job: its row follows in the same transactions, through every stage and every ending."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete

from generation_service.database.programs import program_files
from generation_service.database.tables import alerts, documents
from generation_service.documents import rows
from generation_service.jobs.model import Job, NewJob, Usage
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.programs import ProgramState
from tests.documents import files
from tests.programs.conftest import SCRIPT, Shelf
from tests.support.toy import ToyKind

BROKEN = files.encrypted_pdf()


def sums(state: ProgramState) -> tuple[Any, ...]:
    first, second = state.preprocessing, state.document_storage
    return (first.total, first.success, first.failed), (second.total, second.success, second.failed)


async def test_a_file_goes_through_both_stages_and_its_cost_is_counted(shelf: Shelf) -> None:
    accepted = await shelf.read(("대본.txt", SCRIPT))
    (file,) = await shelf.files(accepted.program.id)

    assert (file.status, file.stage, file.code, file.error_class, file.runs) == ("completed", "document", None, None, 1)
    assert 0 < file.seconds < 30
    assert file.started_at is not None
    assert file.ended_at is not None
    assert file.artefact_key in shelf.stored()
    (document,) = shelf.rows(documents)
    assert (document.status, document.id, document.program_id) == ("completed", file.document_id, accepted.program.id)
    assert (await shelf.core.jobs.get(str(file.job_id))).result == {"document_id": file.document_id}


async def test_the_summaries_add_up_at_every_moment(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT), ("b.pdf", BROKEN), ("c.txt", b""), ("d.txt", b"d"))
    seen = [await shelf.state(accepted.program.id)]
    *_, d = await shelf.files(accepted.program.id)
    shelf.refuse(d)
    for job in accepted.jobs:
        await shelf.core.run(job)
        seen.append(await shelf.state(accepted.program.id))

    assert all(sum(state.counts.values()) == 4 for state in seen)
    assert [state.status for state in seen] == ["processing"] * 3 + ["completed"]
    assert [sums(state) for state in seen] == [
        ((4, 0, 1), (0, 0, 0)),
        ((4, 1, 1), (1, 1, 0)),
        ((4, 1, 2), (1, 1, 0)),
        ((4, 1, 3), (1, 1, 0)),
    ]
    assert [state.progress for state in seen] == [25.0, 50.0, 75.0, 100.0]
    assert seen[1].seconds_left is not None
    assert seen[-1].seconds_left is None


async def test_a_file_that_is_read_and_not_stored_has_failed_in_the_second_stage(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT), ("b.txt", b"b"))
    await fail_in_storing(shelf, accepted.jobs[0])
    await shelf.core.run(accepted.jobs[1])

    state = await shelf.state(accepted.program.id)
    assert sums(state) == ((2, 2, 0), (2, 1, 1))
    (file,) = await shelf.programs.failures(accepted.program.id, "ana")
    assert (file.stage, file.code, file.error_class, file.runs) == ("document", "storage_unavailable", "transient", 1)
    assert file.artefact_key in shelf.stored()


async def test_a_passing_trouble_ends_the_job_at_once(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT))
    job = await fail_in_storing(shelf, accepted.jobs[0])

    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error == {"code": "storage_unavailable", "message": "the object store refuses", "retryable": True}
    assert shelf.alerts() == []


async def test_what_cannot_be_read_is_told_once(shelf: Shelf) -> None:
    accepted = await shelf.read(("a.pdf", BROKEN))
    (file,) = await shelf.files(accepted.program.id)
    assert (file.status, file.stage, file.code, file.error_class) == (
        "failed",
        "preprocessing",
        "encrypted",
        "permanent",
    )
    assert file.artefact_key is None

    _, jobs = await shelf.retry(accepted.program.id)
    await shelf.run(jobs)

    assert shelf.alerts() == [("document_failed", file.document_id)]
    assert shelf.rows(alerts)[0].detail["code"] == "encrypted"


async def test_a_single_document_that_failed_is_told(shelf: Shelf) -> None:
    chunks = files.chunks_of(BROKEN)
    accepted = await shelf.documents.accept(user_id="ana", project_id="책방", file_name="a.pdf", chunks=chunks)
    await shelf.core.run(accepted.job)

    assert shelf.alerts() == [("document_failed", accepted.document.id)]


async def test_tokens_that_an_index_cost_are_counted(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = shelf.core.kinds["program_file"]
    step = kind._document._steps[1]
    prepare = step._reading.prepare

    async def costly(artefact: Any, document: Any, spend: Any) -> Any:
        spend(Usage(input_tokens=40))
        return await prepare(artefact, document, spend)

    monkeypatch.setattr(step._reading, "prepare", costly)
    accepted = await shelf.read(("a.txt", SCRIPT))

    assert (await shelf.files(accepted.program.id))[0].tokens == 40


async def test_a_cancelled_file_has_failed_and_is_not_tried_again(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT))
    await shelf.core.jobs.cancel(accepted.jobs[0].id)

    (file,) = await shelf.files(accepted.program.id)
    assert (file.status, file.code, file.error_class, file.runs) == ("failed", "cancelled", "permanent", 0)
    made, jobs = await shelf.retry(accepted.program.id)
    assert ([one.reason for one in made.skipped], jobs) == (["cancelled"], [])
    assert shelf.alerts() == []


async def test_a_file_that_a_generation_has_read_is_completed_by_its_own_job(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT))
    await ingest(shelf)
    (before,) = await shelf.files(accepted.program.id)
    job = await shelf.core.run(accepted.jobs[0])
    (after,) = await shelf.files(accepted.program.id)

    assert (before.status, after.status, after.stage) == ("pending", "completed", "document")
    assert [step.reason for step in await shelf.core.jobs.steps(job.id)] == ["already_read", "already_read"]


async def test_a_generation_and_the_files_own_job_agree_on_what_cannot_be_read(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.pdf", BROKEN))
    report = await ingest(shelf)
    await shelf.core.run(accepted.jobs[0])
    (file,) = await shelf.files(accepted.program.id)

    assert [one["code"] for one in report.failed] == ["encrypted"]
    assert (file.status, file.code, file.error_class) == ("failed", "encrypted", "permanent")


async def test_a_file_whose_job_fails_after_a_generation_has_read_it_is_completed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file's own job that is about to fail, when a generation ends reading the same document
    accepted = await shelf.upload(("a.txt", SCRIPT))
    fail = rows.fail

    def late(connection: Any, document_id: str, *given: Any, **more: Any) -> bool:
        done = documents.update().where(documents.c.id == document_id)
        connection.execute(done.values(status="completed", progress=100.0, held_by=None))
        return fail(connection, document_id, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(rows, "fail", late)
        await fail_in_storing(shelf, accepted.jobs[0])

    # Then the file is what its document is
    (file,) = await shelf.files(accepted.program.id)
    assert (file.status, file.code) == ("completed", None)
    assert await shelf.keep_up(2) == []


async def test_a_document_that_waits_for_a_retry_holds_no_generation(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT))
    await fail_in_storing(shelf, accepted.jobs[0])

    report = await asyncio.wait_for(ingest(shelf), 5)

    assert [one["code"] for one in report.failed] == ["storage_unavailable"]


async def test_a_job_whose_file_is_gone_ends_all_the_same(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", SCRIPT))
    shelf.database.write_now(lambda connection: connection.execute(delete(program_files)))

    assert (await shelf.core.run(accepted.jobs[0])).status == "completed"


async def fail_in_storing(shelf: Shelf, job: Job) -> Job:
    """Run a file's job whose artefact cannot be read back."""
    shelf.objects.refused.add(f"preprocessed-{job.id}")
    try:
        return await shelf.core.run(job)
    finally:
        shelf.allow()


async def ingest(shelf: Shelf) -> Any:
    """Let a generation read what waits."""
    reports = []

    async def body(run: StepRun) -> StepOutcome:
        reports.append(await shelf.ingester.ingest_unready(run, "책방"))
        return StepOutcome(output={})

    shelf.core.kinds["toy"] = ToyKind({"doc_ingest": body})
    wanted = NewJob(kind="toy", user_id="ana", project_id="책방", request={})
    await shelf.core.run((await shelf.core.jobs.submit(wanted)).job)
    return reports[0]
