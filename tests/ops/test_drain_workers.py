"""Ending worker processes: exactly those that are ours, warm first, wherever they were found."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from generation_service.settings import Settings
from scripts.drain_workers import drain, main, read_arguments
from scripts.embedded.waiting import wait_until
from scripts.worker_processes import Trace, WorkerProcess, find, pid_files
from tests.support.provider import Provider
from tests.support.settings import SettingsFor
from tests.support.stack import Stack, stack

SECONDS = 20.0


class Decoy:
    """A process of somebody else; `words` stand in its command line."""

    def __init__(self, *words: str) -> None:
        code = "import sys; print('up', flush=True); sys.stdin.read()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout
        self.process.stdout.readline()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.communicate()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def decoy() -> Iterator[Decoy]:
    running = Decoy("generation-service", "worker")  # its command line is that of a worker
    yield running
    running.close()


def test_a_process_counts_only_if_it_was_there_when_the_trace_was_written(decoy: Decoy) -> None:
    pid = decoy.process.pid
    fresh = Trace(pid=pid, source="row", at=now())
    of_its_predecessor = Trace(pid=pid, source="pid_file", at=now() - timedelta(hours=1))

    found = find([fresh])

    assert [one.pid for one in found] == [pid]
    assert find([of_its_predecessor]) == []
    for one in found:
        one.close()


@pytest.mark.parametrize("words", [("vim", "rq worker"), ("generation-service", "serve"), ("worker",), ()])
def test_a_process_that_is_no_worker_is_never_found(words: tuple[str, ...]) -> None:
    decoy = Decoy(*words)
    try:
        assert find([Trace(pid=decoy.process.pid, source="pid_file", at=now())]) == []
    finally:
        decoy.close()


def test_a_number_that_nobody_has_is_nobody() -> None:
    assert WorkerProcess.of(Trace(pid=2**22 + 1, source="rq", at=now())) is None


def test_a_process_found_in_several_ways_is_one_and_gone_once_it_has_ended(decoy: Decoy) -> None:
    pid = decoy.process.pid

    (found,) = find([Trace(pid=pid, source="row", at=now()), Trace(pid=pid, source="rq", at=now())])

    assert found.alive
    assert found.end(signal.SIGTERM)
    assert wait_until(lambda: not found.alive, SECONDS)
    decoy.process.wait(SECONDS)
    assert not found.end(signal.SIGTERM)
    found.close()


def test_pid_files_are_those_of_workers_and_hold_a_number(tmp_path: Path) -> None:
    for name, content in {"worker": "12\n", "worker-8010": "13", "api": "14", "worker-x": "rm -rf"}.items():
        (tmp_path / f"{name}.pid").write_text(content)

    assert sorted(one.pid for one in pid_files(tmp_path)) == [12, 13]


# Real workers


@pytest.fixture
def service(sqlite_url: str, redis_url: str, provider: Provider, tmp_path: Path) -> Iterator[Stack]:
    settings = {
        "USE_DURABLE_WORKER": "true",
        "REDIS_URL": redis_url,
        **provider.settings,
        "ROLLBACK_TRIGGERS": "off",
    }
    with stack(tmp_path / "stack", sqlite_url, cold=True, **settings) as running:  # found by its command line
        running.serve()
        running.worker()
        yield running


def registered(redis_url: str) -> int:
    with Redis.from_url(redis_url) as client:
        return int(client.scard("rq:workers"))


@pytest.fixture
def working(service: Stack, provider: Provider, redis_url: str) -> Stack:
    """The service, whose worker is in the midst of a job."""
    provider.hold("insight")
    service.settings["job"] = job_id = service.submit("held")["job_id"]
    service.until(lambda: any(call.step == "insight" and call.held for call in provider.calls), "the call is held")
    assert service.job(job_id)["status"] == "running"
    assert registered(redis_url) == 1
    return service


def settings_of(service: Stack, settings_for: SettingsFor) -> Settings:
    return settings_for(
        database_url=service.settings["DATABASE_URL"],
        redis_url=service.settings["REDIS_URL"],
        shutdown_grace_seconds=1.0,
    )


def asked(settings: Settings, tmp_path: Path, *words: str) -> argparse.Namespace:
    return read_arguments(["--run-folder", str(tmp_path), *words], settings)


def test_a_worker_ends_warm_and_its_job_goes_on_elsewhere_from_its_last_step(
    working: Stack, provider: Provider, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings = settings_of(working, settings_for)
    job_id = working.settings["job"]

    outcome = drain(settings, asked(settings, tmp_path))

    assert (len(outcome.ended), outcome.killed, outcome.left) == (1, [], [])
    assert working.children["worker"].wait(SECONDS) == 0
    provider.release()
    working.worker("another")
    done = working.wait_for(job_id, "completed")
    assert done["attempt"] == 1
    assert [call.step for call in provider.calls if call.job_id == job_id].count("signal") == 1
    assert working.children["api"].alive


def test_a_dry_run_names_the_worker_and_leaves_it(service: Stack, settings_for: SettingsFor, tmp_path: Path) -> None:
    settings = settings_of(service, settings_for)
    service.until(lambda: len(drain(settings, asked(settings, tmp_path, "--dry-run")).found) == 1, "it is found")

    assert service.children["worker"].alive


def test_a_deaf_worker_is_left_and_with_force_it_is_killed(
    service: Stack, redis_url: str, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings = settings_of(service, settings_for)
    service.until(lambda: registered(redis_url) == 1, "the worker is there")
    worker = service.children["worker"]
    worker.send(signal.SIGSTOP)

    left = drain(settings, asked(settings, tmp_path, "--grace", "0.3"))
    killed = drain(settings, asked(settings, tmp_path, "--grace", "0.3", "--force"))

    assert (len(left.left), left.ended) == (1, [])
    assert (len(killed.killed), killed.left) == (1, [])
    assert worker.wait(SECONDS) == -signal.SIGKILL


def test_a_worker_that_only_its_pid_file_knows_is_ended(
    service: Stack, redis_url: str, settings_for: SettingsFor, tmp_path: Path
) -> None:
    service.until(lambda: registered(redis_url) == 1, "the worker is there")
    (tmp_path / "worker.pid").write_text(f"{service.children['worker'].pid}\n")
    elsewhere = settings_for(shutdown_grace_seconds=1.0)  # no database, no Redis

    outcome = drain(elsewhere, asked(elsewhere, tmp_path))

    assert (len(outcome.ended), outcome.redis) == (1, "unreachable")
    assert service.children["worker"].wait(SECONDS) == 0


def test_a_worker_of_another_host_is_told_over_rq(
    service: Stack, redis_url: str, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(service, settings_for)
    service.until(lambda: registered(redis_url) == 1, "the worker is there")
    monkeypatch.setattr("scripts.drain_workers.socket.gethostname", lambda: "this-host")

    spared = drain(settings, asked(settings, tmp_path, "--this-host"))
    outcome = drain(settings, asked(settings, tmp_path))

    assert spared.found == []
    assert (len(outcome.ended), outcome.left) == (1, [])
    assert service.children["worker"].wait(SECONDS) == 0


def test_a_worker_of_another_host_that_does_not_listen_is_left(
    redis_url: str, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings = settings_for(redis_url=redis_url)
    with Redis.from_url(redis_url) as client:
        client.sadd("rq:workers", "rq:worker:far")
        client.hset("rq:worker:far", mapping={"hostname": "far", "pid": 7, "birth": now().isoformat()})
        outcome = drain(settings, asked(settings, tmp_path, "--grace", "0.3"))

    assert outcome.left == ["far:7"]


def test_the_command_says_what_became_of_each_and_twice_is_once(
    service: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.until(lambda: registered(redis_url) == 1, "the worker is there")
    for name, value in service.settings.items():
        monkeypatch.setenv(name, value)
    words = ["--run-folder", str(tmp_path), "--json"]

    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(words) == 0
    second = json.loads(capsys.readouterr().out)

    host = os.uname().nodename
    assert first["ended"] == [f"{host}:{service.children['worker'].pid}"]
    assert (second["found"], second["ended"], second["left"]) == ([], [], [])
