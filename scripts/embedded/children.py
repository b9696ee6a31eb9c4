"""Child processes that cannot outlive their parent and are stopped by id, within a bounded time."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

_COMPILED = "PYTHONPYCACHEPREFIX"  # where compiled modules are kept, unless beside their sources
_LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: an absolute command, its environment, where it runs, where its output goes.

    `on_orphaned` is the signal it gets when the thread that started it is gone; `account` names
    another account to run it as (only root can).
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path | None = None
    account: str | None = None
    on_orphaned: signal.Signals = signal.SIGTERM

    def leashed(self) -> list[str]:
        """The command as it is run: through the leash, which lets it end with this process."""
        return [
            *(sys.executable, "-I", "-S", str(_LEASH)),
            *(str(os.getpid()), str(int(self.on_orphaned)), self.account or "-"),
            *self.command,
        ]

    def surroundings(self) -> dict[str, str]:
        """Its environment; it shares this process's compiled modules, so that it compiles none beside the sources."""
        shared = {_COMPILED: os.environ[_COMPILED]} if _COMPILED in os.environ else {}
        return shared | dict(self.environment)

    def output(self) -> IO[bytes]:
        """Its log, open for more."""
        path = self.log or Path(os.devnull)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")

    def run(self, timeout_seconds: float) -> "subprocess.CompletedProcess[str]":
        """Run it to its end and return what it said (errors too, in `stdout`)."""
        return subprocess.run(  # noqa: S603 - commands are made by this project
            self.leashed(),
            env=self.surroundings(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )


class Running(Protocol):
    """What a child asks of its process, as `subprocess.Popen` answers it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Child:
    """One running child, the leader of a process group of its own."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._log_from = program.log.stat().st_size if program.log and program.log.exists() else 0
        self._running = self._begin(program)

    def _begin(self, program: Program) -> "Running":
        with program.output() as output:
            return subprocess.Popen(  # noqa: S603 - commands are made by this project
                program.leashed(),
                env=program.surroundings(),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._running.poll()

    @property
    def alive(self) -> bool:
        return self.exit_code is None

    def last_words(self) -> str:
        """The last line that it has written to its log; '' where it has written none."""
        if self._program.log is None:
            return ""
        with self._program.log.open("rb") as log:
            log.seek(self._log_from)
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to the child alone (its own children are its business)."""
        if self.alive:
            self._running.send_signal(signal_number)

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for its end and return its exit code. Raises subprocess.TimeoutExpired."""
        return self._running.wait(timeout_seconds)

    def stop(self, *, with_signal: signal.Signals = signal.SIGTERM, grace_seconds: float = 10.0) -> int:
        """Ask it to end, and after `grace_seconds` make it; then whatever is left of its group."""
        self.send(with_signal)
        self.send(signal.SIGCONT)  # a frozen one hears nothing
        try:
            code = self.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._kill_group()
        return code

    def kill(self) -> int:
        """End it and its group at once."""
        self._kill_group()
        return self.wait()

    def _kill_group(self) -> None:
        # The group keeps its number while any member lives; without members the call finds nothing.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for a message that says why something did not start."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
