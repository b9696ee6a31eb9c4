"""`rollback` and `rollforward`: one command each, on the database directly, whatever is dead, killed half-way too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes, switches
from generation_service.database.tables import jobs
from generation_service.jobs.model import NewJob
from generation_service.jobs.routing import current_mode
from generation_service.jobs.submission import Admission, submit
from generation_service.switching.mode import Flag, Word, say
from scripts.embedded.redis_server import EmbeddedRedis
from tests.cli.commands import Commands
from tests.support.stack import Stack, stack

Given = dict[str, Any]


def on_rq(database: Database, count: int) -> None:
    """Let jobs wait for RQ, and an API process serve."""
    word = Word(flag=Flag(True, True), reason="a test", said_by="ana", source="operator")  # noqa: FBT003 - the flag
    wanted = NewJob(kind="toy", user_id="ana", request={})
    admission = Admission(max_live=1000, max_live_per_user=1000, max_attempts=4)
    row = {"name": "api", "role": "api", "host": "here", "pid": 1, "state": "serving", "figures": {}}
    times = {"started_at": db_now(), "seen_at": db_now(3600)}
    database.write_now(lambda connection: say(connection, word, after=0))
    database.write_now(lambda connection: connection.execute(insert(processes).values(**row, **times)))
    for _ in range(count):
        database.write_now(lambda connection: submit(connection, wanted, admission))


def backends(database: Database) -> list[str]:
    return list(database.read_now(lambda connection: connection.execute(select(jobs.c.backend)).scalars()))


def recorded(database: Database) -> list[Any]:
    return list(database.read_now(lambda connection: connection.execute(select(switches)).all()))


@pytest.fixture
def given(database_url: str) -> Given:
    """No Redis is there."""
    return {"DATABASE_URL": database_url}


def test_one_command_moves_everything_with_redis_dead_and_says_each_step(
    commands: Commands, database: Database, given: Given
) -> None:
    on_rq(database, 3)

    ran = commands.run("rollback", "--reason", "Redis is dead", given=given)

    assert ran.code == 0, ran.out + ran.err
    assert backends(database) == ["background_tasks"] * 3
    lines = ran.out.splitlines()
    assert [line.split()[2] for line in lines[:5]] == ["flag", "migrate", "sync", "verify", "report"]
    assert "3 jobs moved (3 waiting, 0 scheduled, 0 running)" in ran.out
    assert recorded(database)[0].id in lines[-1]


def test_programs_get_the_report_and_nothing_else(commands: Commands, database: Database, given: Given) -> None:
    on_rq(database, 1)

    ran = commands.run("rollback", "--reason", "a test", "--json", given=given)

    report = json.loads(ran.out)
    assert (report["status"], report["outcome"]["jobs_moved"]) == ("completed", 1)
    assert report["said_by"].startswith("cli:")


def test_people_read_it_in_korean(commands: Commands, given: Given) -> None:
    ran = commands.run("rollback", "--reason", "시험", given={**given, "LANG": "ko_KR.UTF-8"})

    assert "보고서를 저장했습니다." in ran.out


@pytest.mark.parametrize("command", ["rollback", "rollforward"])
@pytest.mark.parametrize("options", [(), ("--reason", "  "), ("--reason", "x", "--no-such-option")])
def test_wrong_use_is_two_and_changes_nothing(
    commands: Commands, database: Database, given: Given, command: str, options: tuple[str, ...]
) -> None:
    ran = commands.run(command, *options, given=given)

    assert ran.code == 2
    assert recorded(database) == []


@pytest.mark.parametrize("command", ["rollback", "rollforward"])
@pytest.mark.parametrize("locale", ["C.UTF-8", "ko_KR.UTF-8"])
def test_help_is_there_in_both_languages(commands: Commands, command: str, locale: str) -> None:
    ran = commands.run(command, "--help", given={"LANG": locale})

    assert (ran.code, ran.err) == (0, "")
    assert "--reason" in ran.out


def test_a_dry_run_says_what_would_move_and_changes_nothing(
    commands: Commands, database: Database, given: Given
) -> None:
    on_rq(database, 2)

    ran = commands.run("rollback", "--reason", "a test", "--dry-run", given=given)

    assert ran.code == 0
    assert "from rq (RQ on) to background_tasks (RQ off)" in ran.out
    assert "2 waiting" in ran.out
    assert (recorded(database), backends(database)) == ([], ["rq"] * 2)


def test_what_is_left_is_named_and_the_exit_code_says_so(
    commands: Commands, database: Database, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation_service.switching.steps.SETTLE_SECONDS", 0.0)
    on_rq(database, 1)
    database.write_now(lambda connection: connection.execute(update(processes).values(ended_at=db_now())))

    ran = commands.run("rollback", "--reason", "a test", given=given)

    assert ran.code == 1
    assert "no API process is alive to run 1 jobs" in ran.out


def test_a_rollforward_without_redis_stops_at_its_gates(commands: Commands, database: Database, given: Given) -> None:
    commands.run("rollback", "--reason", "a test", given=given)

    ran = commands.run("rollforward", "--reason", "a test", "--percent", "10", given=given)

    assert ran.code == 1
    assert "these gates did not let it pass: root_cause, load_test, no_leak, approved_by, redis" in ran.out
    mode = database.read_now(current_mode)
    assert mode is not None
    assert not mode.enabled


def test_a_report_is_shown_in_each_format(commands: Commands, database: Database, given: Given) -> None:
    assert commands.run("rollback", "--show", "last", given=given).code == 1
    commands.run("rollback", "--reason", "a test", given=given)
    (row,) = recorded(database)

    assert "# Rollback report" in commands.run("rollback", "--show", row.id, given=given).out
    assert "rollback_report:\n" in commands.run("rollback", "--show", "last", "--format", "yaml", given=given).out
    assert json.loads(commands.run("rollback", "--show", "last", "--json", given=given).out)["id"] == row.id
    assert "ROLLBACK MODE" in commands.run("rollback", "--status-page", given=given).out
    assert commands.run("rollback", "--show", "nonsense", given=given).code == 1


def test_without_a_database_it_is_one_line(commands: Commands, tmp_path: Path) -> None:
    ran = commands.run("rollback", "--reason", "a test")

    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert not (tmp_path / "var").exists()


def test_a_database_that_does_not_answer_is_one_line(commands: Commands) -> None:
    given = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    ran = commands.run("rollback", "--reason", "a test", given=given)

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)


# Killed half-way


@pytest.fixture
def service(database_url: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    """A Redis that is frozen: each look at it takes its whole time-out, so that there is a half-way."""
    redis_server.freeze()
    with stack(tmp_path / "stack", database_url, REDIS_URL=redis_server.url) as running:
        yield running
    redis_server.thaw()


def steps_done(database: Database) -> list[str]:
    found = recorded(database)
    return [step["name"] for step in found[0].report["steps"]] if found else []


@pytest.mark.parametrize("after", ["flag", "migrate", "sync"])
def test_killed_after_any_step_and_run_again_is_once(service: Stack, database: Database, after: str) -> None:
    on_rq(database, 5)
    killed = service.start("killed", "rollback", "--reason", "first")
    service.until(lambda: after in steps_done(database), f"{after} is done")
    killed.kill()

    again = service.start("again", "rollback", "--reason", "again", "--json")
    service.until(lambda: not again.alive, "the second one has ended")

    assert again.exit_code == 0, service.logs()
    (row,) = recorded(database)
    assert (row.status, row.reason) == ("completed", "first")
    assert steps_done(database) == ["flag", "migrate", "sync", "verify", "report"]
    assert backends(database) == ["background_tasks"] * 5
    assert row.report["outcome"]["jobs_moved"] == 5
