"""Who keeps an API process, and the one way to ask it for a restart.

The way is a pipe that the supervisor gave to its child when it started it. So nobody has to find the
supervisor by its number, which may be another program's by then; whoever holds the other end is it.
A request is the id of a restart and may be sent again and again, by each of the processes: the
supervisor remembers the ids and restarts once for each. It answers every process that it keeps.
"""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Self

_STARTED_FIELD = 22 - 3  # of /proc/PID/stat, counted from behind the command's name: see proc_pid_stat(5)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that no other can be taken for: its number and when it started, in clock ticks since the boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this number now; None: there is none."""
        try:
            said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return cls(pid, int(said.rpartition(")")[2].split()[_STARTED_FIELD]))

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"


@dataclass(frozen=True, slots=True)
class Word:
    """What the supervisor says of a restart that it was asked for; `detail` is for people."""

    restart_id: str
    outcome: Literal["replaced", "failed"]
    detail: str = ""

    def to_bytes(self) -> bytes:
        return json.dumps([self.restart_id, self.outcome, self.detail]).encode()

    @classmethod
    def of_bytes(cls, said: bytes) -> Self:
        return cls(*json.loads(said))


class Supervision:
    """The supervisor as one of its processes sees it; safe from any thread."""

    def __init__(self, identity: ProcessIdentity, pipe: Connection) -> None:
        self.identity = identity
        self._pipe = pipe
        self._lock = threading.Lock()

    def ask(self, restart_id: str) -> None:
        """Ask for a restart, or once more for the same; returns at once."""
        with self._lock, suppress(OSError):  # a supervisor that is gone takes this process with it
            self._pipe.send_bytes(restart_id.encode())

    def words(self) -> list[Word]:
        """What it has said since the last call; returns at once."""
        said = []
        with self._lock, suppress(OSError, EOFError):
            while self._pipe.poll():
                said.append(Word.of_bytes(self._pipe.recv_bytes()))
        return said


class _Kept:
    """This process's supervision, told by the supervisor's own code before the application is built."""

    supervision: Supervision | None = None


def be_supervised(supervision: Supervision) -> None:
    """Note who keeps this process: called once, by what the supervisor starts."""
    _Kept.supervision = supervision


def supervision() -> Supervision | None:
    """Who keeps this process; None: nobody of ours does."""
    return _Kept.supervision
