"""A backup of PostgreSQL in bad luck: tools that do not fit or fail, and a restoration that is killed half-way."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.engine import make_url

from generation_service.database import Database, schema
from generation_service.database.partitions import partitions
from generation_service.database.tables import documents
from generation_service.errors import ConfigurationError, PermanentError
from generation_service.jobs.queries import count_by_status
from generation_service.objects.keys import source_key
from scripts import backup, restore
from scripts.backup_aside import anything_aside, bring_back
from scripts.backup_database import PostgresTools, dump, load, server_version
from scripts.embedded.postgresql_programs import find_programs
from scripts.tool import LEFT, say
from tests.database.test_partitions import add_events
from tests.support.settings import SettingsFor

DOCUMENT = {
    "project_id": "p",
    "user_id": "ana",
    "job_id": "j",
    "file_name": "a.txt",
    "file_type": "txt",
    "file_size": 1,
    "sha256": "0" * 64,
    "status": "completed",
    "progress": 100.0,
    "created_at": datetime(2026, 11, 1, tzinfo=UTC),
}


def add_document(database: Database, name: str, key: str | None = None) -> None:
    row = {**DOCUMENT, "id": name, "object_key": key or source_key("p", name)}
    database.write_now(lambda connection: connection.execute(insert(documents), row))


def ids_in(database: Database) -> list[str]:
    return sorted(database.read_now(lambda connection: connection.execute(select(documents.c.id)).scalars().all()))


def stub(folder: Path, version: str, ending: str = "exit 0") -> PostgresTools:
    """A pg_restore and a pg_dump that say their version, list nothing, and do what `ending` says."""
    folder.mkdir(exist_ok=True)
    for name in ("pg_dump", "pg_restore"):
        (folder / name).write_text(
            f"#!/bin/sh\ncase $1 in --version) echo '{name} (PostgreSQL) {version}';; --list) ;; *) {ending};; esac\n",
            encoding="utf-8",
        )
        (folder / name).chmod(0o755)
    return PostgresTools(folder)


def version_of(database: Database) -> int:
    return server_version(database)


FAILS = "echo 'pg_restore: error: no' >&2; exit 1"


def test_a_restoration_that_fails_leaves_what_was_there(postgresql_database: Database, tmp_path: Path) -> None:
    add_document(postgresql_database, "former")
    (tmp_path / "dump").write_bytes(b"")

    with pytest.raises(PermanentError, match=r"pg_restore failed: pg_restore: error: no$"):
        load(
            postgresql_database,
            tmp_path / "dump",
            stub(tmp_path / "bin", f"{version_of(postgresql_database)}.1", FAILS),
        )

    assert ids_in(postgresql_database) == ["former"]
    assert not postgresql_database.read_now(anything_aside)


def test_a_restoration_that_succeeds_leaves_nothing_aside(postgresql_database: Database, tmp_path: Path) -> None:
    tools = PostgresTools(find_programs().binaries)
    add_document(postgresql_database, "saved")
    dump(postgresql_database, tmp_path / "dump", tools)
    add_document(postgresql_database, "later")

    load(postgresql_database, tmp_path / "dump", tools)

    assert ids_in(postgresql_database) == ["saved"]
    assert not postgresql_database.read_now(anything_aside)


def test_partitions_and_tallies_go_and_come_with_their_tables(
    postgresql_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, tools = postgresql_database, PostgresTools(find_programs().binaries)
    there = set(database.read_now(partitions))
    add_events(database, "01a1ff54-0000-7000-8000-000000000000")
    dump(database, tmp_path / "dump", tools)
    add_events(database, "01a1ff54-0000-7000-8000-000000000001")
    kill_half_way(database, tmp_path / "other", monkeypatch)
    assert database.write_now(bring_back)
    assert database.read_now(count_by_status) == {("rq", "completed"): 2}

    load(database, tmp_path / "dump", tools)

    assert (set(database.read_now(partitions)), database.read_now(anything_aside)) == (there, False)
    assert database.read_now(count_by_status) == {("rq", "completed"): 1}
    add_events(database, "01a1ff54-0000-7000-8000-000000000002")
    assert database.read_now(count_by_status) == {("rq", "completed"): 2}, "triggers came with the tables"


def kill_half_way(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the database as a restoration does that is killed while pg_restore runs."""
    folder.mkdir(exist_ok=True)
    (folder / "dump").write_bytes(b"")
    tools = stub(folder / "bin", f"{version_of(database)}.1", FAILS)
    with monkeypatch.context() as killed:
        killed.setattr("scripts.backup_aside.bring_back", lambda _: False)
        with pytest.raises(PermanentError):
            load(database, folder / "dump", tools)


def test_what_a_killed_restoration_set_aside_is_said_and_put_back(
    postgresql_database: Database, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(database_url=postgresql_database.url.render_as_string(hide_password=False))
    add_document(postgresql_database, "former")
    kill_half_way(postgresql_database, tmp_path, monkeypatch)

    with pytest.raises(ConfigurationError, match="before_restore"):
        restore._check_database(settings, PostgresTools(), force=True)
    assert restore.recover(settings)
    assert not restore.recover(settings)

    assert ids_in(postgresql_database) == ["former"]


def test_where_both_are_there_neither_is_touched(
    postgresql_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_document(postgresql_database, "former")
    kill_half_way(postgresql_database, tmp_path, monkeypatch)
    schema.migrate(postgresql_database)  # somebody started the service
    add_document(postgresql_database, "new")

    with pytest.raises(ConfigurationError, match="DROP SCHEMA before_restore"):
        postgresql_database.write_now(bring_back)

    assert ids_in(postgresql_database) == ["new"]
    assert postgresql_database.read_now(anything_aside)


def test_tools_newer_than_the_server_are_one_line_before_anything_is_touched(
    postgresql_database: Database, settings_for: SettingsFor, tmp_path: Path
) -> None:
    newer = stub(tmp_path / "bin", f"{version_of(postgresql_database) + 1}.0")
    settings = settings_for(database_url=postgresql_database.url.render_as_string(hide_password=False))

    for asked in (
        lambda: restore._check_database(settings, newer, force=True),
        lambda: dump(postgresql_database, tmp_path / "dump", newer),
    ):
        with pytest.raises(PermanentError, match="newer than the server") as refused:
            asked()
        assert "\n" not in refused.value.message


def test_a_tool_that_fails_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, postgresql_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Database(postgresql_url)) as database:
        tools = stub(tmp_path / "bin", f"{version_of(database)}.1", "echo 'no' >&2; exit 1")
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    monkeypatch.chdir(tmp_path)

    assert backup.main([str(tmp_path / "backup.tar"), "--pg-bin", str(tools.folder)]) == LEFT
    assert say("backup.tool_failed", program="pg_dump", reason="no") in capsys.readouterr().err


@pytest.mark.parametrize("url", ["postgresql://ana:s3cret@host/db", "postgresql://ana@host/db?password=s3cret"])
def test_a_password_never_reaches_a_command_line(tmp_path: Path, url: str) -> None:
    tools = stub(tmp_path / "bin", "15.1", 'echo "$PGPASSWORD $*"')

    told = tools.run(make_url(url), "pg_dump", "--file=x").split(maxsplit=1)

    assert told[0] == "s3cret"
    assert "s3cret" not in told[1]
    assert "postgresql://ana@host/db" in told[1]
