"""The figures of a rollback: what the mode, the processes and the switches say, as monitoring shows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from generation_service.database import Database
from generation_service.database.operations import processes, switches
from generation_service.switching.figures import ALIVE_SECONDS, RollbackFigures, rollback_figures
from generation_service.switching.mode import Flag, Word, say


def speak(database: Database, *, durable: bool, enabled: bool = True, after: int = 0) -> None:
    word = Word(flag=Flag(durable, enabled), reason="test", said_by="test", source="operator")
    database.write_now(lambda connection: say(connection, word, after=after))


def add_process(database: Database, name: str, role: str, state: str = "serving", *, age: float = 0.0, **figures: Any):
    seen = datetime.now(UTC) - timedelta(seconds=age)
    values = {"name": name, "role": role, "host": "h", "pid": 1, "state": state, "figures": figures}
    statement = insert(processes).values(**values, started_at=seen, seen_at=seen)
    database.write_now(lambda connection: connection.execute(statement))


def figures(database: Database) -> RollbackFigures:
    return database.read_now(rollback_figures)


@pytest.mark.parametrize(
    ("durable", "enabled", "active"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_it_is_rolled_back_while_jobs_run_in_process(
    database: Database, *, durable: bool, enabled: bool, active: bool
) -> None:
    speak(database, durable=durable, enabled=enabled)

    assert figures(database).active is active


def test_a_roll_forward_ends_it(database: Database) -> None:
    speak(database, durable=False)
    speak(database, durable=True, after=1)

    assert not figures(database).active


def test_the_mean_is_over_all_processes_that_answer(database: Database) -> None:
    add_process(database, "a", "api", answers=30, answer_seconds=3.0)
    add_process(database, "b", "api", answers=10, answer_seconds=17.0)
    add_process(database, "gone", "api", age=ALIVE_SECONDS + 5, answers=1000, answer_seconds=9000.0)

    found = figures(database)

    assert found.answer_seconds == pytest.approx(0.5)
    assert found.performance_ratio(2.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("seconds", "ratio"), [(None, 20.0), (0.001, 20.0), (2.0, 1.0), (4.0, 0.5)])
def test_the_ratio_falls_as_answers_get_slower_and_has_a_ceiling(seconds: float | None, ratio: float) -> None:
    found = RollbackFigures(active=True, answer_seconds=seconds, failed_switches=0, workers_alive=0)

    assert found.performance_ratio(2.0) == pytest.approx(ratio)


def test_only_workers_that_take_jobs_count(database: Database) -> None:
    add_process(database, "working", "worker")
    add_process(database, "waiting", "worker", "standby")
    add_process(database, "ending", "worker", "draining")
    add_process(database, "silent", "worker", age=ALIVE_SECONDS + 5)
    add_process(database, "api", "api")

    assert figures(database).workers_alive == 1


def test_switches_that_failed_are_errors(database: Database) -> None:
    now = datetime.now(UTC)
    for number, status in enumerate(("completed", "failed", "running", "failed")):
        values = {"id": str(number), "kind": "rollback", "epoch": 1, "status": status, "source": "operator"}
        statement = insert(switches).values(**values, said_by="t", reason="t", report={}, started_at=now)
        database.write_now(lambda connection, statement=statement: connection.execute(statement))

    assert figures(database).failed_switches == 2
