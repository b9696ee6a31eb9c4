"""`documents upload` hands over what it is given and says what became of each file."""

import json
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
