"""A backup under attack and in bad luck: two at once, names that lead elsewhere, a restoration that dies half-way."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from generation_service.database import Database, db_now, schema
from generation_service.database.tables import documents, doomed_objects
from generation_service.errors import ConfigurationError
from generation_service.objects import ObjectStore
from generation_service.objects.keys import document_prefix, source_key
from generation_service.settings import Settings
from scripts import backup, restore
from scripts.backup_archive import DATABASE, extracted, verified, writing
from scripts.backup_database import PostgresTools, load
from tests.support.settings import SettingsFor

ABOUT = {"created_at": "now", "engine": "sqlite", "schema": "0001", "figures": {}}
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
Places = Callable[[str], Settings]


@pytest.fixture
def place(settings_for: SettingsFor, tmp_path: Path) -> Places:
    """Makes the settings of a machine with SQLite."""

    def make(name: str) -> Settings:
        folder = tmp_path / name
        folder.mkdir()
        return settings_for(database_url=f"sqlite:///{folder / 'generation.db'}", storage_url=str(folder / "objects"))

    return make


def file_of(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


def add_document(database: Database, name: str, key: str | None = None) -> None:
    row = {**DOCUMENT, "id": name, "object_key": key or source_key("p", name)}
    database.write_now(lambda connection: connection.execute(insert(documents), row))


def ids_in(database: Database) -> list[str]:
    return sorted(database.read_now(lambda connection: connection.execute(select(documents.c.id)).scalars().all()))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def make_archive(settings: Settings, path: Path, *names: str) -> Path:
    with closing(Database(settings.database_url)) as database:
        schema.prepare(database)
        for name in names:
            add_document(database, name)
            await ObjectStore.open(settings.storage_url).put_bytes(source_key("p", name), b"x")
        await backup.back_up(settings, database, path, PostgresTools())
    return path


async def restored(settings: Settings, path: Path) -> restore.Outcome:
    return await restore.restore(settings, path, verified(path), PostgresTools())


def test_of_two_backups_to_one_file_one_succeeds_and_is_whole(tmp_path: Path) -> None:
    path, content = tmp_path / "backup.tar", tmp_path / "content"
    content.write_bytes(b"of the first" * 100_000)

    with pytest.raises(ConfigurationError, match="is there already"), writing(path) as first:  # noqa: PT012
        first.add(DATABASE, content)
        content.write_bytes(b"of the second")
        with writing(path) as second:
            second.add(DATABASE, content)
            second.close(ABOUT)
        first.close(ABOUT)

    assert verified(path).size == len(b"of the second")
    assert {one.name for one in tmp_path.iterdir()} == {"backup.tar", "content"}
    assert mode(path) == 0o600


def test_a_disk_that_knows_no_second_name_takes_a_backup_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "content").write_bytes(b"x")
    monkeypatch.setattr(os, "link", refuses)
    with writing(tmp_path / "backup.tar") as writer:
        writer.add(DATABASE, tmp_path / "content")
        writer.close(ABOUT)

    assert verified(tmp_path / "backup.tar").size == 1
    with pytest.raises(ConfigurationError, match="is there already"), writing(tmp_path / "backup.tar"):
        pass
    assert {one.name for one in tmp_path.iterdir()} == {"backup.tar", "content"}


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["objects/a/source"],
        [DATABASE, DATABASE],
        [DATABASE, "elsewhere"],
        [DATABASE, "objects/"],
        [DATABASE, "objects//etc/passwd"],
        [DATABASE, "objects/a/../../etc/passwd"],
        [DATABASE, "objects/./a"],
        [DATABASE, "objects/a", "objects/a"],
    ],
    ids=str,
)
def test_names_that_no_backup_has_are_damage(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "content").write_bytes(b"x")
    with writing(tmp_path / "backup.tar") as writer:
        for name in names:
            writer.add(name, tmp_path / "content")
        writer.close(ABOUT)

    with pytest.raises(ConfigurationError, match="damaged"):
        verified(tmp_path / "backup.tar")


@pytest.mark.parametrize("lacking", ABOUT)
def test_a_manifest_that_does_not_say_what_it_must_is_damage(tmp_path: Path, lacking: str) -> None:
    (tmp_path / "content").write_bytes(b"x")
    with writing(tmp_path / "backup.tar") as writer:
        writer.add(DATABASE, tmp_path / "content")
        writer.close({name: value for name, value in ABOUT.items() if name != lacking})

    with pytest.raises(ConfigurationError, match="damaged"):
        verified(tmp_path / "backup.tar")


async def test_bytes_that_nobody_owns_are_deleted_in_a_day_and_nothing_else_is(place: Places, tmp_path: Path) -> None:
    full, empty = place("full"), place("empty")
    late, doomed = source_key("p", "late"), document_prefix(source_key("p", "doomed"))
    objects = ObjectStore.open(full.storage_url)
    for key in (late, f"{doomed}/source", "programs/gone/documents/d/source", "of-somebody-else/source", "top"):
        await objects.put_bytes(key, b"x")
    with closing(Database(full.database_url)) as database:
        schema.prepare(database)
        rows = [
            {"prefix": prefix, "rounds": 1, "due_at": DOCUMENT["created_at"]} for prefix in (doomed, "programs/gone")
        ]
        database.write_now(lambda connection: connection.execute(insert(doomed_objects), rows))
    archive = await make_archive(full, tmp_path / "backup.tar", "kept")

    outcome = await restored(empty, archive)

    with closing(Database(empty.database_url)) as database:
        due = select(doomed_objects.c.prefix, doomed_objects.c.due_at > db_now(3600)).order_by(doomed_objects.c.rounds)
        found = database.read_now(lambda connection: connection.execute(due).all())
    assert (outcome.unowned, outcome.equal) == (1, True)
    assert [tuple(row) for row in found[:1]] == [(document_prefix(late), True)]
    assert {tuple(row) for row in found[1:]} == {(doomed, False), ("programs/gone", False)}


async def test_a_restored_database_is_for_its_owner_alone(place: Places, tmp_path: Path) -> None:
    archive = await make_archive(place("full"), tmp_path / "backup.tar")
    empty, taken = place("empty"), place("taken")
    with closing(Database(taken.database_url)) as database:
        schema.prepare(database)
    file_of(taken).chmod(0o640)
    (file_of(taken).parent / "generation.db.restoring").write_bytes(b"of one that was cut off")

    await restored(empty, archive)
    await restored(taken, archive)

    assert [mode(file_of(one)) for one in (empty, taken)] == [0o600, 0o640]


async def test_nobody_else_can_read_it_while_it_is_copied(
    place: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = await make_archive(place("full"), tmp_path / "backup.tar")
    empty = place("empty")
    copy = shutil.copyfileobj
    seen: list[int] = []

    def watched(*given: Any) -> None:
        seen.extend(mode(one) for one in file_of(empty).parent.glob("*.restoring"))
        copy(*given)

    monkeypatch.setattr(shutil, "copyfileobj", watched)
    await restored(empty, archive)

    assert seen == [0o600]


async def test_a_restoration_that_dies_before_the_last_moment_loses_no_row_of_the_former_database(
    place: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = await make_archive(place("full"), tmp_path / "backup.tar", "coming")
    taken = place("taken")
    log = file_of(taken).with_name("generation.db-wal")
    database = Database(taken.database_url)
    schema.prepare(database)
    add_document(database, "former")
    left = {one: one.read_bytes() for one in (file_of(taken), log)}
    database.close()
    for one, content in left.items():  # as a process leaves them that is killed
        one.write_bytes(content)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            load(Database(taken.database_url), await unpacked(archive, tmp_path), PostgresTools())

    with closing(Database(taken.database_url)) as database:
        assert ids_in(database) == ["former"]


async def unpacked(archive: Path, folder: Path) -> Path:
    file = folder / "unpacked"
    with extracted(archive) as members:
        for name, content in members:
            if name == DATABASE:
                file.write_bytes(content.read())
    return file
