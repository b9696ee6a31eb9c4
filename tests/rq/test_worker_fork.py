"""`worker --fork`: each job in a process of its own; whichever of the processes dies, nothing is lost or paid twice."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from generation_service.database import Database
from generation_service.jobs.model import LIVE
from generation_service.switching.processes import alive
from tests.support.provider import Provider
from tests.support.stack import Stack, is_gapless, stack

pytestmark = pytest.mark.timeout(180)

STEPS = ("signal", "validation", "insight")


@dataclass
class Forking:
    """A service whose worker forks, against a provider that counts."""

    stack: Stack
    provider: Provider
    database: Database

    def start(self, name: str = "worker", *options: str) -> None:
        """Start a forking worker, and return once it takes jobs."""
        child = self.stack.worker(name, "--fork", *options)
        self.stack.until(lambda: child.pid in self._serving(), f"{name} takes jobs")

    def template(self, name: str = "worker") -> psutil.Process:
        [template] = psutil.Process(self.stack.children[name].pid).children()
        return template

    def runs(self, name: str = "worker") -> list[psutil.Process]:
        """The processes that run jobs."""
        return list(self.template(name).children())

    def held(self, step: str = "validation") -> str:
        """Submit a job, and wait until it runs and is held in this step."""
        self.provider.hold(step)
        job_id = str(self.stack.submit()["job_id"])
        self.provider.wait_until_held(step, job_id=job_id)
        return job_id

    def completed(self, job_id: str, attempt: int = 1) -> None:
        job = self.stack.wait_for(job_id)
        assert (job["status"], job["attempt"], job["backend"]) == ("completed", attempt, "rq"), job
        events = self.stack.events(job_id)
        assert is_gapless(events)
        assert [event["event"] for event in events].count("completed") == 1

    def calls(self, job_id: str) -> list[int]:
        return [self.provider.count(step, job_id) for step in STEPS]

    def _serving(self) -> set[int]:
        rows = self.database.read_now(lambda connection: alive(connection, "worker"))
        return {row.pid for row in rows if row.state == "serving"}


@pytest.fixture
def forking(database_url: str, redis_url: str, provider: Provider, tmp_path: Path) -> Iterator[Forking]:
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_url,
        **provider.settings,
    }
    database = Database(database_url)
    with stack(tmp_path / "stack", database_url, **settings) as running:
        yield Forking(running, provider, database)
    database.close()


def test_each_job_runs_in_a_process_of_its_own_and_leaves_none(forking: Forking) -> None:
    forking.stack.serve()
    forking.start("worker", "--concurrency", "2")
    template = forking.template()
    assert template.num_threads() == 1, "a fork must copy no thread in the midst of something"
    assert template.net_connections() == []

    jobs = [forking.held() for _ in range(2)]
    waiting = str(forking.stack.submit("waiting")["job_id"])
    running = forking.runs()
    forking.provider.release()

    for job_id in (*jobs, waiting):
        forking.completed(job_id)
        assert forking.calls(job_id) == [1, 1, 1]
    assert len({one.pid for one in running}) == 2, "as many at once as it was told"
    forking.stack.until(lambda: not forking.runs(), "no process is left")
    assert forking.template() == template
    assert forking.stack.children["worker"].stop(grace_seconds=30) == 0
    assert not template.is_running()


def test_a_job_whose_process_is_killed_goes_on_at_once_from_its_last_step(forking: Forking) -> None:
    forking.stack.settings["JOB_LEASE_SECONDS"] = "300"  # what goes on before that does not wait for it
    forking.stack.serve()
    forking.start()
    job_id = forking.held()
    [run] = forking.runs()

    run.kill()
    forking.provider.release()

    forking.completed(job_id)
    assert forking.calls(job_id) == [1, 2, 1]


def test_a_job_that_kills_its_process_again_and_again_ends_in_the_dead_letters(forking: Forking) -> None:
    forking.stack.settings |= {"JOB_LEASE_SECONDS": "300", "MAX_ATTEMPTS": "2"}
    forking.stack.serve()
    forking.start()
    job_id = forking.held("signal")
    for count in (1, 2, 3):  # the first run has committed a step, and so costs no attempt
        forking.provider.wait_for_calls(count, "signal", job_id)
        [run] = forking.runs()
        run.kill()
        forking.stack.until(lambda dead=run: not dead.is_running(), "it is dead")

    job = forking.stack.wait_for(job_id)

    assert (job["status"], job["error"]["code"]) == ("failed", "abandoned")
    assert forking.calls(job_id) == [3, 0, 0]


def test_a_killed_worker_takes_its_processes_along_and_another_goes_on(forking: Forking) -> None:
    forking.stack.serve()
    forking.start()
    job_id = forking.held()
    family = [forking.template(), *forking.runs()]

    os.kill(forking.stack.children["worker"].pid, signal.SIGKILL)  # itself alone, not its group

    forking.stack.until(lambda: not any(one.is_running() for one in family), "none outlives it")
    forking.provider.release()
    forking.start("worker-2")
    forking.completed(job_id)
    assert forking.calls(job_id) == [1, 2, 1]


def test_a_worker_that_is_asked_to_end_gives_back_what_its_processes_run(forking: Forking) -> None:
    # Given a worker with two jobs in hand and more that wait
    forking.stack.settings["JOB_LEASE_SECONDS"] = "300"
    forking.stack.serve()
    forking.start("worker", "--concurrency", "2")
    jobs = [forking.held() for _ in range(2)]
    jobs += [str(forking.stack.submit()["job_id"]) for _ in range(4)]

    # When everybody of its group is asked to end, as a terminal or a supervisor does
    os.killpg(forking.stack.children["worker"].pid, signal.SIGTERM)
    worker = forking.stack.children["worker"]
    forking.stack.until(lambda: not worker.alive, "it has ended")

    # Then it ends in good order, and nothing is lost, held or counted as an attempt
    assert worker.exit_code == 0
    assert {forking.stack.job(one)["status"] for one in jobs} == {"pending"}
    forking.provider.release()
    forking.start("worker-2")
    for job_id in jobs:
        forking.completed(job_id)


def test_a_job_that_is_cancelled_ends_with_its_process(forking: Forking) -> None:
    forking.stack.serve()
    forking.start()
    job_id = forking.held()

    assert forking.stack.http.post(f"/api/generation/{job_id}/cancel").status_code == 202

    forking.stack.until(lambda: not forking.runs(), "its process has ended")
    assert forking.stack.job(job_id)["status"] == "cancelled"
    assert forking.stack.job(job_id)["status"] not in LIVE


def test_a_worker_whose_template_dies_ends_loudly_and_loses_nothing(forking: Forking) -> None:
    forking.stack.settings["JOB_LEASE_SECONDS"] = "300"
    forking.stack.serve()
    forking.start()
    job_id = forking.held()
    worker, runs = forking.stack.children["worker"], forking.runs()

    forking.template().kill()

    forking.stack.until(lambda: not worker.alive, "it has ended")
    assert worker.exit_code == 1
    forking.stack.until(lambda: not any(_runs(one) for one in runs), "nothing of it runs")
    forking.provider.release()
    forking.start("worker-2")
    forking.completed(job_id)


def _runs(one: psutil.Process) -> bool:
    """Whether it does anything still: who has lost its parent lies about, ended, until the system's first one looks."""
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
