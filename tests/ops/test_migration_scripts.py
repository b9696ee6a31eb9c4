"""The scripts that move jobs and compare statuses: processes of their own, killed at any moment, with the API down."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from generation_service.database import Database
from generation_service.database.tables import events, jobs
from scripts.embedded.redis_server import EmbeddedRedis
from scripts.embedded.waiting import wait_until
from tests.support.switched import Switched, switched

ROOT = Path(__file__).resolve().parents[2]
TO_BACKGROUND, TO_RQ, SYNC = "migrate_rq_to_background", "migrate_background_to_rq", "rollback_data_sync"
SCRIPTS = (TO_BACKGROUND, TO_RQ, SYNC)


@dataclass
class Scripts:
    """Starts the scripts against one database and one Redis."""

    environment: dict[str, str]
    folder: Path

    def start(self, name: str, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *options],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str, *options: str) -> tuple[int, str, str]:
        """Its exit code, what it printed, and what it said besides."""
        started = self.start(name, *options)
        printed, said = started.communicate(timeout=60)
        return started.returncode, printed, said

    def json(self, name: str, *options: str) -> dict[str, Any]:
        code, printed, said = self.run(name, "--json", *options)
        assert code == 0, said
        return dict(json.loads(printed))


def scripts_for(folder: Path, database_url: str, redis_url: str) -> Scripts:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STORAGE_URL": str(folder / "objects")}
    return Scripts({"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **settings}, folder)


@pytest.fixture
def scripts(database_url: str, redis_url: str, tmp_path: Path) -> Scripts:
    return scripts_for(tmp_path, database_url, redis_url)


@pytest.fixture
async def parts(database: Database, redis_url: str) -> AsyncIterator[Switched]:
    async with switched(database, redis_url) as built:
        await built.say("rq")
        yield built


async def test_a_dry_run_says_what_the_real_one_does_and_the_second_finds_nothing(
    parts: Switched, scripts: Scripts
) -> None:
    submitted = await parts.waiting(5)
    await parts.running(2)
    await parts.say("background_tasks")

    dry = scripts.json(TO_BACKGROUND, "--dry-run", "--include-running")
    assert await parts.backends(submitted) == ["rq"] * 5
    real, again = (scripts.json(TO_BACKGROUND, "--include-running") for _ in range(2))

    assert (dry["migrated"], dry["waiting"], dry["running"], dry["dry_run"]) == (7, 5, 2, True)
    names = ("migrated", "waiting", "scheduled", "running", "skipped", "failed", "dead_lettered", "forgotten")
    assert [real[name] for name in names] == [dry[name] for name in names]
    assert (again["migrated"], parts.all_queued()) == (0, 0)


async def test_back_to_rq_and_compared(parts: Switched, scripts: Scripts) -> None:
    submitted = await parts.waiting(3, "background_tasks")

    moved = scripts.json(TO_RQ)
    compared = scripts.json(SYNC)

    assert (moved["migrated"], compared["differed"], compared["redis"]) == (3, 0, "ok")
    assert await parts.backends(submitted) == ["rq"] * 3
    assert parts.all_queued() == 3


@pytest.mark.parametrize("name", SCRIPTS)
def test_wrong_use_is_2_and_help_is_in_the_terminals_language(tmp_path: Path, name: str) -> None:
    scripts = scripts_for(tmp_path, "sqlite:///nowhere.db", "redis://127.0.0.1:1")
    assert scripts.run(name, "--nonsense")[0] == 2
    code, printed, _ = scripts.run(name, "--help")
    assert (code, "Exit codes" in printed) == (0, True)
    scripts.environment["LANG"] = "ko_KR.UTF-8"
    assert "종료 코드" in scripts.run(name, "--help")[1]


def test_a_database_that_is_not_there_is_one_line(scripts: Scripts, tmp_path: Path) -> None:
    scripts.environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'nowhere.db'}"

    code, printed, said = scripts.run(TO_BACKGROUND)

    assert (code, printed, len(said.splitlines())) == (2, "", 1)
    assert not (tmp_path / "nowhere.db").exists()


async def test_an_rq_part_that_is_switched_off_is_one_line(parts: Switched, scripts: Scripts) -> None:
    await parts.waiting(1, "background_tasks")
    await parts.say("background_tasks", enabled=False)

    code, _, said = scripts.run(TO_RQ)

    assert (code, len(said.splitlines())) == (1, 1)
    assert "rollforward" in said


async def test_what_a_shell_has_set_is_nobodys_word(parts: Switched, scripts: Scripts) -> None:
    before = await parts.mode()
    for value in ("true", "false", "true"):
        scripts.environment["USE_DURABLE_WORKER"] = value
        scripts.json(TO_RQ)

    assert (await parts.mode()).epoch == before.epoch


async def test_with_redis_dead_jobs_move_away_from_it_and_what_goes_to_it_is_left(
    database: Database, database_url: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    scripts = scripts_for(tmp_path, database_url, redis_server.url)
    async with switched(database, redis_server.url) as parts:
        await parts.waiting(3)
        redis_server.kill()

        code, printed, said = scripts.run(TO_BACKGROUND)
        assert (code, "3 jobs moved" in printed, "Redis does not answer" in said) == (0, True, True)
        assert scripts.run(SYNC)[0] == 1
        assert scripts.run(TO_RQ)[0] == 1
        assert scripts.run(TO_BACKGROUND)[0] == 0


@pytest.mark.parametrize("after", [1, 400, 900])
async def test_killed_on_the_way_and_run_again_it_has_moved_each_job_once(
    parts: Switched, scripts: Scripts, after: int
) -> None:
    submitted = await asyncio.gather(*(parts.core.submit(backend="rq") for _ in range(1200)))
    parts.deliver(submitted)
    parts.redis.rpush("rq:queue:rag_processing", *(f"unknown-{number}" for number in range(50)))
    await parts.say("background_tasks")

    killed = scripts.start(TO_BACKGROUND, "--include-running")
    count = select(func.count()).where(jobs.c.backend == "background_tasks")
    moved = lambda: parts.core.database.read_now(lambda connection: connection.execute(count).scalar_one())  # noqa: E731
    assert wait_until(lambda: moved() >= after or killed.poll() is not None, 60)
    killed.kill()
    killed.communicate()
    again = scripts.json(TO_BACKGROUND, "--include-running")

    assert again["remaining"] == 0
    assert moved() == 1200
    assert (parts.all_queued(), len(await parts.letters())) == (0, 50)
    assert parts.redis.llen("rq:queue:migration_failed") == 50
    said = select(func.count()).where(events.c.type == "switched")
    assert await parts.core.database.read(lambda connection: connection.execute(said).scalar_one()) == 1200
