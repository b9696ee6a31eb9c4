"""Accepting uploads: what is taken, what is refused, and that a refusal leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import wait
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from generation_service.database import Database
from generation_service.database.tables import documents, jobs
from generation_service.documents import Accepted, Documents, rows, state_of
from generation_service.errors import DatabaseUnavailable, Deferred, Refused, ServiceError, TransientError
from generation_service.jobs import submission
from generation_service.jobs.ids import uuid7
from tests.documents import files
from tests.documents.conftest import Library
from tests.support.settings import SettingsFor

EXECUTABLE = b"\x7fELF\x02\x01\x01" + bytes(200)


def rows_of(database: Database) -> tuple[int, int]:
    """How many documents and jobs there are."""
    counts = select(
        select(func.count()).select_from(documents).scalar_subquery(),
        select(func.count()).select_from(jobs).scalar_subquery(),
    )
    return tuple(database.read_now(lambda connection: connection.execute(counts).one()))


async def test_an_upload_is_stored_under_a_key_that_no_name_reaches(library: Library) -> None:
    accepted = await library.upload(files.SCRIPT.encode(), "../../x.txt")

    assert accepted.document.file_name == "../../x.txt"
    assert accepted.document.status == "pending"
    assert accepted.job.id == accepted.document.job_id
    assert library.stored() == [accepted.document.object_key]
    assert ".." not in accepted.document.object_key
    assert (library.folder / accepted.document.object_key).read_bytes() == files.SCRIPT.encode()


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        pytest.param(b"", "document_empty", 422, id="empty"),
        pytest.param(EXECUTABLE, "document_type_not_taken", 415, id="a renamed executable"),
        pytest.param(b"a" * (64 * 1024 + 1), "document_too_large", 413, id="too large"),
    ],
)
async def test_a_refused_upload_leaves_nothing_behind(
    library: Library, database: Database, content: bytes, code: str, status: int
) -> None:
    with pytest.raises(Refused) as caught:
        await library.upload(content, "report.pdf", key="k")

    assert (caught.value.code, caught.value.status) == (code, status)
    assert library.stored() == []
    assert rows_of(database) == (0, 0)
    assert not (await library.upload(b"text", "report.pdf", key="k")).replayed  # the key was not bound


async def test_an_upload_that_breaks_off_leaves_nothing_behind(library: Library, database: Database) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * 1000
        raise ConnectionAbortedError

    with pytest.raises((ConnectionAbortedError, Refused)):
        await library.upload(b"", chunks=broken())

    assert library.stored() == []
    assert rows_of(database) == (0, 0)


async def test_the_same_upload_with_the_same_key_finds_the_first_document(library: Library, database: Database) -> None:
    first = await library.upload(b"text", key="k")
    second = await library.upload(b"text", key="k")

    assert not first.replayed
    assert second.replayed
    assert second.document == first.document
    assert library.stored() == [first.document.object_key]
    assert rows_of(database) == (1, 1)


async def test_the_same_key_with_other_bytes_is_refused(library: Library) -> None:
    first = await library.upload(b"text", key="k")

    with pytest.raises(Refused) as caught:
        await library.upload(b"other", key="k")

    assert caught.value.code == "idempotency_key_reused"
    assert library.stored() == [first.document.object_key]


async def test_the_bytes_stay_where_the_commit_may_have_happened(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("the answer to the commit was lost")

    monkeypatch.setattr(submission, "submit", lost)
    with pytest.raises(DatabaseUnavailable):
        await library.upload(b"text")

    assert len(library.stored()) == 1


@pytest.mark.parametrize(
    "error", [TransientError("storage_unavailable", "away"), Deferred("storage_refused", "no credentials")]
)
async def test_a_store_that_does_not_answer_is_a_refusal_to_try_again(
    library: Library, monkeypatch: pytest.MonkeyPatch, error: ServiceError
) -> None:
    async def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(library.objects, "put", away)
    with pytest.raises(Refused) as caught:
        await library.upload(b"text")

    assert (caught.value.code, caught.value.status) == ("storage_unavailable", 503)
    assert "Retry-After" in caught.value.headers


async def test_another_users_document_is_not_found(library: Library) -> None:
    document = (await library.upload(b"text")).document

    assert await library.documents.get(document.id, "ana") == document
    for asked, user in ((document.id, "bob"), ("no id", "ana"), (document.job_id, "ana")):
        with pytest.raises(Refused) as caught:
            await library.documents.get(asked, user)
        assert caught.value.code == "document_not_found"


async def test_a_list_is_paged_and_filtered(library: Library) -> None:
    made = [(await library.upload(b"%d" % n, f"{n}.txt", project_id="p" if n % 2 else "q")).document for n in range(5)]

    first = await library.documents.list(user_id="ana", limit=2)
    second = await library.documents.list(user_id="ana", limit=2, cursor=first.next_cursor)
    third = await library.documents.list(user_id="ana", limit=2, cursor=second.next_cursor)

    assert [*first.items, *second.items, *third.items] == made[::-1]
    assert third.next_cursor is None
    assert (await library.documents.list(project_id="p", limit=9)).items == [made[3], made[1]]
    assert (await library.documents.list(user_id="bob", limit=9)).items == []


async def test_a_name_is_a_label_that_can_be_stored_and_shown(library: Library) -> None:
    decomposed = "\u1112\u1161\u11ab"  # 한, as macOS writes it
    names = {
        f"{decomposed}.txt": "한.txt",
        "a\x00b\u202e\ud800.txt": "ab.txt",
        None: "document",
        "가" * 300: "가" * 255,
    }

    for given, shown in names.items():
        assert (await library.upload(repr(given).encode(), given)).document.file_name == shown


async def test_a_state_is_said_in_the_callers_language(library: Library) -> None:
    document, _ = await library.read(files.pdf([[]]), "스캔.pdf")
    korean, english = state_of(document, "ko"), state_of(document, "en")

    assert (korean["status"], korean["code"]) == ("failed", "needs_ocr")
    assert "OCR" in korean["message"]
    assert "문자 인식" in korean["message"]
    assert "text recognition" in english["message"]
    assert english["error"] == english["message"]
    assert english["task_id"] == document.job_id


async def test_the_same_content_in_a_project_is_the_document_that_is_there(
    library: Library, database: Database
) -> None:
    first = await library.upload(b"text", "a.txt")
    second = await library.upload(b"text", "b.txt", key="k")
    elsewhere = await library.upload(b"text", "a.txt", project_id="다른")
    with_images = await library.upload(b"text", "a.txt", use_multimodal=True)

    assert (first.is_fresh, first.duplicate_of) == (True, None)
    assert (second.is_fresh, second.replayed, second.duplicate_of) == (False, False, first.document.id)
    assert second.document == first.document
    assert second.job is not None
    assert second.job.id == first.document.job_id
    assert elsewhere.is_fresh
    assert with_images.is_fresh
    assert rows_of(database) == (3, 3)
    assert len(library.stored()) == 3


async def test_the_key_of_a_duplicate_belongs_to_what_is_there(library: Library) -> None:
    first = await library.upload(b"text")
    await library.upload(b"text", key="k")

    again = await library.upload(b"text", key="k")
    with pytest.raises(Refused) as caught:
        await library.upload(b"other", key="k")

    assert (again.replayed, again.document.id) == (True, first.document.id)
    assert caught.value.code == "idempotency_key_reused"


async def test_a_duplicate_whose_document_is_being_removed_binds_its_key_to_nothing_that_goes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a second upload, under a key, that has found the first document just before somebody removes that
    first = await library.upload(b"text")
    find_same, loop, removals = rows.find_same, asyncio.get_running_loop(), []

    def overtaken(connection: Connection, values: Any) -> Any:
        same = find_same(connection, values)
        if not removals:
            removal = library.documents.remove(first.document.id, "ana")
            removals.append(asyncio.run_coroutine_threadsafe(removal, loop))
            wait(removals, timeout=1)  # until it is through, unless it waits for this transaction
        return same

    monkeypatch.setattr(rows, "find_same", overtaken)
    await library.upload(b"text", key="k")
    await asyncio.wrap_future(removals[0])

    # Then the key went with the document
    assert (await library.upload(b"text", key="k")).is_fresh


@pytest.mark.parametrize(("status", "found"), [("pending", 0), ("processing", 0), ("completed", 1)])
async def test_an_upload_is_not_answered_with_what_goes_with_a_program(
    library: Library, database: Database, status: str, found: int
) -> None:
    first = await library.upload(b"text")
    of_program = update(documents).values(program_id=uuid7(), status=status)
    database.write_now(lambda connection: connection.execute(of_program))

    second = await library.upload(b"text")

    assert [second.duplicate_of] == [first.document.id if found else None]
    assert second.is_fresh is not bool(found)


async def test_twenty_uploads_of_one_content_at_once_are_one_document(library: Library, database: Database) -> None:
    accepted = await asyncio.gather(*(library.upload(b"text", f"{n}.txt") for n in range(20)))

    assert sum(one.is_fresh for one in accepted) == 1
    assert len({one.document.id for one in accepted}) == 1
    assert rows_of(database) == (1, 1)
    assert len(library.stored()) == 1


async def test_content_that_could_not_be_read_may_be_uploaded_again(library: Library) -> None:
    broken = files.scan_pdf()
    first, _ = await library.read(broken, "스캔.pdf")

    second = await library.upload(broken, "스캔.pdf")

    assert first.status == "failed"
    assert second.is_fresh


async def test_another_users_project_is_not_told_of_its_contents(library: Library) -> None:
    await library.upload(b"text")

    with pytest.raises(Refused) as caught:
        await library.upload(b"text", user_id="ben")

    assert (caught.value.code, caught.value.status) == ("project_not_found", 404)


async def test_a_user_keeps_so_much_and_no_more(settings_for: SettingsFor, library: Library) -> None:
    few = settings_for(max_user_documents=2, storage_url=str(library.folder))
    documents_ = Documents(library.core.database, library.objects, library.core.jobs, few)

    async def upload(content: bytes, key: str | None = None) -> Accepted:
        return await documents_.accept(
            user_id="ana", project_id="책방", file_name="a.txt", chunks=files.chunks_of(content), key=key
        )

    first = [await upload(content, key=content.decode()) for content in (b"1", b"2")]
    with pytest.raises(Refused) as caught:
        await upload(b"3", key="3")
    again = await upload(b"1", key="1")

    assert (caught.value.code, caught.value.status) == ("storage_quota_exceeded", 413)
    assert again.document == first[0].document
    assert len(library.stored()) == 2
