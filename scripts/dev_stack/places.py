"""Where a stack keeps its files: its logs, its pid files, and the lock that says whether it lives."""

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Self

from generation_service.errors import ConfigurationError
from generation_service.texts import Language, text
from scripts.embedded.waiting import wait_until

_OURS = (b"generation-service", b"redis-server")
_END_SECONDS = 20.0


class HeldLock:
    """A lock file that is held until `release` or until this process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """The lock, or None where another process holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


class Places:
    """The files of one stack below `var`.

    The first stack has the plain names (`var/log/api.log`, `var/run/api.pid`); one beside it has
    its port in them (`api-8010.log`).
    """

    def __init__(self, var: Path, suffix: str, lock: HeldLock) -> None:
        self.var = var
        self._suffix = suffix
        self._lock = lock

    @classmethod
    def take(cls, var: Path, port: int, language: Language) -> Self:
        """The places of the stack on `port`. Raises ConfigurationError where that stack already runs."""
        for suffix in ("", f"-{port}"):
            lock = HeldLock.take(var / "run" / f"stack{suffix}.lock")
            if lock:
                (var / "log").mkdir(parents=True, exist_ok=True)
                return cls(var, suffix, lock)
        raise ConfigurationError(text("dev_stack.runs_already", language, port=port))

    def log(self, name: str) -> Path:
        return self.var / "log" / f"{name}{self._suffix}.log"

    def pid_file(self, name: str) -> Path:
        return self.var / "run" / f"{name}{self._suffix}.pid"

    def remember(self, name: str, pid: int) -> None:
        """Write a pid file."""
        self.pid_file(name).write_text(f"{pid}\n", encoding="ascii")

    def forget(self, name: str) -> None:
        """Remove a pid file."""
        self.pid_file(name).unlink(missing_ok=True)

    def release(self) -> None:
        """Let another stack have these places."""
        self._lock.release()

    def sweep(self, names: tuple[str, ...], root: Path) -> list[str]:
        """Remove the pid files that a killed stack left, and end what it left running in `root`; return their names."""
        stale = [name for name in names if self.pid_file(name).exists()]
        for name in stale:
            _end(_read_pid(self.pid_file(name)), root)
            self.forget(name)
        return stale


def _read_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text(encoding="ascii"))
    except ValueError:
        return None


def _end(pid: int | None, root: Path) -> None:
    """End what a stale pid file names, if it is still that: ids are used again."""
    if pid is None or pid == os.getpid() or not _is_ours(pid, root):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not _is_ours(pid, root), _END_SECONDS, pause_seconds=0.1):
            os.kill(pid, signal.SIGKILL)


def _is_ours(pid: int, root: Path) -> bool:
    folder = Path(f"/proc/{pid}")
    try:
        command = (folder / "cmdline").read_bytes()
        return any(name in command for name in _OURS) and (folder / "cwd").resolve().is_relative_to(root)
    except OSError:
        return False
