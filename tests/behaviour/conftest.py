"""A service in real processes whose jobs run in either mode, on either database, against a provider that counts."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import make_url

from scripts.embedded.children import Child
from tests.support.provider import Provider
from tests.support.stack import Stack, stack

MODES = ("rq", "background_tasks")


@dataclass
class Service:
    """The same verbs in both modes; the runner is the process whose death a running job feels."""

    stack: Stack
    provider: Provider
    mode: str

    @property
    def runner(self) -> Child:
        return self.stack.children[self.runner_name]

    @property
    def runner_name(self) -> str:
        return "worker" if self.mode == "rq" else "api"

    def start(self, *, runs_jobs: bool = True) -> None:
        self.stack.serve()
        if runs_jobs and self.mode == "rq":
            self.stack.worker()

    def start_another_runner(self) -> httpx2.Client:
        """A second process that can run jobs, on the same database; the API to ask beside the first, or that one."""
        if self.mode == "background_tasks":
            return self.stack.serve_beside("api-2")
        self.stack.worker("worker-2")
        return self.stack.http

    def restart_runner(self) -> None:
        if self.mode == "rq":
            self.stack.worker()
        else:
            self.stack.serve()

    def crash(self) -> None:
        """SIGKILL to the runner and whatever it started."""
        self.runner.kill()

    def freeze(self) -> None:
        """SIGSTOP to the runner's whole process group, while it does not write: on SQLite nobody else could."""
        _signal_group(self.runner, signal.SIGSTOP)
        while self._is_writing():
            self.thaw()
            time.sleep(0.02)  # it ends its transaction
            _signal_group(self.runner, signal.SIGSTOP)

    def _is_writing(self) -> bool:
        path = make_url(self.stack.settings["DATABASE_URL"]).database
        lock = Path(f"{path}.lock")
        if not lock.exists():
            return False
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def thaw(self) -> None:
        _signal_group(self.runner, signal.SIGCONT)

    def end(self) -> int:
        """SIGTERM to the runner; its exit code."""
        return self.runner.stop(grace_seconds=30)


def _signal_group(child: Child, number: signal.Signals) -> None:
    os.killpg(child.pid, number)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(mode: str, database_url: str, redis_url: str, provider: Provider, tmp_path: Path) -> Iterator[Service]:
    """A service that has started nothing yet: its settings may still be changed."""
    settings = {
        "USE_DURABLE_WORKER": str(mode == "rq").lower(),
        "REDIS_URL": redis_url,
        **provider.settings,
    }
    with stack(tmp_path / "stack", database_url, **settings) as running:
        yield Service(running, provider, mode)
