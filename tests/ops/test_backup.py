"""A backup of a running service: an empty machine finds everything in it; a spoiled one touches nothing."""

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from generation_service.database import Database, schema
from generation_service.database.tables import documents
from generation_service.errors import ConfigurationError, TransientError
from generation_service.objects import ObjectStore
from generation_service.settings import Settings
from scripts import backup, restore
from scripts.backup_archive import verified, writing
from scripts.backup_database import PostgresTools
from scripts.embedded.postgresql_programs import find_programs
from scripts.embedded.redis_server import EmbeddedRedis
from scripts.tool import say
from tests.support.provider import Provider
from tests.support.s3 import s3_server
from tests.support.servers import PostgresDatabases
from tests.support.settings import SettingsFor
from tests.support.stack import Stack, stack

ROOT = Path(__file__).parents[2]
SENTENCE = "도현은 바닷가 서점에서 오래된 편지를 발견했다."
PROGRAM = [("인물.txt", SENTENCE), ("장소.md", "# 서점\n\n서점은 등대 옆 골목 끝에 있다."), ("빈.txt", "")]


@dataclass
class Machine:
    """A service, and the scripts of its host."""

    stack: Stack

    def run(self, script: str, *words: object, language: str = "C.UTF-8") -> "subprocess.CompletedProcess[str]":
        """Run a script of ops/ from the stack's own folder."""
        tools = {"PG_BIN": str(find_programs().binaries)} if "postgresql" in self.stack.settings["DATABASE_URL"] else {}
        return subprocess.run(
            [str(ROOT / "ops" / script), *map(str, words)],
            cwd=self.stack.folder,
            env={**self.stack.environment(), **tools, "LANG": language, "LOG_LEVEL": "warning"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def told(self, script: str, *words: object) -> dict[str, Any]:
        done = self.run(script, *words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def upload(self, text: str) -> str:
        file = {"file": ("대본.txt", text.encode(), "text/plain")}
        answer = self.stack.http.post("/api/v1/documents/upload", files=file, data={"container_id": "p1"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["document_id"])

    def document(self, document_id: str) -> str:
        return str(self.stack.http.get(f"/api/v1/documents/{document_id}/status").json()["status"])

    def make_program(self) -> str:
        files = [("files", (name, text.encode(), "text/plain")) for name, text in PROGRAM]
        answer = self.stack.http.post("/v1/programs", files=files, data={"user_id": "ana", "container_id": "p1"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["program_id"])

    def program(self, program_id: str) -> dict[str, Any]:
        answer = self.stack.http.get(f"/v1/programs/{program_id}", params={"user_id": "ana"})
        told: dict[str, Any] = answer.raise_for_status().json()["metadata_json"]
        return told

    def settled(self, program_id: str) -> bool:
        told = self.program(program_id)
        return bool(told["total_successful_documents"] == 2 and told["has_partial_failure"])

    def found(self) -> list[str]:
        asked = {"container_id": "p1", "q": "오래된 편지"}
        answer = self.stack.http.get("/api/v1/documents/search", params=asked).raise_for_status().json()
        return [item["text"] for item in answer["items"]]


@pytest.fixture
def another_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """An empty database of the same kind."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'other' / 'generation.db'}"
    else:
        servers: PostgresDatabases = request.getfixturevalue("_postgres_databases")
        with servers.fresh() as url:
            yield url


@pytest.fixture
def another_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "another-redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def machine(provider: Provider, tmp_path: Path) -> Iterator[Callable[[str, str, EmbeddedRedis], Machine]]:
    """Makes machines in durable mode."""
    open_ones: list[Any] = []

    def make(name: str, url: str, redis: EmbeddedRedis) -> Machine:
        model = {**provider.settings, "LLM_API_KEY": "x"}
        settings = {"USE_DURABLE_WORKER": "true", "REDIS_URL": redis.url, "ROLLBACK_TRIGGERS": "off", **model}
        settings["WORKER_CONCURRENCY"] = "1"
        context = stack(tmp_path / name, url, **settings)
        open_ones.append(context)
        return Machine(context.__enter__())

    yield make
    for context in open_ones:
        context.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_empty_machine_finds_everything_in_a_backup_of_a_running_service(  # noqa: PLR0917 - fixtures come by name
    machine: Callable[[str, str, EmbeddedRedis], Machine],
    database_url: str,
    another_url: str,
    redis_server: EmbeddedRedis,
    another_redis: EmbeddedRedis,
    provider: Provider,
) -> None:
    first = machine("first", database_url, redis_server)
    first.stack.serve()
    first.stack.worker()
    read = [first.upload(SENTENCE), first.upload("서점 주인은 말이 없었다. " * 1000)]
    program = first.make_program()
    done = first.stack.submit("끝난 편")["job_id"]
    first.stack.wait_for(done, "completed")
    first.stack.until(lambda: first.settled(program), "the program is settled")
    first.stack.until(lambda: {first.document(one) for one in read} == {"completed"}, "documents are read")
    provider.hold("signal")
    running = first.stack.submit("도는 편")["job_id"]
    provider.wait_until_held("signal", job_id=running)
    # The only slot is taken: the others wait in Redis, which the new machine does not have.
    waiting = [first.stack.submit(f"기다리는 편 {number}")["job_id"] for number in range(3)]

    told = first.told("backup.sh", "backup.tar")
    script = first.stack.http.get(f"/api/generation/{done}/result").text
    passages = first.found()
    summary = first.program(program)
    first.stack.kill_all()
    provider.release()

    second = machine("second", another_url, another_redis)
    restored = second.told("restore.sh", first.stack.folder / "backup.tar")
    again = second.run("restore.sh", first.stack.folder / "backup.tar")
    second.stack.serve()
    second.stack.worker()

    assert told["figures"]["jobs"]["running"] == 1
    assert told["figures"]["jobs"]["pending"] == 3
    assert told["lost"] == told["deleted_meanwhile"] == []
    assert restored["equal"]
    assert (restored["figures"], restored["objects"]) == (told["figures"], told["objects"])
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    for job in (running, *waiting):
        second.stack.wait_for(job, "completed")
    assert second.stack.http.get(f"/api/generation/{done}/result").text == script
    assert {second.document(one) for one in read} == {"completed"}
    assert second.program(program) == summary
    assert second.found() == passages
    assert any(SENTENCE in passage for passage in passages)
    episodes = second.stack.http.get("/api/projects/p1/episodes").json()["items"]
    assert sorted(one["number"] for one in episodes) == [1, 2, 3, 4, 5]
    assert second.document(second.upload("새 문서.")) in {"pending", "processing", "completed"}
    running_one = second.run("restore.sh", first.stack.folder / "backup.tar", "--force")
    assert running_one.returncode == 2
    assert "stop it first" in running_one.stderr


@dataclass
class Place:
    """A database with a store beside it, without a service."""

    settings: Settings

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore.open(self.settings.storage_url, endpoint_url=self.settings.s3_endpoint_url)

    @property
    def file(self) -> Path:
        return Path(self.settings.database_url.removeprefix("sqlite:///"))

    async def fill(self, *keys: str) -> None:
        """A migrated database with a document for each key, and its object."""
        with closing(Database(self.settings.database_url)) as database:
            schema.prepare(database)
            for key in keys:
                row = {**DOCUMENT, "id": key, "object_key": f"{key}/source"}
                database.write_now(lambda connection, row=row: connection.execute(insert(documents), row))
                await self.objects.put_bytes(f"{key}/source", key.encode() * 1000)

    async def back_up(self, path: Path) -> backup.Outcome:
        with closing(Database(self.settings.database_url)) as database:
            return await backup.back_up(self.settings, database, path, PostgresTools())

    async def restore(self, path: Path, *, force: bool = False) -> restore.Outcome:
        manifest = verified(path)
        await restore.check(self.settings, manifest, PostgresTools(), force=force)
        return await restore.restore(self.settings, path, manifest, PostgresTools())


DOCUMENT = {
    "project_id": "책방",
    "user_id": "ana",
    "job_id": "j",
    "file_name": "대본.txt",
    "file_type": "txt",
    "file_size": 1,
    "sha256": "0" * 64,
    "status": "completed",
    "progress": 100.0,
    "created_at": datetime(2026, 11, 1, tzinfo=UTC),
}
Places = Callable[..., Place]


@pytest.fixture
def place(settings_for: SettingsFor, tmp_path: Path) -> Places:
    def make(name: str, **given: Any) -> Place:
        where = {
            "database_url": f"sqlite:///{tmp_path / name / 'generation.db'}",
            "storage_url": str(tmp_path / name / "objects"),
        }
        return Place(settings_for(**{**where, **given}))

    return make


async def keys_of(place: Place) -> list[str]:
    return sorted([key async for key in place.objects.keys("")])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def refusal(restoring: Awaitable[object]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        await restoring
    assert "\n" not in refused.value.message
    return refused.value.message


@pytest.fixture
async def archive(place: Places, tmp_path: Path) -> Path:
    full = place("full")
    await full.fill("d1", "d2")
    await full.back_up(tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


async def test_a_backup_is_for_its_owner_alone_and_twice_restored_equals_once(archive: Path, place: Places) -> None:
    empty = place("empty")
    outcomes = [await empty.restore(archive), await empty.restore(archive, force=True)]

    assert [outcome.equal for outcome in outcomes] == [True, True]
    assert await keys_of(empty) == ["d1/source", "d2/source"]
    assert mode(archive) == 0o600
    assert names_in(archive.parent) <= {"backup.tar", "full", "empty"}


def spoiled(archive: Path, way: str) -> None:
    content = archive.read_bytes()
    found = content.index(b"d2" * 100)
    spoilt = {
        "changed": content[:found] + b"X" + content[found + 1 :],
        "cut off": content[: found + 100],
        "without its manifest": content[: content.index(b"manifest.json")] + bytes(10240),
        "no archive": b"hello",
        "empty": b"",
    }
    archive.write_bytes(spoilt[way])


@pytest.mark.parametrize("way", ["changed", "cut off", "without its manifest", "no archive", "empty"])
async def test_a_spoiled_backup_is_refused_before_anything_is_touched(archive: Path, place: Places, way: str) -> None:
    empty = place("empty")
    spoiled(archive, way)

    assert await refusal(empty.restore(archive)) in {say("restore.damaged"), say("restore.no_backup")}
    assert not empty.file.exists()
    assert await keys_of(empty) == []


async def test_what_does_not_fit_is_one_line(archive: Path, place: Places, tmp_path: Path) -> None:
    with writing(tmp_path / "newer.tar") as writer:
        writer.add("database", archive)
        writer.close({"created_at": "now", "engine": "sqlite", "schema": "9999", "figures": {}})

    assert "9999" in await refusal(place("empty").restore(tmp_path / "newer.tar"))
    postgres = place("empty", database_url="postgresql://nobody@/nowhere?host=/nonexistent")
    assert "sqlite" in await refusal(postgres.restore(archive))
    assert await refusal(place("empty").restore(tmp_path / "nowhere.tar")) == say("restore.no_file")


async def test_a_place_that_is_not_empty_is_left_alone_without_force(archive: Path, place: Places) -> None:
    taken, stored = place("taken"), place("stored")
    await taken.fill("other")
    await stored.objects.put_bytes("other/source", b"x")

    assert await refusal(taken.restore(archive)) == say("restore.database_not_empty")
    assert await refusal(stored.restore(archive)) == say("restore.store_not_empty", count=1)
    assert (await taken.restore(archive, force=True)).equal
    assert await keys_of(taken) == ["d1/source", "d2/source", "other/source"]


async def test_a_database_that_is_broken_is_replaced_by_force(archive: Path, place: Places) -> None:
    broken = place("broken")
    broken.file.parent.mkdir(parents=True)
    broken.file.write_bytes(b"no database" * 1000)

    assert await refusal(broken.restore(archive)) == say("restore.database_not_empty")
    assert (await broken.restore(archive, force=True)).equal


def crash_in_the_midst_of_writing(file: Path) -> None:
    """Leave a log beside the database, as a process does that is killed."""
    log = file.with_name("generation.db-wal")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE documents SET file_name = 'of the former database'")
        connection.commit()
        content = log.read_bytes()
    log.write_bytes(content)


@pytest.mark.parametrize("broken", [False, True])
async def test_the_log_of_the_database_that_is_replaced_is_not_read(
    archive: Path, place: Places, *, broken: bool
) -> None:
    taken = place("taken")
    await taken.fill("other", "another", "third")
    crash_in_the_midst_of_writing(taken.file)
    if broken:
        taken.file.write_bytes(b"no database" * 1000)
    restored = await taken.restore(archive, force=True)
    with closing(Database(taken.settings.database_url)) as database:
        names = database.read_now(lambda connection: connection.execute(select(documents.c.file_name)).scalars().all())

    assert restored.equal
    assert names == ["대본.txt"] * 2


async def test_what_was_cut_off_is_completed_by_running_it_again(
    archive: Path, place: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = place("empty")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(restore, "load", dies)
        with pytest.raises(KeyboardInterrupt):
            await empty.restore(archive)

    assert (await empty.restore(archive)).equal


async def test_an_object_that_a_document_misses_is_lost_and_one_whose_document_went_is_not(
    place: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = place("full")
    await full.fill("kept", "lost", "deleted")
    await full.objects.delete("lost/source")
    whole = backup.dump

    def then_deleted(database: Database, *rest: Any) -> Any:
        dumped = whole(database, *rest)
        database.write_now(lambda connection: connection.execute(delete(documents).where(documents.c.id == "deleted")))
        full.file.parent.joinpath("objects/deleted/source").unlink()
        return dumped

    monkeypatch.setattr(backup, "dump", then_deleted)
    outcome = await full.back_up(tmp_path / "backup.tar")

    assert (outcome.lost, outcome.deleted) == (["lost/source"], ["deleted/source"])


async def test_objects_go_from_one_s3_to_another(
    place: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as s3:
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        full = place("full", storage_url=s3.url, s3_endpoint_url=s3.endpoint_url)
        other = s3.another()
        empty = place("empty", storage_url=other.url, s3_endpoint_url=other.endpoint_url)
        await full.fill(*(f"d{number}" for number in range(20)))
        await full.objects.put_bytes("large/source", bytes(6_000_000))
        s3.refuse(method="GET")
        with pytest.raises(TransientError):
            await full.back_up(tmp_path / "backup.tar")
        left = names_in(tmp_path)
        s3.allow()
        await full.back_up(tmp_path / "backup.tar")

        assert left == {"full"}
        assert (await empty.restore(tmp_path / "backup.tar")).equal
        assert other.keys() == s3.keys()
        assert len(other.keys()) == 21


@pytest.mark.parametrize(("version", "said"), [("9.6.1", "9"), (None, "PG_BIN")])
def test_tools_older_than_the_server_or_not_there_are_one_line(
    postgresql_database: Database, tmp_path: Path, version: str | None, said: str
) -> None:
    if version:
        (tmp_path / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n", encoding="utf-8")
        (tmp_path / "pg_dump").chmod(0o755)

    with pytest.raises(ConfigurationError, match=said) as refused:
        backup.dump(postgresql_database, tmp_path / "dump", PostgresTools(tmp_path))
    assert "\n" not in refused.value.message


def test_scripts_speak_both_languages_and_refuse_wrong_use(machine: Any, sqlite_url: str, redis_url: str) -> None:
    host = machine("host", sqlite_url, Named(redis_url))
    korean = host.run("backup.sh", "a.tar", language="ko_KR.UTF-8")
    plan = host.told("restore.sh", "a.tar", "--dry-run")

    assert (korean.returncode, "백업 완료" in korean.stdout) == (0, True)
    assert (plan["dry_run"], plan["engine"], plan["objects"]) == (True, "sqlite", 0)
    assert host.told("backup.sh", "b.tar", "--dry-run")["dry_run"]
    assert not (host.stack.folder / "b.tar").exists()
    for words in (("backup.sh", "a.tar"), ("restore.sh",), ("restore.sh", "nowhere.tar"), ("backup.sh", "--nonsense")):
        assert host.run(*words).returncode == 2, words
    for script in ("backup.sh", "restore.sh"):
        assert host.run(script, "--help").returncode == 0


async def test_a_trial_says_what_is_in_the_way(
    archive: Path, place: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, taken = place("empty"), place("taken")
    await taken.fill("other")

    def tried(where: Place, *words: str) -> int:
        monkeypatch.setattr(restore, "load_settings", lambda: where.settings)
        return restore.main([str(archive), "--dry-run", *words])

    # Each has an event loop of its own.
    assert await asyncio.to_thread(tried, empty) == 0
    assert await asyncio.to_thread(tried, taken) == 1
    assert say("restore.database_not_empty") in capsys.readouterr().err
    assert await asyncio.to_thread(tried, taken, "--json") == 1
    assert json.loads(capsys.readouterr().out)["obstacle"] == say("restore.database_not_empty")


@dataclass
class Named:
    """Where a Redis is that nobody asks."""

    url: str
