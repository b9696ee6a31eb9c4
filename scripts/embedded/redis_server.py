"""A real redis-server: find its program, start it on the loopback interface, stop, freeze and kill it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from generation_service.errors import ConfigurationError
from scripts.embedded.children import Child, Program, tail
from scripts.embedded.ports import LOOPBACK, free_port
from scripts.embedded.waiting import wait_until

_OLDEST = (6, 2)  # LMOVE and BLMOVE
_START_SECONDS = 20.0
_PORT_TRIES = 5


def unpacked_program() -> Path:
    """Where set-up puts the redis-server of the wheel: in the virtual environment's own folder."""
    return Path(sys.prefix) / "embedded" / "redis-server"


def program_on_path() -> Path | None:
    """The redis-server on PATH, where it is new enough."""
    found = shutil.which("redis-server")
    return Path(found).resolve() if found and _version(found) >= _OLDEST else None


def find_program() -> Path:
    """The redis-server to use. Raises ConfigurationError where set-up has not been run."""
    program = program_on_path() or unpacked_program()
    if not program.is_file():
        raise ConfigurationError("no redis-server was found: run python -m scripts.embedded.fetch")
    return program


def _version(program: str) -> tuple[int, ...]:
    try:
        said = subprocess.run(  # noqa: S603 - a program found on PATH
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0,)


class EmbeddedRedis:
    """A redis-server of our own, with its own folder, port and pid file.

    `durable` keeps an append-only file in `folder`; otherwise each start is empty. `port` 0 picks
    a free one, which later starts keep. Never evicts: the queues are not a cache.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        durable: bool = False,
        database: int = 5,
        log: Path | None = None,
        pid_file: Path | None = None,
    ) -> None:
        self._folder = folder
        self.log = log or folder / "redis.log"
        self._pid_file = pid_file or folder / "redis.pid"
        self._port = port
        self._durable = durable
        self._database = database
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start where none was given."""
        return self._port

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self._port}/{self._database}"

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it was not started."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    def start(self) -> None:
        """Start it and return once it answers. Raises ConfigurationError with the end of its log."""
        if self.alive:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_PORT_TRIES if self._port == 0 else 1):
            port = self._port or free_port()
            if self._try(port):
                self._port = port
                return
        raise ConfigurationError(f"redis-server did not start; its log {self.log} ends with:\n{tail(self.log)}")

    def stop(self) -> None:
        """End it in an orderly way; a durable one saves first."""
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._child:
            self._child.kill()

    def freeze(self) -> None:
        """Stop it from answering: connections stay open, nothing comes back."""
        self._running().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._running().send(signal.SIGCONT)

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError("this redis-server was not started")
        return self._child

    def _try(self, port: int) -> bool:
        self._child = child = Child(
            Program(
                command=self._command(port),
                environment={"PATH": os.defpath},
                folder=self._folder,
                log=self.log,
                on_orphaned=signal.SIGTERM if self._durable else signal.SIGKILL,
            )
        )
        # Its own pid is asked for: on a port that another server has, that one would answer.
        wait_until(lambda: not child.alive or server_pid(port) == child.pid, _START_SECONDS)
        if child.alive and server_pid(port) == child.pid:
            return True
        child.kill()
        return False

    def _command(self, port: int) -> list[str]:
        persistence = ["--appendonly", "yes", "--appendfsync", "everysec"] if self._durable else ["--appendonly", "no"]
        return [
            *(str(find_program()), "--port", str(port), "--bind", LOOPBACK, "--protected-mode", "yes"),
            *("--daemonize", "no", "--pidfile", str(self._pid_file), "--dir", str(self._folder)),
            *("--save", "", "--maxmemory-policy", "noeviction", "--databases", "16", *persistence),
        ]


def server_pid(port: int) -> int | None:
    """The process id that the Redis on this port of the loopback interface gives, or None where none answers."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1) as connection:
        connection.sendall(b"INFO server\r\n")
        found = re.search(rb"process_id:(\d+)", connection.recv(65536))
        return int(found[1]) if found else None
    return None
