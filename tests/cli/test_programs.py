"""`programs`: a batch is sent from disk as one form, and what became of it is said with what to do."""

import email
import email.policy
import json
import os
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from generation_service.cli.folders import Named
from generation_service.cli.program_form import ProgramForm
from scripts.embedded.ports import free_port
from tests.cli.commands import Commands
from tests.cli.scripted_api import Answer, ScriptedApi, as_json

UPLOAD = "POST /v1/programs"
SHOW = "GET /v1/programs/p1"
FILES = "GET /v1/programs/p1/files"
NO_FILES = {"items": [], "next_cursor": None}


def program(*, status: str = "completed", failed: int = 0, **given: Any) -> dict[str, Any]:
    failure = {
        "file_path": "b.txt",
        "index": 1,
        "code": "encrypted",
        "error": "Remove the password and upload it again.",
    }
    metadata = {
        "preprocessing": {"summary": {}, "failed_files": [failure] * failed},
        "document_storage": {"summary": {}, "failed_files": []},
    }
    counts = {"total": 2, "pending": 0, "processing": 0, "completed": 2 - failed, "failed": failed}
    said = {"program_id": "p1", "status": status, "message": "Said.", "progress": 100.0, "files": counts}
    return {**said, "completed_at": "2026-01-01T00:00:00Z", "container_id": "p1", "metadata_json": metadata, **given}


def folder_of(parent: Path) -> Path:
    (parent / "in" / "deep").mkdir(parents=True)
    for name, content in (("a.md", "가나다"), ("deep/b.txt", "text"), (".hidden", "no")):
        (parent / "in" / name).write_text(content, encoding="utf-8")
    return parent / "in"


def parts_of(content_type: str, body: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """The parts of a form, read by somebody else's parser: field, file name, content."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    for part in message.iter_parts():
        assert isinstance(part, EmailMessage)
        name = part.get_param("name", header="content-disposition")
        yield str(name), part.get_filename(), part.get_payload(decode=True)


def test_a_folder_is_one_form_with_the_names_of_its_files(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json(program(), 202))
    arguments = ("--project", "harbour", "--user", "ana", "--multimodal", "--json")

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), *arguments, given={"API_URL": service.url})

    (asked,) = service.asked
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["program_id"] == "p1"
    assert asked.headers["idempotency-key"].startswith("cli-")
    assert sorted(parts_of(asked.headers["content-type"], asked.body)) == [
        ("container_id", None, b"harbour"),
        ("files", "a.md", "가나다".encode()),
        ("files", "deep/b.txt", b"text"),
        ("use_multimodal", None, b"true"),
        ("user_id", None, b"ana"),
    ]


def test_an_upload_whose_answer_was_lost_is_sent_again_as_a_whole(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, Answer(refuse=True), as_json(program(), 202))
    service.on(FILES, as_json(NO_FILES))

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), given={"API_URL": service.url})

    first, second = service.asked_for("/v1/programs")
    assert ran.code == 0, ran.err
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_a_form_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"x" * 1_000_000)
    sent: list[int] = []

    pieces = list(ProgramForm([Named(path, 'a"\r\nb.txt')], {}, sent.append))

    assert sum(sent) == 1_000_000
    assert max(map(len, pieces)) <= 256 * 1024
    assert b'filename="a%22%0D%0Ab.txt"' in pieces[0]


def test_waiting_ends_with_the_failures_and_what_to_do(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json(program(status="processing"), 202))
    service.on(FILES, as_json(NO_FILES))
    waiting = program(failed=1, completed_at=None)  # the failed one is about to be tried again
    service.on(SHOW, as_json(program(status="processing")), as_json(waiting), as_json(program(failed=1)))

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), "--wait", given={"API_URL": service.url})

    assert ran.code == 1
    assert "p1: 1 of 2 files are ready to be used; 1 failed." in ran.out
    assert "generation-service programs retry p1" in ran.out
    assert "same" not in ran.out
    assert "encrypted" in ran.out
    assert "Remove the password" in ran.out
    assert len(service.asked_for("/v1/programs/p1")) == 3


def test_a_file_that_cannot_be_opened_is_said_and_the_others_are_sent(
    commands: Commands, service: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.on(UPLOAD, as_json(program(), 202))
    service.on(FILES, as_json(NO_FILES))
    folder, real = folder_of(tmp_path), Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)

    ran = commands.run("programs", "upload", str(folder), given={"API_URL": service.url})

    (asked,) = service.asked_for("/v1/programs")
    assert ran.code == 1
    assert "b.txt cannot be opened" in ran.err
    assert [name for _, name, _ in parts_of(asked.headers["content-type"], asked.body)] == ["a.md"]


def test_an_empty_folder_is_said_and_nothing_is_sent(commands: Commands, service: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    ran = commands.run("programs", "upload", str(tmp_path / "empty"), given={"API_URL": service.url})

    assert (ran.code, service.asked) == (1, [])
    assert "no file to upload" in ran.err


def test_a_refusal_is_its_sentence(commands: Commands, service: ScriptedApi, tmp_path: Path) -> None:
    service.on(UPLOAD, as_json({"code": "program_too_many_files", "detail": "Send them as several programs."}, 413))

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), given={"API_URL": service.url})

    assert (ran.code, ran.err.strip()) == (1, "Send them as several programs.")


def test_a_retry_says_what_it_did_and_what_it_skipped(commands: Commands, service: ScriptedApi) -> None:
    counts = {"retried": 2, "success": 1, "failed": 1}
    made = {
        "message": "1 of 2 files are ready now.",
        "results": {"preprocessing": counts, "document": dict.fromkeys(counts, 0)},
        "status": "completed",
        "failed": [{"index": 3, "file_path": "b.exe", "reason": "nothing_stored", "message": "upload it again"}],
        "skipped": [{"index": 7, "file_path": "c.pdf", "reason": "under_retry", "message": "wait for that one"}],
    }
    service.on("POST /v1/programs/p1/retry", as_json(made))
    arguments = ("--type", "preprocessing", "--wait", "5", "--user", "ana")

    ran = commands.run("programs", "retry", "p1", *arguments, given={"API_URL": service.url})

    assert ran.code == 1
    assert ran.out.splitlines() == [
        "1 of 2 files are ready now.",
        "  3 b.exe: upload it again",
        "  7 c.pdf: wait for that one",
    ]
    assert service.asked[0].path == "/v1/programs/p1/retry?retry_type=preprocessing&wait=5&user_id=ana"


def test_files_are_fetched_page_by_page(commands: Commands, service: ScriptedApi) -> None:
    one = {
        "index": 0,
        "file_path": "a.md",
        "status": "failed",
        "code": "empty",
        "error": "No bytes.",
        "document_id": None,
        "duplicate_of": None,
    }
    pages = [{"items": [one], "next_cursor": "0"}, {"items": [{**one, "index": 1}], "next_cursor": None}]
    service.on("GET /v1/programs/p1/files", *(as_json(page) for page in pages))

    ran = commands.run("programs", "files", "p1", "--status", "failed", "--json", given={"API_URL": service.url})

    assert ran.code == 0
    assert [one["index"] for one in json.loads(ran.out)["files"]] == [0, 1]
    assert "cursor=0" in service.asked[1].path


def test_statistics_are_said_in_the_terminals_language(commands: Commands, service: ScriptedApi) -> None:
    stats = {"total_retries": 4, "successful_retries": 3, "failed_retries": 1, "retry_success_rate": 0.75}
    service.on("GET /v1/programs/retry-stats", as_json(stats))

    ran = commands.run("programs", "retry-stats", given={"API_URL": service.url, "LANG": "ko_KR.UTF-8"})

    assert ran.code == 0
    assert "성공률 75%" in ran.out


def test_a_deletion_is_said(commands: Commands, service: ScriptedApi) -> None:
    service.on("DELETE /v1/programs/p1", as_json({"message": "The program was deleted.", "cancelled": 0}))

    ran = commands.run("programs", "delete", "p1", given={"API_URL": service.url})

    assert (ran.code, ran.out.strip()) == (0, "The program was deleted.")


def test_an_id_cannot_lead_to_another_address(commands: Commands, service: ScriptedApi) -> None:
    service.on("GET /v1/programs/..%2Fx", as_json(program()))

    ran = commands.run("programs", "show", "../x", "--json", given={"API_URL": service.url})

    assert ran.code == 0
    assert service.asked[0].path.startswith("/v1/programs/..%2Fx")


def test_nobody_at_the_address_is_one_line(commands: Commands, tmp_path: Path) -> None:
    given = {"API_URL": f"http://127.0.0.1:{free_port()}"}

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), given=given)

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)


def test_a_retry_that_is_under_way_is_no_failure(commands: Commands, service: ScriptedApi) -> None:
    counts = {"retried": 2, "success": 0, "failed": 1}  # one was turned away at the door
    made = {"message": "Going on.", "status": "processing", "results": {"preprocessing": counts}}
    service.on("POST /v1/programs/p1/retry", as_json({**made, "failed": [], "skipped": []}, 202))

    ran = commands.run("programs", "retry", "p1", given={"API_URL": service.url})

    assert (ran.code, ran.out.strip()) == (0, "Going on.")


def test_an_upload_says_how_to_follow_it_and_what_the_project_has_already(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json(program(status="processing", message="2 files are stored."), 202))
    service.on(FILES, as_json({"items": [{"duplicate_of": "d1"}, {"duplicate_of": None}], "next_cursor": None}))

    ran = commands.run("programs", "upload", str(folder_of(tmp_path)), given={"API_URL": service.url})

    assert ran.code == 0
    assert "p1: 2 files are stored." in ran.out
    assert "1 file(s) have the content of another document" in ran.out
    assert "generation-service programs show p1" in ran.err


def test_a_file_with_the_content_of_another_names_it(commands: Commands, service: ScriptedApi) -> None:
    one = {"index": 0, "file_path": "a.md", "status": "completed", "code": None, "error": None, "document_id": "d2"}
    service.on(FILES, as_json({"items": [{**one, "duplicate_of": "d1"}], "next_cursor": None}))

    ran = commands.run("programs", "files", "p1", given={"API_URL": service.url})

    assert "d2 (the same as d1)" in ran.out


def test_a_pipe_is_left_out_and_names_of_older_encodings_are_sent(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json(program(), 202))
    old = os.fsdecode(os.fsencode(tmp_path) + b"/" + "대본.md".encode("cp949"))
    paths = [str(tmp_path / "a.md"), old, str(tmp_path / "z.md")]
    for path in paths:
        Path(path).write_text("text")
    os.mkfifo(tmp_path / "pipe")
    user = os.fsdecode("가".encode("cp949"))

    ran = commands.run(
        "programs", "upload", *paths, str(tmp_path / "pipe"), "--user", user, "--json", given={"API_URL": service.url}
    )

    (asked,) = service.asked
    found = list(parts_of(asked.headers["content-type"], asked.body))
    assert ran.code == 1  # for the pipe
    assert "pipe cannot be opened, or is no regular file" in ran.err
    names = [str(name) for field, name, _ in found if field == "files"]
    assert (names[0], names[1][0], names[2]) == ("a.md", "?", "z.md")
    assert ("user_id", None, b"??") in found
