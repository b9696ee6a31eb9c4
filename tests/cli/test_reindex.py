"""`reindex`: it submits the job that builds the index, once, and says what there is."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from generation_service.database import Database
from generation_service.database.tables import jobs
from generation_service.retrieval import NewChunk, add_chunks
from tests.cli.commands import Commands

GIVEN = {"EMBEDDING_BASE_URL": "http://127.0.0.1:1/v1", "EMBEDDING_MODEL": "former"}
CHUNK = NewChunk(
    id="a", project_id="p", source_kind="document", source_id="d", label="글.txt", ordinal=0, text="편지를 찾는다"
)


@pytest.fixture
def run(commands: Commands, sqlite_url: str, sqlite_database: Database) -> Any:
    sqlite_database.write_now(lambda connection: add_chunks(connection, [CHUNK]))
    return lambda *arguments, **given: commands.run(
        "reindex", *arguments, given={"DATABASE_URL": sqlite_url, **GIVEN, **given}
    )


def submitted(database: Database) -> list[str]:
    return database.read_now(lambda connection: list(connection.execute(select(jobs.c.kind)).scalars()))


def test_the_first_asks_for_a_job_and_the_next_for_none(run: Any, sqlite_database: Database) -> None:
    first, second = run("--json"), run("--json")

    [generation] = json.loads(first.out)["generations"]
    assert (generation["model"], generation["status"], generation["missing"]) == ("former", "active", 1)
    assert (first.code, bool(json.loads(first.out)["job_id"])) == (0, True)
    assert (second.code, json.loads(second.out)["job_id"]) == (0, None)
    assert submitted(sqlite_database) == ["reindex"]


def test_another_model_is_built_beside_the_one_in_use(run: Any) -> None:
    run()
    told = run(EMBEDDING_MODEL="latter")

    assert "fills the index for latter" in told.out
    assert "in use" in told.out
    assert "being built" in told.out


def test_the_same_model_is_built_anew_on_demand(run: Any) -> None:
    run()

    found = json.loads(run("--anew", "--json").out)["generations"]

    assert [(one["model"], one["status"]) for one in found] == [("former", "active"), ("former", "building")]


def test_without_a_model_one_line_says_what_to_set(commands: Commands, sqlite_url: str, tmp_path: Path) -> None:
    told = commands.run("reindex", given={"DATABASE_URL": sqlite_url})

    assert told.code == 2
    assert told.err.startswith("EMBEDDING_MODEL:")


def test_it_speaks_korean(run: Any) -> None:
    assert "사용 중" in run(LANG="ko_KR.UTF-8").out
