"""Routes of documents: what an upload takes, what it refuses without a trace, and who sees it."""

import asyncio
import tempfile
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from generation_service import texts
from generation_service.api.models_documents import (
    DocumentPage,
    DocumentResource,
    DocumentStatusModel,
    PassagePage,
    RemovedModel,
    UploadModel,
)
from generation_service.api.spool import Spool
from generation_service.settings import MIB
from tests.api.conftest import Api, ApiRuntime, GenerationToy, Served, api_over
from tests.documents import files
from tests.support.settings import SettingsFor

UPLOAD = "/api/v1/documents/upload"
SEARCH = "/api/v1/documents/search"
NOTES = ("notes.md", b"# Notes\n\nThe harbour is old.\n", "text/markdown")


async def upload(
    api: Api, file: Any = NOTES, *, headers: dict[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    data = {"container_id": "harbour", **fields}
    return await api.http.post(UPLOAD, files={"file": file}, data=data, headers=headers)


async def test_an_upload_is_answered_once_its_bytes_are_stored(api: Api) -> None:
    answer = await upload(api, use_multimodal="true")

    made = answer.json()
    assert answer.status_code == 202
    TypeAdapter(UploadModel).validate_python(made)
    assert made["file_info"] == {"original_name": "notes.md", "file_size": len(NOTES[1]), "file_type": ".md"}
    assert made["processing_stats"]["status"] == "processing"
    assert [one.id for one in api.runtime.adapter.jobs] == [made["task_id"]]
    document = await api.runtime.documents.get(made["document_id"])
    assert await api.runtime.objects.read(document.object_key) == NOTES[1]


async def test_an_uploaded_document_is_shown_listed_and_followed(api: Api) -> None:
    made = (await upload(api)).json()
    own = f"/api/v1/documents/{made['document_id']}"

    shown = (await api.http.get(own)).json()
    status = (await api.http.get(f"{own}/status")).json()
    page = (await api.http.get("/api/v1/documents", params={"container_id": "harbour"})).json()
    elsewhere = (await api.http.get("/api/v1/documents", params={"container_id": "other"})).json()

    TypeAdapter(DocumentResource).validate_python(shown)
    TypeAdapter(DocumentStatusModel).validate_python(status)
    TypeAdapter(DocumentPage).validate_python(page)
    assert (status["status"], status["file_name"], status["error"]) == ("pending", "notes.md", None)
    assert [one["document_id"] for one in page["items"]] == [made["document_id"]]
    assert elsewhere["items"] == []


async def test_the_job_that_reads_a_document_has_no_result(small_api: Api) -> None:
    made = (await upload(small_api)).json()

    answer = await small_api.http.get(f"/api/generation/{made['task_id']}/result")

    assert (answer.status_code, answer.json()["code"]) == (404, "no_result")


async def test_the_fields_may_come_behind_the_file(small_api: Api) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="container_id"\r\n\r\nharbour\r\n--b--\r\n'
    )

    answer = await small_api.http.post(
        UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )

    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("said", "label"),
    [
        (b"filename*=UTF-8''%ED%95%9C%EA%B8%80.txt", "한글.txt"),
        (b"filename*=utf-8'ko'%ED%95%9C%EA%B8%80.txt", "한글.txt"),
        (b"filename=\"x.txt\"; filename*=UTF-8''%ED%95%9C%EA%B8%80.txt", "한글.txt"),
        (b"filename=\"x.txt; filename*=UTF-8''y.txt\"", "x.txt; filename*=UTF-8''y.txt"),
        (b"filename=\"x.txt\"; filename*=latin-1''%E9.txt", "x.txt"),
    ],
)
async def test_a_name_may_come_in_the_extended_notation(small_api: Api, said: bytes, label: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; ' + said + b"\r\n\r\nhello\r\n"
        b'--b\r\nContent-Disposition: form-data; name="container_id"\r\n\r\nharbour\r\n--b--\r\n'
    )

    answer = await small_api.http.post(
        UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )

    assert answer.status_code == 202, answer.text
    assert answer.json()["file_info"]["original_name"] == label


async def test_the_same_key_with_the_same_file_is_the_same_document(small_api: Api) -> None:
    first, second = [await upload(small_api, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    other = await upload(small_api, ("notes.md", b"other", "text/markdown"), headers={"Idempotency-Key": "k"})

    assert first.json()["document_id"] == second.json()["document_id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (("empty.txt", b"", "text/plain"), 422, "document_empty"),
        (("program.pdf", b"\x7fELF\x02\x01\x01" + bytes(100), "application/pdf"), 415, "document_type_not_taken"),
        (("program.pdf", b"MZ" + bytes(100), "application/pdf"), 415, "document_type_not_taken"),
    ],
)
async def test_a_file_that_is_not_taken_leaves_no_trace(api: Api, file: Any, status: int, code: str) -> None:
    answer = await upload(api, file, headers={"Idempotency-Key": "k"})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await api.http.get("/api/v1/documents")).json()["items"] == []
    assert (await upload(api, headers={"Idempotency-Key": "k"})).status_code == 202


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"container_id": "../etc"}, "container_id"),
        ({"container_id": "a\0b"}, "container_id"),
        ({"container_id": ""}, "container_id"),
        ({"container_id": "x" * 300}, "container_id"),
        ({"use_multimodal": "perhaps"}, "use_multimodal"),
    ],
)
async def test_a_field_that_is_not_taken_is_named(small_api: Api, fields: dict[str, Any], pointer: str) -> None:
    answer = await upload(small_api, **fields)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_a_form_without_a_file_or_a_project_is_refused(small_api: Api) -> None:
    answer = await small_api.http.post(UPLOAD, files={"other": NOTES})

    assert answer.status_code == 422
    assert {one["pointer"] for one in answer.json()["errors"]} == {"file", "container_id"}


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello'


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (PART, "multipart/form-data; boundary=b", 400, "malformed_multipart"),
        (b"", "multipart/form-data; boundary=b", 422, "invalid_request"),
        (b"", None, 422, "invalid_request"),
        (b"container_id=a", "application/x-www-form-urlencoded", 422, "invalid_request"),
        (b"nonsense", "multipart/form-data; boundary=b", 400, "malformed_multipart"),
        (PART + b"\r\n" + PART + b"\r\n--b--\r\n", "multipart/form-data; boundary=b", 422, "one_file_only"),
        (PART, "multipart/form-data", 415, "unsupported_media_type"),
        (b"{}", "application/json", 415, "unsupported_media_type"),
        (PART, f"multipart/form-data; boundary={'b' * 5000}", 400, "malformed_multipart"),
    ],
)
async def test_what_is_not_a_whole_form_is_refused(
    small_api: Api, body: bytes, content_type: str | None, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await small_api.http.post(UPLOAD, content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_file_beyond_the_limit_is_413(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(max_upload_bytes=2 * MIB), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        over = await upload(api, ("big.txt", b"x" * (2 * MIB + 1), "text/plain"))
        within = await upload(api, ("big.txt", b"x" * (2 * MIB), "text/plain"))

    assert (over.status_code, over.json()["code"]) == (413, "document_too_large")
    assert within.status_code == 202


async def test_a_large_file_is_never_whole_in_memory(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    write = Spool._write

    async def watched(spool: Spool) -> None:
        held.append(len(spool._pending))
        await write(spool)

    monkeypatch.setattr(Spool, "_write", watched)

    answer = await upload(server, ("big.txt", b"x" * (20 * MIB), "text/plain"))

    assert answer.status_code == 202
    assert max(held) <= 2 * MIB


async def test_an_upload_leaves_no_temporary_file(
    small_api: Api, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    await upload(small_api)
    await upload(small_api, ("p.pdf", b"MZ", "application/pdf"))

    assert await asyncio.to_thread(lambda: list(tmp_path.glob("tmp*"))) == []


async def test_another_users_document_is_404(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        made = (await upload(api, headers={"Authorization": "Bearer a"})).json()
        own = f"/api/v1/documents/{made['document_id']}"
        ben = {"Authorization": "Bearer b"}

        for path in (own, f"{own}/status", f"{own}/events", f"/api/generation/{made['task_id']}"):
            assert (await api.http.get(path, headers=ben)).status_code == 404
        assert (await api.http.get("/api/v1/documents", headers=ben)).json()["items"] == []
        assert (await upload(api, headers=ben)).json()["code"] == "project_not_found"
        assert (await api.http.get(own)).status_code == 401


async def read_one(api: Api, file: Any = NOTES, **fields: Any) -> dict[str, Any]:
    """Upload a document and have it read; its resource."""
    made = (await upload(api, file, **fields)).json()
    await api.runtime.run(made["task_id"])
    return dict((await api.http.get(f"/api/v1/documents/{made['document_id']}")).json())


async def test_passages_are_found_with_the_places_that_matched(api: Api) -> None:
    document = await read_one(api, ("대본.md", "# 1장\n\n도현이 헌책방 문을 연다.\n".encode(), "text/markdown"))

    answer = await api.http.get(SEARCH, params={"container_id": "harbour", "q": "헌책방"})

    TypeAdapter(PassagePage).validate_python(answer.json())
    (found,) = answer.json()["items"]
    assert (found["document_id"], found["file_name"]) == (document["document_id"], "대본.md")
    assert [found["text"][place["start"] : place["end"]] for place in found["highlights"]] == ["헌책방"]


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"q": "", "container_id": "harbour"}, "q"),
        ({"q": "  ", "container_id": "harbour"}, "q"),
        ({"q": "x" * 1001, "container_id": "harbour"}, "q"),
        ({"container_id": "harbour"}, "q"),
        ({"q": "harbour"}, "container_id"),
        ({"q": "harbour", "container_id": "../x"}, "container_id"),
        ({"q": "harbour", "container_id": "harbour", "limit": "501"}, "limit"),
    ],
)
async def test_a_search_that_asks_nothing_is_422(small_api: Api, params: dict[str, str], pointer: str) -> None:
    answer = await small_api.http.get(SEARCH, params=params)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_odd_questions_find_nothing_and_harm_nothing(api: Api) -> None:
    await read_one(api)

    for question in ("\0", '" OR 1=1 --', "🙂", "NOT AND NEAR(", "'; DROP TABLE chunks"):
        answer = await api.http.get(SEARCH, params={"container_id": "harbour", "q": question})
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None}), question
    unused = await api.http.get(SEARCH, params={"container_id": "unused", "q": "harbour"})
    assert unused.json()["items"] == []


async def test_another_users_project_is_not_searched(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    ana, ben = ({"Authorization": f"Bearer {token}"} for token in "ab")
    async with api_over(runtime) as api:
        made = (await upload(api, headers=ana)).json()
        await runtime.run(made["task_id"])
        own, asked = f"/api/v1/documents/{made['document_id']}", {"container_id": "harbour", "q": "harbour"}

        assert len((await api.http.get(SEARCH, params=asked, headers=ana)).json()["items"]) == 1
        assert (await api.http.get(SEARCH, params=asked, headers=ben)).json()["code"] == "project_not_found"
        assert (await api.http.delete(own, headers=ben)).status_code == 404
        assert (await api.http.post(f"{own}/retry", headers=ben)).status_code == 404
        assert (await api.http.delete(own)).status_code == 401


async def test_a_deleted_document_is_gone_for_every_route(api: Api) -> None:
    document = await read_one(api)
    own = document["urls"]["self"]

    answer = await api.http.delete(own, headers={"Accept-Language": "ko"})

    TypeAdapter(RemovedModel).validate_python(answer.json())
    assert answer.status_code == 200
    assert answer.json()["deleted"] == {"chunks": 1, "objects": 2}
    assert answer.json()["generated"] == []
    assert "지웠습니다" in answer.json()["message"]
    for path in (own, f"{own}/status", f"{own}/events"):
        assert (await api.http.get(path)).json()["code"] == "document_not_found"
    assert (await api.http.delete(own)).status_code == 404
    assert (await api.http.get(SEARCH, params={"container_id": "harbour", "q": "harbour"})).json()["items"] == []


async def test_the_same_file_twice_in_a_project_is_found_and_said(api: Api) -> None:
    first = (await upload(api)).json()

    again = await upload(api, ("copy.md", NOTES[1], "text/markdown"))

    TypeAdapter(UploadModel).validate_python(again.json())
    assert again.status_code == 202
    assert (again.json()["document_id"], again.json()["duplicate_of"]) == (first["document_id"],) * 2
    assert again.json()["task_id"] == first["task_id"]
    assert "already" in again.json()["message"]
    assert len(api.runtime.adapter.jobs) == 1


async def test_a_document_that_failed_is_read_again(api: Api) -> None:
    failed = await read_one(api, ("scan.pdf", files.scan_pdf(), "application/pdf"))
    api.runtime.adapter.jobs.clear()

    answer = await api.http.post(failed["urls"]["retry"])
    twice = await api.http.post(failed["urls"]["retry"])

    assert failed["status"] == "failed"
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Location"] == failed["urls"]["self"]
    assert [job.id for job in api.runtime.adapter.jobs] == [failed["task_id"]]
    assert (twice.status_code, twice.json()["code"]) == (409, "document_not_failed")


async def test_a_user_over_the_limit_is_told_in_one_sentence(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(max_user_documents=1), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        await upload(api)
        over = await upload(api, ("b.md", b"other", "text/markdown"))

    assert (over.status_code, over.json()["code"]) == (413, "storage_quota_exceeded")
    assert over.json()["detail"].startswith("You may keep 1 documents")


async def test_a_programs_file_is_followed_as_a_document(small_api: Api) -> None:
    program = (await small_api.http.post("/v1/programs", files={"files": NOTES})).json()
    (job,) = small_api.runtime.adapter.jobs
    await small_api.runtime.run(job.id)
    (file,) = (await small_api.http.get(program["urls"]["files"])).json()["items"]

    answer = await small_api.http.get(f"/api/v1/documents/{file['document_id']}/events")

    assert answer.status_code == 200
    assert "event: completed" in answer.text


async def test_the_documentation_names_every_route_of_documents_and_programs(small_api: Api) -> None:
    paths = (await small_api.http.get("/openapi.json")).json()["paths"]

    assert set(paths["/api/v1/documents/{document_id}"]) == {"get", "delete"}
    assert set(paths["/v1/programs"]) == {"get", "post"}
    assert {path for path in paths if path.startswith("/v1/programs/")} == {
        "/v1/programs/retry-stats",
        "/v1/programs/{program_id}",
        "/v1/programs/{program_id}/files",
        "/v1/programs/{program_id}/retry",
        "/v1/programs/{program_id}/retries/{retry_id}",
    }
    form = paths["/v1/programs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["files"]


async def test_several_files_in_one_upload_are_told_where_to_go(small_api: Api) -> None:
    answer = await small_api.http.post(UPLOAD, files=[("file", NOTES), ("file", NOTES)], data={"container_id": "p"})

    assert (answer.status_code, answer.json()["code"]) == (422, "one_file_only")
    assert "POST /v1/programs" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("said", "meant"), [("on", True), ("yes", True), ("TRUE", True), ("1", True), ("off", False), ("no", False)]
)
async def test_a_yes_may_be_said_as_a_checkbox_says_it(small_api: Api, said: str, *, meant: bool) -> None:
    made = await upload(small_api, use_multimodal=said)
    shown = await small_api.http.get(f"/api/v1/documents/{made.json()['document_id']}")

    assert (made.status_code, shown.json()["use_multimodal"]) == (202, meant)


async def test_the_errors_of_a_documents_events_are_in_the_readers_language(small_api: Api) -> None:
    made = (await upload(small_api, ("scan.pdf", files.scan_pdf(), "application/pdf"))).json()
    await small_api.runtime.run(made["task_id"])
    events = f"/api/v1/documents/{made['document_id']}/events"

    korean = await small_api.http.get(events, headers={"Accept-Language": "ko"})
    english = await small_api.http.get(events)

    assert "the pages hold images of text" not in korean.text
    assert korean.text.count(texts.text("document.code.needs_ocr", "ko")) == 2  # its step's end and its own
    assert texts.text("document.code.needs_ocr", "en") in english.text
    assert '"code":"needs_ocr"' in korean.text
