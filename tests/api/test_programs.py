"""Routes of programs: what an upload takes, what became of each file, retries, and who sees it."""

import asyncio
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from generation_service.api.examples_programs import METADATA, RETRIED
from generation_service.api.models_programs import (
    ProgramDeleted,
    ProgramFilePage,
    ProgramMetadata,
    ProgramPage,
    ProgramResource,
    RetryResource,
    RetryStatsModel,
)
from generation_service.errors import TransientError
from generation_service.settings import MIB
from tests.api.conftest import Api, ApiRuntime, GenerationToy, api_over, served
from tests.documents import files
from tests.support.settings import SettingsFor

PROGRAMS = "/v1/programs"
GOOD = b"# Notes\n\nThe harbour is old.\n"
ELF = b"\x7fELF\x02\x01\x01" + bytes(100)


def batch(*contents: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", one) for one in contents]


async def stored(runtime: ApiRuntime) -> list[str]:
    """The keys of everything in the object store."""
    return [key async for key in runtime.objects.keys("")]


async def upload(
    api: Api, contents: Any = (("a.md", GOOD),), *, headers: dict[str, str] | None = None, **fields: str
) -> httpx2.Response:
    return await api.http.post(PROGRAMS, files=batch(*contents), data=fields, headers=headers)


async def made(api: Api, contents: Any = (("a.md", GOOD),), **fields: str) -> dict[str, Any]:
    answer = await upload(api, contents, **fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def run_delivered(api: Api) -> None:
    """Run every job that was delivered since the last call."""
    jobs, api.runtime.adapter.jobs = api.runtime.adapter.jobs, []
    for job in jobs:
        await api.runtime.core.run(job)


async def shown(api: Api, program: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await api.http.get(program["urls"]["self"], headers=headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(ProgramResource).validate_python(answer.json())
    return dict(answer.json())


async def test_a_program_is_accepted_with_one_job_a_file(api: Api) -> None:
    answer = await upload(api, [("a.md", GOOD), ("b.txt", b"other"), ("../../x.txt", b"third")])

    program = answer.json()
    assert answer.status_code == 202
    TypeAdapter(ProgramResource).validate_python(program)
    assert answer.headers["Location"] == program["urls"]["self"] == f"{PROGRAMS}/{program['program_id']}"
    assert program["files"] == {"total": 3, "pending": 3, "processing": 0, "completed": 0, "failed": 0}
    assert program["metadata_json"]["total_expected"] == 3
    assert {job.kind for job in api.runtime.adapter.jobs} == {"program_file"}
    assert len(api.runtime.adapter.jobs) == 3


async def test_files_that_cannot_be_used_fail_while_the_others_go_on(api: Api) -> None:
    broken = files.scan_pdf()
    program = await made(api, [("a.md", GOOD), ("empty.txt", b""), ("run.pdf", ELF), ("scan.pdf", broken)])

    await run_delivered(api)

    state = await shown(api, program)
    preprocessing = state["metadata_json"]["preprocessing"]
    assert state["files"] == {"total": 4, "pending": 0, "processing": 0, "completed": 1, "failed": 3}
    assert preprocessing["summary"] == {"total": 4, "success": 1, "failed": 3}
    assert state["metadata_json"]["document_storage"]["summary"] == {"total": 1, "success": 1, "failed": 0}
    assert [(one["file_path"], one["index"], one["code"]) for one in preprocessing["failed_files"]] == [
        ("empty.txt", 1, "empty"),
        ("run.pdf", 2, "type_not_taken"),
        ("scan.pdf", 3, "needs_ocr"),
    ]
    assert state["metadata_json"]["has_partial_failure"]
    assert state["metadata_json"]["total_successful_documents"] == 1
    assert (state["status"], state["progress"]) == ("completed", 100.0)


async def test_what_is_said_is_said_in_the_callers_language(small_api: Api) -> None:
    program = await made(small_api, [("빈 파일.txt", b"")])

    korean = await shown(small_api, program, **{"Accept-Language": "ko"})
    english = await shown(small_api, program)

    assert "파일" in korean["message"]
    assert "failed" in english["message"]
    (failed,) = korean["metadata_json"]["preprocessing"]["failed_files"]
    assert failed["file_path"] == "빈 파일.txt"
    assert "다시 올려 주세요" in failed["error"]


async def test_a_file_beyond_the_limit_fails_and_is_not_kept(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(max_upload_bytes=2 * MIB), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        program = await made(api, [("big.txt", b"x" * (5 * MIB)), ("a.md", GOOD), ("fits.txt", b"y" * (2 * MIB))])
        page = (await api.http.get(program["urls"]["files"])).json()

    assert [(one["status"], one["code"]) for one in page["items"]] == [
        ("failed", "too_large"),
        ("pending", None),
        ("pending", None),
    ]
    assert len(await stored(runtime)) == 2


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"max_program_files": 2}, "program_too_many_files"),
        ({"max_program_bytes": 1024}, "program_too_large"),
        ({"max_user_documents": 2}, "storage_quota_exceeded"),
    ],
)
async def test_a_program_beyond_a_limit_leaves_nothing_behind(
    settings_for: SettingsFor,
    sqlite_runtime: ApiRuntime,
    kind: GenerationToy,
    given: dict[str, int],
    code: str,
) -> None:
    runtime = ApiRuntime(settings_for(**given), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        answer = await upload(api, [(f"{n}.txt", b"%d" % n * 500) for n in range(3)])
        listed = (await api.http.get(PROGRAMS)).json()

    assert (answer.status_code, answer.json()["code"]) == (413, code)
    assert "{" not in answer.json()["detail"]
    assert listed["items"] == []
    assert await stored(runtime) == []


async def test_files_are_listed_page_by_page_and_by_status(api: Api) -> None:
    program = await made(api, [("a.md", GOOD), ("empty.txt", b""), ("b.txt", b"other")])
    own = program["urls"]["files"]

    first = (await api.http.get(own, params={"limit": 2})).json()
    second = (await api.http.get(own, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    failed = (await api.http.get(own, params={"status": "failed"})).json()

    TypeAdapter(ProgramFilePage).validate_python(first)
    assert [one["file_path"] for one in first["items"] + second["items"]] == ["a.md", "empty.txt", "b.txt"]
    assert second["next_cursor"] is None
    assert [one["index"] for one in failed["items"]] == [1]
    assert (await api.http.get(own, params={"status": "odd"})).status_code == 422
    assert (await api.http.get(own, params={"cursor": "odd"})).json()["code"] == "invalid_cursor"


async def test_the_same_key_with_the_same_files_is_the_same_program(api: Api) -> None:
    first, second = [await upload(api, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    other = await upload(api, [("a.md", b"other")], headers={"Idempotency-Key": "k"})

    assert first.json()["program_id"] == second.json()["program_id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(api.runtime.adapter.jobs) == 1
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_programs_file_is_a_document_like_any_other(small_api: Api) -> None:
    program = await made(small_api, user_id="ana")
    await run_delivered(small_api)
    (file,) = (await small_api.http.get(program["urls"]["files"])).json()["items"]  # an address that was given out

    own = f"/api/v1/documents/{file['document_id']}"
    document = (await small_api.http.get(own)).json()
    found = await small_api.http.get(
        "/api/v1/documents/search", params={"container_id": program["container_id"], "q": "harbour"}
    )

    assert (document["status"], document["program_id"]) == ("completed", program["program_id"])
    assert [one["document_id"] for one in found.json()["items"]] == [file["document_id"]]
    assert (await small_api.http.post(f"{own}/retry")).json()["code"] == "document_of_program"


async def test_without_tokens_the_user_is_the_one_that_is_said(small_api: Api) -> None:
    program = await made(small_api, user_id="ana")
    own = program["urls"]["self"]

    seen = {user: (await small_api.http.get(own, params=params)).status_code for user, params in _USERS.items()}

    assert seen == {"ana": 200, "ben": 404, "nobody": 200}
    assert (await small_api.http.delete(own, params={"user_id": "ben"})).status_code == 404
    assert (await small_api.http.post(f"{own}/retry", params={"user_id": "ben"})).status_code == 404
    assert (await small_api.http.get(PROGRAMS, params={"user_id": "ben"})).json()["items"] == []
    assert len((await small_api.http.get(PROGRAMS, params={"user_id": "ana"})).json()["items"]) == 1


_USERS: dict[str, dict[str, str]] = {"ana": {"user_id": "ana"}, "ben": {"user_id": "ben"}, "nobody": {}}


async def test_with_tokens_the_user_is_the_tokens_whatever_is_said(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    ana, ben = ({"Authorization": f"Bearer {token}"} for token in "ab")
    async with api_over(runtime) as api:
        program = (await upload(api, headers=ana, user_id="ben")).json()
        own = program["urls"]["self"]

        assert program["user_id"] == "ana"
        assert (await api.http.get(own, headers=ana, params={"user_id": "ben"})).status_code == 200
        assert (await api.http.get(own, headers=ben, params={"user_id": "ana"})).status_code == 404
        assert (await api.http.get(own)).status_code == 401
        assert (await upload(api)).status_code == 401


async def test_a_retry_names_what_it_did_and_waits_for_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    program = await made(api, [("a.md", GOOD), ("b.txt", b"other")])
    read = api.runtime.objects.read

    async def away(_key: str) -> bytes:
        raise TransientError("storage_unavailable", "away")

    monkeypatch.setattr(api.runtime.objects, "read", away)
    await run_delivered(api)
    failed = await shown(api, program)
    monkeypatch.setattr(api.runtime.objects, "read", read)

    asked = asyncio.create_task(api.http.post(program["urls"]["retry"], params={"retry_type": "document", "wait": 30}))
    async with asyncio.timeout(20):
        while not api.runtime.adapter.jobs:  # noqa: ASYNC110 - the deliveries of a fake have no event
            await asyncio.sleep(0.01)
    await run_delivered(api)
    answer = await asked

    storage = failed["metadata_json"]["document_storage"]
    assert storage["summary"] == {"total": 2, "success": 0, "failed": 2}
    assert [one["json_key"] for one in storage["failed_files"]] == ["json_file_0", "json_file_1"]
    assert all(one["s3_path"].endswith(one["filename"]) for one in storage["failed_files"])
    assert {one["error_class"] for one in storage["failed_files"]} == {"transient"}
    retried = answer.json()
    assert answer.status_code == 200
    TypeAdapter(RetryResource).validate_python(retried)
    assert retried["results"]["document"] == {"retried": 2, "success": 2, "failed": 0}
    assert retried["results"]["preprocessing"] == {"retried": 0, "success": 0, "failed": 0}
    assert retried["skipped"] == []
    state = await shown(api, program)
    assert state["files"]["completed"] == 2
    assert [one["results"]["document"]["success"] for one in state["metadata_json"]["retry_history"]] == [2]
    stats = (await api.http.get(f"{PROGRAMS}/retry-stats")).json()
    TypeAdapter(RetryStatsModel).validate_python(stats)
    assert stats == {"total_retries": 2, "successful_retries": 2, "failed_retries": 0, "retry_success_rate": 1.0}


async def test_twenty_retries_at_once_retry_each_file_once(api: Api) -> None:
    program = await made(api, [(f"{n}.pdf", files.scan_pdf() + b"%d" % n) for n in range(3)])
    await run_delivered(api)

    answers = await asyncio.gather(*(api.http.post(program["urls"]["retry"]) for _ in range(20)))

    made_ = [one.json() for one in answers]
    assert {one.status_code for one in answers} == {202}
    assert sum(one["results"]["preprocessing"]["retried"] for one in made_) == 3
    assert len(api.runtime.adapter.jobs) == 3
    others = [one for one in made_ if not one["results"]["preprocessing"]["retried"]]
    assert len(others) == 19
    assert all({file["index"] for file in one["skipped"]} == {0, 1, 2} for one in others)
    assert answers[0].headers["Location"] == made_[0]["urls"]["self"]
    again = await api.http.get(made_[0]["urls"]["self"])
    assert again.json()["retry_id"] == made_[0]["retry_id"]


async def test_a_wait_that_is_over_is_202(small_api: Api) -> None:
    program = await made(small_api, [("scan.pdf", files.scan_pdf())])
    await run_delivered(small_api)

    answer = await small_api.http.post(program["urls"]["retry"], params={"wait": 0})

    assert (answer.status_code, answer.json()["waiting"]) == (202, 1)


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"retry_type": "everything"}, "retry_type"),
        ({"wait": "-1"}, "wait"),
        ({"user_id": "a\0b"}, "user_id"),
        ({"user_id": "x" * 201}, "user_id"),
    ],
)
async def test_a_retry_that_is_asked_for_wrongly_is_422(small_api: Api, params: dict[str, str], pointer: str) -> None:
    program = await made(small_api)

    answer = await small_api.http.post(program["urls"]["retry"], params=params)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_a_deleted_program_is_gone_and_its_jobs_are_cancelled(api: Api) -> None:
    program = await made(api, [("a.md", GOOD), ("b.txt", b"other")])
    await api.runtime.core.run(api.runtime.adapter.jobs[0])
    read = [
        one for one in (await api.http.get(program["urls"]["files"])).json()["items"] if one["status"] == "completed"
    ]

    answer = await api.http.delete(program["urls"]["self"])

    TypeAdapter(ProgramDeleted).validate_python(answer.json())
    assert (answer.status_code, answer.json()["cancelled"]) == (200, 1)
    for again in (api.http.get, api.http.delete):
        assert (await again(program["urls"]["self"])).json()["code"] == "program_not_found"
    assert (await api.http.get(f"/api/v1/documents/{read[0]['document_id']}")).json()["status"] == "completed"


async def test_programs_are_listed_page_by_page(api: Api) -> None:
    ids = [(await made(api))["program_id"] for _ in range(3)]

    first = (await api.http.get(PROGRAMS, params={"limit": 2})).json()
    second = (await api.http.get(PROGRAMS, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    TypeAdapter(ProgramPage).validate_python(first)
    assert [one["program_id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert (await api.http.get(PROGRAMS, params={"cursor": "odd"})).json()["code"] == "invalid_cursor"


def test_what_the_documentation_shows_is_what_the_shapes_take() -> None:
    TypeAdapter(ProgramMetadata).validate_python(METADATA)
    TypeAdapter(RetryResource).validate_python(RETRIED)


async def test_a_refusal_reaches_who_is_still_sending(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(max_program_bytes=1024), sqlite_runtime.database, kind)
    head = part('name="files"; filename="a.txt"', b"x" * 2000) + part('name="files"; filename="b.txt"', b"")[:-2]
    body = head + b"y" * (30 * MIB) + b"\r\n--b--\r\n"
    asked = (
        f"POST {PROGRAMS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    async with served(runtime) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(f"{asked}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()  # it sends all before it reads, as simple clients do
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


def part(disposition: str, content: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


FILE = part('name="files"; filename="a.txt"', b"hello")


async def send(api: Api, body: bytes, content_type: str = "multipart/form-data; boundary=b") -> httpx2.Response:
    return await api.http.post(PROGRAMS, content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"", 422, "program_without_files", id="nothing"),
        pytest.param(FILE, 400, "malformed_multipart", id="cut behind a file"),
        pytest.param(FILE[:-5], 400, "malformed_multipart", id="cut in a file"),
        pytest.param(FILE.replace(b"--b", b"--c") + b"--c--\r\n", 400, "malformed_multipart", id="wrong boundary"),
        pytest.param(b"--b--\r\n", 422, "program_without_files", id="no parts"),
        pytest.param(part('name="user_id"', b"ana") + b"--b--\r\n", 422, "program_without_files", id="no files"),
        pytest.param(part('name="files"', b"text") + b"--b--\r\n", 422, "program_without_files", id="a text"),
        pytest.param(
            part('name="files"; filename=""', b"") + b"--b--\r\n", 422, "program_without_files", id="none chosen"
        ),
        pytest.param(part('name="x"', b"y") * 10_000 + b"--b--\r\n", 400, "malformed_multipart", id="10,000 parts"),
        pytest.param(
            FILE + part('name="user_id"', b"x" * 20_000) + b"--b--\r\n", 400, "malformed_multipart", id="long"
        ),
        pytest.param(FILE + part('name="user_id"', b"a\0b") + b"--b--\r\n", 422, "invalid_request", id="NUL"),
        pytest.param(FILE + part('name="container_id"', b"../x") + b"--b--\r\n", 422, "invalid_request", id="path"),
        pytest.param(FILE + part('name="use_multimodal"', b"maybe") + b"--b--\r\n", 422, "invalid_request", id="maybe"),
    ],
)
async def test_a_hostile_form_is_refused_and_leaves_nothing(
    small_api: Api, body: bytes, status: int, code: str
) -> None:
    answer = await send(small_api, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await small_api.http.get(PROGRAMS)).json()["items"] == []
    assert await stored(small_api.runtime) == []


async def test_fields_may_come_behind_the_files_and_twice(small_api: Api) -> None:
    fields = part('name="user_id"', b"ben") + part('name="user_id"', b"ana") + part('name="container_id"', b"harbour")

    answer = await send(small_api, FILE + part('name="other"; filename="z"', b"dropped") + fields + b"--b--\r\n")

    assert answer.status_code == 202, answer.text
    assert (answer.json()["user_id"], answer.json()["container_id"]) == ("ana", "harbour")
    assert answer.json()["files"]["total"] == 1


async def test_names_are_labels_and_may_be_the_same(small_api: Api) -> None:
    named = [
        'name="files"; filename="../../etc/x.txt"',
        'name="files[]"; filename="a.txt"',
        'name="file"; filename="a.txt"',
    ]
    body = b"".join(part(one, b"%d" % n) for n, one in enumerate(named)) + part(
        'name="files"; filename="a\0b.txt"', b"x"
    )

    answer = await send(small_api, body + b"--b--\r\n")
    page = (await small_api.http.get(answer.json()["urls"]["files"])).json()

    assert answer.status_code == 202, answer.text
    assert [one["file_path"] for one in page["items"]] == ["../../etc/x.txt", "a.txt", "a.txt", "ab.txt"]
    assert len({one["document_id"] for one in page["items"]}) == 4
    assert [one["file_size"] for one in page["items"]] == [1, 1, 1, 1]


async def test_the_same_content_in_one_program_is_said(small_api: Api) -> None:
    program = await made(small_api, [("a.md", GOOD), ("b.md", GOOD)])

    first, second = (await small_api.http.get(program["urls"]["files"])).json()["items"]

    assert first["duplicate_of"] is None
    assert second["duplicate_of"] == first["document_id"]


async def test_a_retry_that_came_and_went_while_another_waited_is_not_repeated(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = await made(api, [("scan.pdf", files.scan_pdf())])
    await run_delivered(api)
    retry = api.runtime.programs.retry

    async def overtaken(*arguments: Any, **given: Any) -> Any:
        monkeypatch.setattr(api.runtime.programs, "retry", retry)
        await api.http.post(program["urls"]["retry"])
        await run_delivered(api)
        return await retry(*arguments, **given)

    monkeypatch.setattr(api.runtime.programs, "retry", overtaken)
    answer = (await api.http.post(program["urls"]["retry"])).json()

    assert answer["results"]["preprocessing"]["retried"] == 0
    assert [(one["index"], one["reason"]) for one in answer["skipped"]] == [(0, "retried_meanwhile")]


async def test_a_retry_names_the_files_that_no_retry_can_help(api: Api) -> None:
    program = await made(api, [("a.md", GOOD), ("empty.txt", b""), ("c.elf", ELF)])
    await run_delivered(api)

    english = (await api.http.post(program["urls"]["retry"])).json()
    korean = (await api.http.post(program["urls"]["retry"], headers={"Accept-Language": "ko"})).json()

    TypeAdapter(RetryResource).validate_python(english)
    assert [(one["index"], one["file_path"], one["reason"]) for one in english["failed"]] == [
        (1, "empty.txt", "nothing_stored"),
        (2, "c.elf", "nothing_stored"),
    ]
    assert "Nothing of this file was stored" in english["failed"][0]["message"]
    assert "2 cannot be tried again" in english["message"]
    assert "2개는 저장된 내용이 없어" in korean["message"]
    assert (english["status"], english["skipped"]) == ("completed", [])


async def test_a_retry_that_is_complete_says_since_when(api: Api) -> None:
    program = await made(api, [("scan.pdf", files.scan_pdf())])
    await run_delivered(api)
    retry = (await api.http.post(program["urls"]["retry"])).json()
    before = (await api.http.get(retry["urls"]["self"])).json()
    await run_delivered(api)

    after = (await api.http.get(retry["urls"]["self"])).json()
    (record,) = (await shown(api, program))["metadata_json"]["retry_history"]
    (file,) = (await api.http.get(program["urls"]["files"])).json()["items"]

    assert (before["status"], before["completed_at"]) == ("processing", None)
    assert (after["status"], after["completed_at"]) == ("completed", file["ended_at"])
    assert record["completed_at"] == after["completed_at"]


async def test_an_upload_says_what_is_stored_and_the_project_may_be_a_parameter(small_api: Api) -> None:
    contents = batch(("a.md", GOOD), ("empty.txt", b""))

    asked = await small_api.http.post(PROGRAMS, params={"container_id": "harbour"}, files=contents)
    both = await small_api.http.post(
        PROGRAMS, params={"container_id": "harbour"}, files=contents, data={"container_id": "lighthouse"}
    )
    wrong = await small_api.http.post(PROGRAMS, params={"container_id": "../etc"}, files=contents)

    assert (asked.status_code, asked.json()["container_id"]) == (202, "harbour")
    assert asked.json()["message"] == "1 files are stored and will be read now."
    assert both.json()["container_id"] == "lighthouse"
    assert wrong.status_code == 422


async def test_a_korean_sentence_about_choices_has_no_english_in_it(small_api: Api) -> None:
    program = await made(small_api)
    korean = {"Accept-Language": "ko"}

    asked = await small_api.http.post(program["urls"]["retry"], params={"retry_type": "x"}, headers=korean)
    sent = await upload(small_api, use_multimodal="perhaps", headers=korean)

    choices, truth = (answer.json()["errors"][0]["detail"] for answer in (asked, sent))
    assert choices == "다음 중 하나여야 합니다: 'all' / 'preprocessing' / 'document'"
    assert truth == "true / false 형식이어야 합니다"


async def test_a_refused_type_lists_the_same_formats_everywhere(small_api: Api) -> None:
    program = await made(small_api, [("c.elf", ELF)])
    alone = await small_api.http.post("/api/v1/documents/upload", files={"file": ELF}, data={"container_id": "p"})

    (file,) = program["metadata_json"]["preprocessing"]["failed_files"]
    formats = "PDF, DOCX, PPTX, XLSX, HTML, HWP, HWPX, TXT"
    assert formats in file["error"]
    assert formats in alone.json()["detail"]
