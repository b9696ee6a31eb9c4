"""`mode` and `audit` work on the database directly; what is said is audited in the same transaction."""

import json
import os
import pwd
from typing import Any

import pytest
from sqlalchemy import update

from generation_service.database import Database
from generation_service.database.operations import audit as table
from generation_service.jobs.routing import current_mode
from generation_service.switching import audit
from generation_service.switching.audit import Entry
from tests.api.admin.test_modes import switch_is_under_way
from tests.cli.commands import Commands, Ran


@pytest.fixture
def run(commands: Commands, database_url: str) -> Any:
    def run(*arguments: str, **given: str) -> Ran:
        return commands.run(*arguments, given={"DATABASE_URL": database_url, **given})

    return run


def me() -> str:
    return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


def test_before_anyone_has_said_anything_that_is_shown(run: Any) -> None:
    assert "Nobody has said anything yet" in run("mode").out
    assert json.loads(run("mode", "--json").out) == {"now": None, "history": [], "under_way": None}


def test_a_mode_is_said_with_its_reason_and_shown_with_who_said_it(run: Any, database: Database) -> None:
    said = run("mode", "rq", "--reason", "RQ is back")
    shown = run("mode")

    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "Jobs go to rq now. Every process follows within a second.",
    )
    assert all(word in shown.out for word in ("rq", "RQ is back", me(), "operator"))
    mode = database.read_now(current_mode)
    assert mode
    assert (mode.target, mode.reason, mode.said_by) == ("rq", "RQ is back", me())


def test_the_parts_of_a_mode_are_said_on_their_own(run: Any) -> None:
    run("mode", "rq", "--reason", "one")

    off = json.loads(run("mode", "--disabled", "--reason", "two", "--json").out)
    on = json.loads(run("mode", "background", "--enabled", "--carry", "waiting", "--reason", "three", "--json").out)

    assert (off["after"]["use_durable_worker"], off["after"]["type"]) == (True, "background_tasks")
    assert (on["after"]["use_durable_worker"], on["after"]["worker_system_enabled"]) == (False, True)
    assert on["after"]["carry"] == "waiting"


def test_the_history_is_as_long_as_it_is_asked_for(run: Any) -> None:
    for number in range(4):
        run("mode", "rq" if number % 2 else "background", "--reason", f"word {number}")

    shown = json.loads(run("mode", "--limit", "3", "--json").out)

    assert [one["reason"] for one in shown["history"]] == ["word 3", "word 2", "word 1"]


def test_the_same_mode_again_changes_nothing(run: Any) -> None:
    run("mode", "rq", "--reason", "one")

    assert "nothing was changed" in run("mode", "rq", "--reason", "two").out


def test_a_dry_run_changes_nothing_and_is_audited_as_one(run: Any, database: Database) -> None:
    seen = run("mode", "rq", "--reason", "perhaps", "--dry-run")

    assert (seen.code, "Jobs would go to rq" in seen.out) == (0, True)
    assert database.read_now(current_mode) is None
    assert [one["outcome"] for one in entries(database)] == ["previewed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("rq",),
        ("rq", "--reason", " "),
        ("--enabled",),
        ("--reason", "why"),
        ("--dry-run",),
        ("--carry", "waiting"),
        ("celery", "--reason", "why"),
        ("rq", "--reason", "why", "--carry", "all"),
    ],
)
def test_wrong_use_is_exit_2_and_changes_nothing(run: Any, database: Database, arguments: tuple[str, ...]) -> None:
    ran = run("mode", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert database.read_now(current_mode) is None


def test_while_a_switch_is_under_way_a_mode_is_refused_and_that_is_audited(run: Any, database: Database) -> None:
    database.write_now(switch_is_under_way)

    ran = run("mode", "rq", "--reason", "I know better")
    shown = run("mode", "--json")

    assert ran.code == 1
    assert "under way" in ran.err
    assert json.loads(shown.out)["under_way"]["kind"] == "rollback"
    assert [(one["outcome"], one["result"]) for one in entries(database)] == [("refused", {"code": "switch_under_way"})]


def test_what_is_said_on_a_terminal_is_audited(run: Any, database: Database) -> None:
    run("mode", "rq", "--reason", "RQ is back")

    (entry,) = entries(database)

    assert (entry["actor"], entry["action"], entry["reason"]) == (me(), "set_mode", "RQ is back")
    assert (entry["outcome"], entry["request"]["use_durable_worker"]) == ("done", True)


def test_the_audit_is_listed_and_verified(run: Any) -> None:
    assert "no entries" in run("audit").out
    run("mode", "rq", "--reason", "RQ is back")

    listed = run("audit", "list", "--json")
    verified = run("audit", "verify", "--json")

    assert [one["action"] for one in json.loads(listed.out)["items"]] == ["set_mode"]
    assert "RQ is back" in run("audit").out
    verdict = json.loads(verified.out)
    assert (verified.code, verdict["intact"], verdict["entries"]) == (0, True, 1)


def test_a_record_that_was_touched_is_exit_1_and_names_the_entry(run: Any, database: Database) -> None:
    for number in range(3):
        entry = Entry(actor="admin@x", action="pause", reason=str(number))
        database.write_now(lambda connection, entry=entry: audit.record(connection, entry))
    changed = update(table).where(table.c.sequence == 2).values(reason="nicer")
    database.write_now(lambda connection: connection.execute(changed))

    ran = run("audit", "verify")
    for_programs = run("audit", "verify", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert "entry 2" in ran.err
    assert (for_programs.code, json.loads(for_programs.out)["broken_at"]) == (1, 2)


def test_a_head_that_was_noted_is_looked_for(run: Any) -> None:
    run("mode", "rq", "--reason", "one")
    head = json.loads(run("audit", "verify", "--json").out)["head"]

    assert run("audit", "verify", "--noted", f"1:{head['digest']}").code == 0
    assert run("audit", "verify", "--noted", f"1:{'0' * 64}").code == 1
    assert run("audit", "verify", "--noted", f"9:{head['digest']}").code == 1
    assert run("audit", "verify", "--noted", "latest").code == 2


@pytest.mark.parametrize("command", [("mode",), ("audit",), ("audit", "verify"), ("mode", "rq", "--reason", "x")])
def test_a_database_without_tables_says_what_to_do(commands: Commands, command: tuple[str, ...]) -> None:
    ran = commands.run(*command)

    assert ran.code == 2
    assert "generation-service migrate" in ran.err


@pytest.mark.parametrize("command", [("mode",), ("audit",), ("audit", "list"), ("audit", "verify")])
def test_each_has_help_in_both_languages(commands: Commands, command: tuple[str, ...]) -> None:
    assert commands.run(*command, "--help").code == 0
    assert "--help" in commands.run(*command, "--help", given={"LANG": "ko_KR.UTF-8"}).out


def test_a_database_that_does_not_answer_is_one_line(commands: Commands) -> None:
    ran = commands.run("mode", given={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)


def entries(database: Database) -> list[dict[str, Any]]:
    page = database.read_now(lambda connection: audit.page(connection, limit=100, cursor=None))
    return [dict(row) for row in page.items]
