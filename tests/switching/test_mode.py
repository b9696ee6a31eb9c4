"""Whichever was said last is in force; an environment says something only when it has changed."""

import pytest

from generation_service.database import Database
from generation_service.jobs.model import NewJob
from generation_service.jobs.routing import Mode, current_mode, target_backend
from generation_service.jobs.submission import Admission, submit
from generation_service.switching.mode import Flag, Word, environment_says, environment_seen, say

DURABLE, IN_PROCESS = (
    Flag(use_durable_worker=True, worker_system_enabled=True),
    Flag(use_durable_worker=False, worker_system_enabled=True),
)


def hear(database: Database, flag: Flag, *, host: str = "a", role: str = "api") -> Mode:
    return database.write_now(lambda connection: environment_says(connection, flag, host=host, role=role))


def test_before_anyone_has_said_anything_jobs_run_in_process(database: Database) -> None:
    assert database.read_now(current_mode) is None
    assert database.read_now(target_backend) == "background_tasks"


def test_the_first_word_counts_and_the_same_word_again_changes_nothing(database: Database) -> None:
    first, second = hear(database, DURABLE), hear(database, DURABLE)

    assert (first.target, first.epoch, first.source) == ("rq", 1, "environment")
    assert second == first


def test_a_changed_environment_speaks_again(database: Database) -> None:
    hear(database, DURABLE)

    changed = hear(database, IN_PROCESS)

    assert (changed.target, changed.epoch) == ("background_tasks", 2)


def test_an_environment_that_comes_to_say_what_is_in_force_keeps_what_was_to_be_taken_along(database: Database) -> None:
    hear(database, DURABLE)
    rollback = Word(flag=IN_PROCESS, carry="running", reason="a test", said_by="ana", source="operator")
    database.write_now(lambda connection: say(connection, rollback, after=1))

    mode = hear(database, IN_PROCESS)

    assert (mode.epoch, mode.source, mode.carry) == (3, "environment", "running")


def test_an_environment_that_was_only_seen_says_nothing_then_or_later(database: Database) -> None:
    hear(database, DURABLE)

    database.write_now(lambda connection: environment_seen(connection, IN_PROCESS, host="a", role="api"))

    assert hear(database, IN_PROCESS).epoch == 1


def test_a_mixed_deployment_does_not_flap(database: Database) -> None:
    hear(database, DURABLE, host="a")

    for _ in range(3):
        for host, flag in (("a", DURABLE), ("b", IN_PROCESS)):
            hear(database, flag, host=host)

    mode = database.read_now(current_mode)
    assert mode is not None
    assert (mode.epoch, mode.target) == (1, "rq")


def test_the_master_switch_wins_over_the_flag(database: Database) -> None:
    off = Flag(use_durable_worker=True, worker_system_enabled=False)

    assert hear(database, off).target == "background_tasks"


@pytest.mark.parametrize(("flag", "backend"), [(DURABLE, "rq"), (IN_PROCESS, "background_tasks")])
def test_a_job_gets_the_backend_of_the_mode_in_its_accepting_transaction(
    database: Database, flag: Flag, backend: str
) -> None:
    hear(database, flag)
    admission = Admission(max_live=10, max_live_per_user=10, max_attempts=4)

    wanted = NewJob(kind="toy", user_id="ana", request={})
    job = database.write_now(lambda connection: submit(connection, wanted, admission)).job

    assert job.backend == backend
