"""`check`, `migrate` and `status` say what is true, and change nothing but what they are asked to."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from generation_service.database import Database, schema
from tests.cli.commands import Commands
from workers.names import queue_key


def findings(out: str) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in json.loads(out)["checks"]}


def test_check_changes_nothing_on_a_machine_where_nothing_is_yet(commands: Commands, tmp_path: Path) -> None:
    ran = commands.run("check", "--json")

    assert ran.code == 0
    assert findings(ran.out)["database"] == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"PORT": "many"}, "settings"),
        ({"HOST": "0.0.0.0"}, "address"),  # noqa: S104 - what is refused
        ({"USE_DURABLE_WORKER": "true"}, "redis"),
        ({"STORAGE_URL": "/dev/null/objects"}, "storage"),
        ({"STORAGE_URL": "ftp://host/folder"}, "settings"),
        ({"REDIS_URL": "redis://host/five"}, "settings"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "database"),
        ({"DATABASE_URL": "postgresql://host:port/none"}, "database"),
        ({"DATABASE_URL": "sqlite://"}, "database"),
        ({"DATABASE_URL": "sqlite:////dev/null/none.db"}, "database"),
    ],
)
def test_check_fails_on_what_would_not_work(commands: Commands, given: dict[str, Any], name: str) -> None:
    ran = commands.run("check", "--json", given=given)

    assert ran.code == 1
    assert [one for one, verdict in findings(ran.out).items() if verdict == "failed"] == [name]


def test_check_finds_a_real_redis_and_a_migrated_database(
    commands: Commands, redis_url: str, database_url: str
) -> None:
    given = {"REDIS_URL": redis_url, "DATABASE_URL": database_url, "USE_DURABLE_WORKER": "true"}

    ran = commands.run("check", given=given)

    assert ran.code == 0, ran.out
    assert f"schema {schema.newest_version()}" in ran.out


def test_check_does_not_show_a_secret(commands: Commands) -> None:
    given = {"API_TOKENS": '{"s3cret-token": "ana"}', "LLM_API_KEY": "s3cret-key", "ADMIN_TOKEN": "s3cret-admin"}

    ran = commands.run("check", given=given)

    assert "s3cret" not in ran.out + ran.err


def test_migrate_goes_up_and_down_and_says_so(commands: Commands) -> None:
    newest = schema.newest_version()

    assert commands.run("migrate").out == f"The database schema went from no version to {newest}.\n"
    assert "nothing was changed" in commands.run("migrate").out
    assert json.loads(commands.run("migrate", "--current", "--json").out)["before"] == newest
    assert commands.run("migrate", "--down", "1").code == 0
    assert json.loads(commands.run("migrate", "--current", "--json").out)["before"] < newest


def test_migrating_further_down_than_there_is_is_one_line(commands: Commands) -> None:
    commands.run("migrate")

    ran = commands.run("migrate", "--down", "99")

    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1


def test_a_schema_of_another_version_stops_a_start_with_one_line(commands: Commands, tmp_path: Path) -> None:
    commands.run("migrate")
    database = Database(f"sqlite:///{tmp_path}/var/generation.db")
    database.write_now(lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    ran = commands.run("serve", "--port", "0")

    assert ran.code == 2
    assert "9999" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_status_counts_jobs_and_queues_with_the_api_down(commands: Commands, redis_url: str, database_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.rpush(queue_key("rag_processing"), "one", "two")

    ran = commands.run("status", "--json", given={"REDIS_URL": redis_url, "DATABASE_URL": database_url})

    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["redis"]["queues"]["rag_processing"] == {"waiting": 2, "popped": 0, "running": 0}
    assert report["redis"]["workers"] == []
    assert report["jobs"] == {}


def test_status_says_that_redis_is_away_and_goes_on(commands: Commands, sqlite_url: str) -> None:
    ran = commands.run("status", given={"DATABASE_URL": sqlite_url})

    assert ran.code == 0
    assert "Redis does not answer" in ran.out
    assert "background_tasks" in ran.out


def test_status_of_a_database_without_tables_says_what_to_do(commands: Commands, tmp_path: Path) -> None:
    ran = commands.run("status")

    assert ran.code == 2
    assert "generation-service migrate" in ran.err
    assert not list(tmp_path.iterdir())


def test_a_disabled_worker_system_is_said_and_is_no_failure(commands: Commands) -> None:
    for name in ("worker", "scheduler"):
        ran = commands.run(name, given={"WORKER_SYSTEM_ENABLED": "false"})

        assert ran.code == 0
        assert "WORKER_SYSTEM_ENABLED" in ran.out


def test_a_worker_refuses_a_queue_that_nobody_fills(commands: Commands) -> None:
    ran = commands.run("worker", "--queues", "rag_procesing")

    assert ran.code == 2
    assert "rag_processing_high" in ran.err


def test_every_command_has_help_in_the_terminals_language(commands: Commands) -> None:
    for name in ("", "serve", "worker", "scheduler", "migrate", "generate", "documents", "status", "check"):
        ran = commands.run(*([name] if name else []), "--help")

        assert (ran.code, ran.err) == (0, "")
        assert "--help" in ran.out
