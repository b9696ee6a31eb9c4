"""`documents upload` hands over what it is given and says what became of each file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from scripts.embedded.ports import free_port
from tests.cli.commands import Commands
from tests.cli.scripted_api import ScriptedApi, as_json

UPLOAD = "POST /api/v1/documents/upload"


def notes(folder: Path) -> Path:
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / ".git").mkdir()
    for name in ("a.md", "deep/b.txt", ".hidden", ".git/config"):
        (folder / "notes" / name).write_text("text", encoding="utf-8")
    return folder / "notes"


def test_a_folder_is_uploaded_with_all_its_files_but_hidden_ones(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json({"document_id": "d1"}, 202), as_json({"document_id": "d2"}, 202))

    ran = commands.run(
        "documents", "upload", str(notes(tmp_path)), "--project", "p", "--json", given={"API_URL": service.url}
    )

    assert ran.code == 0
    uploaded = json.loads(ran.out)["documents"]
    assert [Path(one["path"]).name for one in uploaded] == ["a.md", "b.txt"]
    assert [one["document_id"] for one in uploaded] == ["d1", "d2"]


def test_waiting_ends_with_each_documents_status_and_code(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, as_json({"document_id": "good"}, 202), as_json({"document_id": "bad"}, 202))
    reading = {"status": "processing", "progress": 10}
    service.on("GET /api/v1/documents/good/status", as_json(reading), as_json({"status": "completed"}))
    failed = {"status": "failed", "code": "encrypted", "error": "It is locked with a password."}
    service.on("GET /api/v1/documents/bad/status", as_json(failed))

    ran = commands.run(
        "documents", "upload", str(notes(tmp_path)), "--project", "p", "--wait", given={"API_URL": service.url}
    )

    assert ran.code == 1
    assert "completed" in ran.out
    assert "encrypted" in ran.out


def test_a_file_that_is_refused_does_not_stop_the_others(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    refusal = {"code": "unsupported_type", "detail": "This type of file is not taken."}
    service.on(UPLOAD, as_json(refusal, 415), as_json({"document_id": "d2"}, 202))

    ran = commands.run(
        "documents", "upload", str(notes(tmp_path)), "--project", "p", "--json", given={"API_URL": service.url}
    )

    assert ran.code == 1
    first, second = json.loads(ran.out)["documents"]
    assert (first["status"], first["code"], first["message"]) == ("failed", "unsupported_type", refusal["detail"])
    assert second["document_id"] == "d2"


def test_a_file_that_cannot_be_opened_is_its_own_failure(
    commands: Commands, service: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.on(UPLOAD, as_json({"document_id": "d1"}, 202))
    folder, real = notes(tmp_path), Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)

    ran = commands.run("documents", "upload", str(folder), "--project", "p", "--json", given={"API_URL": service.url})

    assert ran.code == 1
    assert [one["code"] for one in json.loads(ran.out)["documents"]] == [None, "unreadable_file"]


def test_nobody_at_the_address_is_said_once(commands: Commands, tmp_path: Path) -> None:
    given = {"API_URL": f"http://127.0.0.1:{free_port()}"}

    ran = commands.run("documents", "upload", str(notes(tmp_path)), "--project", "p", given=given)

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "API_URL" in ran.err


def test_passages_are_printed_under_their_origin(commands: Commands, service: ScriptedApi) -> None:
    passage = {
        "file_name": "대본.md",
        "heading": "1장",
        "page": 3,
        "text": "헌책방 문",
        "highlights": [{"start": 0, "end": 3}],
    }
    service.on("GET /api/v1/documents/search", as_json({"items": [passage]}), as_json({"items": []}))
    given = {"API_URL": service.url}

    found = commands.run("documents", "search", "헌책방", "--project", "p", given=given)
    nothing = commands.run("documents", "search", "없음", "--project", "p", given=given)

    assert found.code == 0
    assert found.out.split() == ["대본.md,", "1장,", "3", "헌책방", "문"]
    assert nothing.code == 1
    assert "documents list" in nothing.err


def test_a_list_is_fetched_to_its_end(commands: Commands, service: ScriptedApi) -> None:
    one = {"file_name": "a.md", "status": "completed", "code": None, "document_id": "d1", "container_id": "p"}
    pages = [{"items": [one], "next_cursor": "c"}, {"items": [{**one, "document_id": "d2"}], "next_cursor": None}]
    service.on("GET /api/v1/documents", *(as_json(page) for page in pages))

    ran = commands.run("documents", "list", "--project", "p", given={"API_URL": service.url})

    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["File", "a.md", "a.md"]
    assert "container_id=p" in service.asked[1].path
    assert "cursor=c" in service.asked[1].path


def test_a_retry_of_a_document_is_sent_once(commands: Commands, service: ScriptedApi) -> None:
    service.on("POST /api/v1/documents/d1/retry", as_json({"message": "It waits to be read."}, 202))

    ran = commands.run("documents", "retry", "d1", given={"API_URL": service.url})

    assert (ran.code, ran.out.strip()) == (0, "It waits to be read.")
    assert len(service.asked) == 1


def test_a_file_named_in_an_older_encoding_is_sent_between_the_others(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    service.on(UPLOAD, *(as_json({"document_id": f"d{n}"}, 202) for n in range(3)))
    folder = tmp_path / "old"
    folder.mkdir()
    for name in (b"a.md", "대본.md".encode("cp949"), b"z.md"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("text")

    ran = commands.run("documents", "upload", str(folder), "--project", "p", given={"API_URL": service.url})

    assert (ran.code, len(service.asked)) == (0, 3), ran.err
    assert ran.out.count("being read") == 3
    assert b'.md"' in service.asked[1].body


def test_a_duplicate_is_shown_as_the_document_that_is_there(
    commands: Commands, service: ScriptedApi, tmp_path: Path
) -> None:
    there = {"document_id": "d1", "duplicate_of": "d1", "message": "The project has it already."}
    service.on(UPLOAD, as_json(there, 202), as_json({"document_id": "d2", "duplicate_of": None}, 202))
    service.on("GET /api/v1/documents/d1/status", as_json({"status": "completed", "message": "Ready."}))

    ran = commands.run("documents", "upload", str(notes(tmp_path)), "--project", "p", given={"API_URL": service.url})

    first, second = (line for line in ran.out.splitlines() if "notes" in line)
    assert ran.code == 0
    assert "completed" in first
    assert "The project has it already." in first
    assert "being read" in second


def test_a_pipe_is_refused_and_not_waited_for(commands: Commands, service: ScriptedApi, tmp_path: Path) -> None:
    service.on(UPLOAD, as_json({"document_id": "d1"}, 202))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.md").write_text("text")
    paths = (str(tmp_path / "pipe"), str(tmp_path / "a.md"))

    ran = commands.run("documents", "upload", *paths, "--project", "p", "--json", given={"API_URL": service.url})

    pipe, file = json.loads(ran.out)["documents"]
    assert ran.code == 1
    assert (pipe["status"], pipe["code"]) == ("failed", "unreadable_file")
    assert "no regular file" in pipe["message"]
    assert file["document_id"] == "d1"


@pytest.mark.parametrize(("options", "sent"), [((), False), (("--multimodal",), True)])
def test_text_in_pictures_is_read_where_that_is_asked(
    commands: Commands, service: ScriptedApi, tmp_path: Path, options: tuple[str, ...], *, sent: bool
) -> None:
    service.on(UPLOAD, as_json({"document_id": "d1"}, 202))
    (tmp_path / "a.md").write_text("text")

    commands.run(
        "documents", "upload", str(tmp_path / "a.md"), "--project", "p", *options, given={"API_URL": service.url}
    )

    assert (b'name="use_multimodal"' in service.asked[0].body) is sent


def test_each_value_that_is_wrong_is_named(commands: Commands, service: ScriptedApi) -> None:
    wrong = [{"pointer": "q", "code": "too_short", "detail": "takes 1 characters at least"}]
    detail = "Correct what errors lists."
    service.on("GET /api/v1/documents/search", as_json({"code": "c", "detail": detail, "errors": wrong}, 422))

    ran = commands.run("documents", "search", "", "--project", "p", given={"API_URL": service.url})

    assert (ran.code, ran.err.splitlines()) == (1, [detail, "  q: takes 1 characters at least"])


def test_what_is_not_there_is_said(commands: Commands, service: ScriptedApi) -> None:
    problem = {"code": "document_not_found", "title": "There is no such document", "detail": "Check the document id."}
    service.on("DELETE /api/v1/documents/d1", as_json(problem, 404))

    ran = commands.run("documents", "delete", "d1", given={"API_URL": service.url})

    assert (ran.code, ran.err.strip()) == (1, "There is no such document. Check the document id.")


def test_a_retry_of_a_programs_document_names_the_command(commands: Commands, service: ScriptedApi) -> None:
    refused = {"code": "document_of_program", "detail": "POST /v1/programs/p9/retry"}
    service.on("POST /api/v1/documents/d1/retry", as_json(refused, 409))
    service.on("GET /api/v1/documents/d1", as_json({"program_id": "p9"}))

    ran = commands.run("documents", "retry", "d1", given={"API_URL": service.url})

    assert ran.code == 1
    assert "generation-service programs retry p9" in ran.err
    assert "POST" not in ran.err


def test_nothing_found_says_that_one_syllable_finds_nothing(commands: Commands, service: ScriptedApi) -> None:
    service.on("GET /api/v1/documents/search", as_json({"items": []}))
    given = {"API_URL": service.url, "LANG": "ko_KR.UTF-8"}

    ran = commands.run("documents", "search", "칼", "--project", "p", given=given)

    assert ran.code == 1
    assert "두 글자 이상" in ran.err
