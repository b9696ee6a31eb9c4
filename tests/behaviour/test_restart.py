"""A graceful restart under load: nobody is refused, no event is missed, no job begins anew; what `.env` says counts.

RESTART_LOAD=full asks for the long version: 50 requests a second, 50 streams, 10 jobs, 5 restarts.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.embedded.children import Child, Program
from tests.behaviour.checks import MODEL_STEPS, assert_every_step_was_committed_once, assert_one_episode_each
from tests.behaviour.restarting import Load, Readers
from tests.support.provider import Provider
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.timeout(600)

TOKEN = "admin-of-this-test"
PROJECT = "restarted"


@dataclass(frozen=True)
class Size:
    requests_a_second: int
    streams: int
    jobs: int
    restarts: int
    processes: int


SIZE = Size(50, 50, 10, 5, 2) if os.environ.get("RESTART_LOAD") == "full" else Size(10, 10, 4, 1, 1)


@dataclass
class Restartable:
    """A service whose jobs run in-process, its provider, and the operator who restarts it."""

    stack: Stack
    provider: Provider

    def ask(self, **body: Any) -> httpx2.Response:
        """Over a connection of its own, as curl does: one that is kept may be a process's that is about to end."""
        return self._call("POST", "/api/admin/graceful-restart", json=body)

    def show(self, url: str) -> dict[str, Any]:
        return dict(self._call("GET", url).raise_for_status().json())

    def _call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.stack.url}{path}"
        return httpx2.request(method, url, headers=headers, timeout=60, trust_env=False, **options)

    def restart(self, **body: Any) -> dict[str, Any]:
        """One restart to its end."""
        asked = self.ask(reason="a test", **body)
        assert asked.status_code == 202, asked.text
        url, found = asked.headers["Location"], {}

        def ended() -> bool:
            found.update(self.show(url))
            return found["status"] != "running"

        self.stack.until(ended, "the restart has ended", 120)
        return found

    def configure(self, **settings: str) -> None:
        """Write `.env` in the working directory of the service."""
        (self.stack.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def metric(self, name: str) -> float:
        lines = self.stack.http.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


@pytest.fixture
def restartable(either_url: str, redis_url: str, provider: Provider, tmp_path: Path) -> Iterator[Restartable]:
    settings = {
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": TOKEN,
        **provider.settings,
        "SHUTDOWN_GRACE_SECONDS": "30",
        "JOB_LEASE_SECONDS": "30",
    }
    with stack(tmp_path / "stack", either_url, **settings) as running:
        yield Restartable(running, provider)


@dataclass
class Round:
    """What one restart met: the jobs that ran, how often their streams were opened, and what their readers saw."""

    jobs: list[str]
    restart: dict[str, Any]
    opened: int
    broken: Mapping[str, int]
    seen: list[tuple[str, list[int]]]


def one_round(restartable: Restartable) -> Round:
    """Restart while each job is in the midst of a call, which ends once every process has been told to end."""
    service, provider = restartable.stack, restartable.provider
    provider.hold("validation")
    jobs = [service.submit(project=PROJECT)["job_id"] for _ in range(SIZE.jobs)]
    for job_id in jobs:
        service.until(lambda job_id=job_id: provider.count("validation", job_id) == 1, "each job is in its call")
    with Readers(service, jobs, SIZE.streams) as readers:
        service.until(lambda: readers.opened >= SIZE.streams, "all streams are open")
        url = restartable.ask(reason="a test").headers["Location"]
        service.until(lambda: are_told_to_end(restartable.show(url)), "all were told to end", 120)
        provider.release()
        service.until(lambda: restartable.show(url)["status"] != "running", "the restart has ended", 120)
        return Round(jobs, restartable.show(url), readers.opened, readers.broken, readers.seen())


def are_told_to_end(restart: Mapping[str, Any]) -> bool:
    return all(one["state"] in {"draining", "ended"} for one in restart["processes"]["before"])


def test_a_restart_under_load_is_noticed_by_nobody(restartable: Restartable) -> None:
    # Given callers at a steady rate, jobs that run in-process, and readers of their streams
    service, provider = restartable.stack, restartable.provider
    service.settings |= {"BACKGROUND_MAX_CONCURRENCY": "200", "SHUTDOWN_GRACE_SECONDS": "60"}
    service.serve("--workers", str(SIZE.processes))
    read = service.submit(project="read")["job_id"]

    # When the API is restarted, again and again
    with Load(service, per_second=SIZE.requests_a_second, read=read) as load:
        rounds = [one_round(restartable) for _ in range(SIZE.restarts)]

    # Then every process was replaced each time,
    assert [one.restart["status"] for one in rounds] == ["completed"] * SIZE.restarts
    pids = [{process["pid"] for process in one.restart["processes"]["after"]} for one in rounds]
    assert len(set.union(*pids)) == SIZE.processes * SIZE.restarts
    # nobody was refused, and what failed was repaired by the same request,
    assert load.failures.keys() <= {"RemoteProtocolError", "ReadError"}, load.failures
    assert load.unrepaired == []
    # streams ended in peace and were opened anew, and no event was missed,
    for one in rounds:
        assert not one.broken
        assert one.opened >= 2 * SIZE.streams
        for job_id, ids in one.seen:
            assert ids == list(range(1, len(ids) + 1)), job_id
    # and each job went on in a new process from its last step: no call to the model was made twice
    jobs = [job_id for one in rounds for job_id in one.jobs]
    for job_id in jobs:
        assert service.wait_for(job_id)["attempt"] == 1
        assert "stopping" in [event["data"].get("reason") for event in service.events(job_id)]
        assert_every_step_was_committed_once(service, provider, job_id)
        assert [provider.count(step, job_id) for step in MODEL_STEPS] == [1, 1, 1]
    assert_one_episode_each(service, PROJECT, jobs)
    for job_id in load.accepted:
        assert service.wait_for(job_id, seconds=120)["status"] == "completed"
    streams = sum(one.opened for one in rounds)
    print(f"{load.asked} requests, repaired: {dict(load.failures)}, {len(load.accepted)} accepted; {streams} streams")  # noqa: T201 - the figures


def test_a_call_that_takes_longer_than_the_grace_is_made_again_by_the_new_process(restartable: Restartable) -> None:
    service, provider = restartable.stack, restartable.provider
    service.settings["SHUTDOWN_GRACE_SECONDS"] = "1"
    service.serve()
    provider.hold("validation")
    job = service.submit()
    provider.wait_until_held("validation")

    assert restartable.restart()["status"] == "completed"
    provider.wait_for_calls(2, "validation")
    provider.release()

    assert service.wait_for(job["job_id"])["attempt"] == 1
    assert [provider.count(step) for step in MODEL_STEPS] == [1, 2, 1]


def test_a_new_process_reads_the_file_anew_and_what_it_says_of_the_mode_counts(restartable: Restartable) -> None:
    restartable.configure(BACKGROUND_MAX_CONCURRENCY="5", USE_DURABLE_WORKER="false")
    restartable.stack.serve()
    assert restartable.metric("background_tasks_capacity") == 5

    restartable.configure(BACKGROUND_MAX_CONCURRENCY="7", USE_DURABLE_WORKER="true")
    restartable.restart()

    assert restartable.metric("background_tasks_capacity") == 7
    health = restartable.stack.http.get("/health").json()["worker_system"]
    assert (health["type"], health["source"]) == ("rq", "environment")


def test_what_is_said_with_a_restart_is_an_operators_word_and_holds(restartable: Restartable) -> None:
    restartable.configure(USE_DURABLE_WORKER="true")
    restartable.stack.serve()

    restartable.restart(use_durable_worker=False)

    health = restartable.stack.http.get("/health").json()["worker_system"]
    assert (health["type"], health["source"], health["reason"]) == ("background_tasks", "operator", "a test")


def test_a_configuration_that_does_not_hold_restarts_nothing(restartable: Restartable) -> None:
    restartable.stack.serve()
    before = serving_pids(restartable)
    restartable.configure(BACKGROUND_MAX_CONCURRENCY="many")

    refused = restartable.ask(use_durable_worker=True)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_configuration")
    assert "BACKGROUND_MAX_CONCURRENCY" in refused.json()["detail"]
    assert serving_pids(restartable) == before
    assert restartable.stack.http.get("/health").json()["worker_system"]["source"] == "environment"


def test_a_successor_that_dies_leaves_the_predecessor_in_place(restartable: Restartable) -> None:
    """The configuration holds, and the process is killed all the same while it starts, as by a lack of memory."""
    api = restartable.stack.serve()
    before = serving_pids(restartable)
    asked = restartable.ask(reason="a test")
    killed: list[int] = []

    def kill_a_successor() -> bool:
        for pid in children_of(api) - before - set(killed):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return restartable.show(asked.headers["Location"])["status"] != "running"

    restartable.stack.until(kill_a_successor, "the restart has ended", 60)

    failed = restartable.show(asked.headers["Location"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "successor_failed")
    assert serving_pids(restartable) == before


def serving_pids(restartable: Restartable) -> set[int]:
    processes = restartable.show("/api/admin/stats")["processes"]
    return {one["pid"] for one in processes if one["role"] == "api" and one["state"] == "serving"}


def children_of(api: Child) -> set[int]:
    """The API processes of a supervisor, those that have hardly begun included."""
    tasks = Path(f"/proc/{api.pid}/task").glob("*/children")
    pids = {int(pid) for task in tasks for pid in task.read_text().split()}
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    return {pid for pid, command in commands.items() if command and b"resource_tracker" not in command}


def test_a_process_that_another_program_keeps_is_not_restarted_and_its_parent_not_touched(
    restartable: Restartable,
) -> None:
    running = restartable.stack
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "generation_service.app:app_from_environment"]
    program = Program(
        command=[*uvicorn, "--port", str(running.port), "--workers", "2"],
        environment=running.environment(),
        folder=running.folder,
        log=running.folder / "api.log",
        on_orphaned=signal.SIGKILL,
    )
    other = running.children["api"] = Child(program)
    running.until(lambda: running._ready(other, running.http), "it is ready")

    refused = restartable.ask(reason="a test")

    assert (refused.status_code, refused.json()["code"]) == (409, "not_supervised")
    assert other.alive
