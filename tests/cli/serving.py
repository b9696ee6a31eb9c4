"""A supervisor in a process of its own, as `serve` runs it, and what a test asks of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx2
import psutil

from scripts.embedded.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30.0

_SUPERVISE = """
import sys
from generation_service.cli.serve import supervise
from generation_service.settings import Settings
settings = Settings(_env_file=None, port=0, shutdown_grace_seconds=1)
sys.exit(supervise(settings, int(sys.argv[1]), "tests.cli.tiny:application"))
"""


class Serving:
    """A running supervisor of `tests.cli.tiny`; `url` is known once it has said that it is ready."""

    def __init__(self, workers: int = 1, environment: Mapping[str, str] | None = None) -> None:
        self.process = start([sys.executable, "-c", _SUPERVISE, str(workers)], environment)
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def wait_until_ready(self) -> Self:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert "ready" in line, (line, self.process.poll())
        self.url = line.split(" ready at ")[1].split()[0]
        return self

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def serving_pid(self) -> int:
        return int(httpx2.get(f"{self.url}/pid", trust_env=False).text)

    def get(self, path: str) -> str:
        """What one of its processes answers."""
        return httpx2.get(f"{self.url}{path}", trust_env=False, timeout=DEADLINE_SECONDS).text

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to standard error."""
        _, said = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, said


def command(*arguments: str) -> list[str]:
    """`generation-service` with these arguments, as installed beside this interpreter."""
    return [str(Path(sys.executable).with_name("generation-service")), *arguments]


def start(
    words: Sequence[str], environment: Mapping[str, str] | None = None, **options: object
) -> "subprocess.Popen[str]":
    """Start a command of this project with nothing of this machine's configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        words,
        env={**kept, "LANG": "C.UTF-8", **(environment or {})},
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a command that is still there and close its pipes."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def eventually(condition: object, *, what: str) -> None:
    """Wait until `condition()` holds; fails with `what` at the deadline."""
    assert callable(condition)
    assert wait_until(condition, DEADLINE_SECONDS), what


def is_gone(pid: int) -> bool:
    """Whether no living process has this id (a zombie is dead)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
