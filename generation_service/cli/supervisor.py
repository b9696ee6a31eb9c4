"""The process that holds the API's port: it starts API processes and replaces them without closing the port."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from logging import getLogger
from multiprocessing import Pipe
from pathlib import Path
from socket import socket
from typing import Any

import click
from uvicorn._subprocess import subprocess_started
from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from generation_service.cli.draining import DrainingServer
from generation_service.cli.leash import hold_on_to_parent
from generation_service.errors import ConfigurationError
from generation_service.switching.supervision import ProcessIdentity, Supervision, Word, be_supervised
from generation_service.telemetry.collector import loading

_log = getLogger(__name__)

_DEATHS_REMEMBERED_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_NAP_SECONDS = 0.05
_FOR_SUPERVISOR = frozenset({signal.SIGHUP, signal.SIGINT})  # a restart; and Ctrl+C, until the server hears of that


class ApiConfig(Config):
    """uvicorn's configuration of an API process."""

    def load(self) -> None:
        """Import the application and make it, in the process that is to serve it."""
        with loading():
            super().load()


class ApiProcess(Process):
    """One API process, as its supervisor sees it; `target` is what runs inside it.

    It is a new interpreter, which reads the code anew, or with `forked` (where that is safe) a copy of its
    supervisor, which need not import a second time what is there.
    """

    def __init__(self, config: Config, sockets: list[socket], *, forked: bool = False) -> None:
        super().__init__(config, sockets)
        self._forked = forked and _may_be_copied()
        if self._forked:
            self.process = multiprocessing.get_context("fork").Process(  # type: ignore[assignment]  # not a SpawnProcess
                target=subprocess_started, args=(config, self.target, sockets, None)
            )
        self.ready = False  # was it ever seen serving?
        self._supervisor = ProcessIdentity.of(os.getpid())
        self._line, self._its_line = Pipe()  # for restarts: see generation_service/switching/supervision.py

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a new interpreter: its own end of the line, and not ours."""
        return {name: value for name, value in self.__dict__.items() if name != "_line"}

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve until told to end. A configuration that does not hold is one line and uvicorn's own exit code."""
        hold_on_to_parent()
        if self._supervisor is not None:
            be_supervised(Supervision(self._supervisor, self._its_line))
        for number in SIGNALS:  # what is the supervisor's is heard by it, even where all of its family get it
            signal.signal(number, signal.SIG_IGN if number in _FOR_SUPERVISOR else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            super().target(sockets)
        except ConfigurationError as error:
            click.echo(error.message, err=True)
            sys.exit(STARTUP_FAILURE)

    @property
    def server(self) -> DrainingServer:
        """The server that runs in this process."""
        if not isinstance(self._server, DrainingServer):
            self._server = DrainingServer(self.config)
        return self._server

    def start(self) -> None:
        """Start it; from here on its death ends the wait for an answer of its, instead of the time-out."""
        # One that comes to a copy of ours before it has handlers of its own would be lost.
        with _signals_wait() if self._forked else nullcontext():
            super().start()
        self.child_conn.close()  # while we hold the child's end too, nothing ever says that the child's is gone
        self._its_line.close()

    def restarts_asked_for(self) -> Iterator[str]:
        """The ids of restarts that it has asked for since the last call."""
        with suppress(OSError, EOFError):  # it has ended
            while self._line.poll():
                yield self._line.recv_bytes().decode()

    def tell(self, word: Word) -> None:
        """Answer what was asked for, perhaps by another process."""
        with suppress(OSError):  # it has ended
            self._line.send_bytes(word.to_bytes())

    def look(self, timeout: float) -> bool:
        """Whether it lives and answers within `timeout` seconds; notes when it begins to serve."""
        alive = self.is_alive(timeout)
        self.ready = self.ready or (alive and self.is_ready(timeout))
        return alive


def _may_be_copied() -> bool:
    """Whether this process has one thread: the locks of others would be copied, and nobody there to release them."""
    try:
        return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


@contextmanager
def _signals_wait() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Supervisor(Multiprocess):
    """uvicorn's supervisor, used with one process as well, and with bounds on everything it waits for.

    Differs from its base where that would wait or loop for ever: a process that does not end within
    `end_seconds` of being told to is killed; deaths in quick succession are answered more and more
    slowly; and when none serves and one ends before it was ready, the supervisor says so and stops.
    `on_ready` is called once, when all processes serve. Restarts are asked for by SIGHUP, or by a process
    over its own line under an id: for each id there is one, however often and by whomever it is asked for.
    """

    def __init__(
        self, config: Config, sockets: list[socket], *, end_seconds: float, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self.processes: list[ApiProcess] = []  # type: ignore[assignment]  # ours are ApiProcesses throughout
        self.exit_code = 0
        self._end_seconds = end_seconds
        self._on_ready: Callable[[], None] | None = on_ready
        self._leaving: list[tuple[ApiProcess, float]] = []  # told to end, and until when they may take
        self._deaths: list[float] = []
        self._next_start = 0.0
        self._restarts: set[str] = set()  # the ids that were asked for so far

    def init_processes(self) -> None:
        """Start the first processes: what they are to run was imported a moment ago."""
        for _ in range(self.processes_num):
            self._start_one(forked=True)

    def keep_subprocess_alive(self) -> None:
        """Restart if asked to, bury the dead, start what is missing, and say it when all serve."""
        self._restart_where_asked()
        self._reap()
        for process in list(self.processes):
            if not self.should_exit.is_set() and not process.look(self.config.timeout_worker_healthcheck):
                self._bury(process)
        if self.should_exit.is_set():
            return
        if len(self.processes) < self.processes_num and time.monotonic() >= self._next_start:
            self._start_one()
        if self._on_ready and all(process.ready for process in self.processes):
            self._on_ready()
            self._on_ready = None

    def restart_all(self) -> None:
        """Replace each process: the successor serves before the predecessor is told to end.

        Nobody waits here for the predecessor, which may have streams and jobs to bring to an end.
        """
        self._replace_all()

    def terminate_all(self) -> None:
        """Close the port, so that callers are refused at once rather than left waiting, and tell all to end."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until every process, told to end before, has ended; by force where it takes too long."""
        deadline = time.monotonic() + self._end_seconds
        self._leaving += [(process, deadline) for process in self.processes]
        while self._leaving:
            self._reap()
            time.sleep(_NAP_SECONDS)

    def handle_ttin(self) -> None:
        """One process more: the next look starts it."""
        self.processes_num += 1

    def handle_ttou(self) -> None:
        """One process less, but never none."""
        if self.processes_num > 1:
            self.processes_num -= 1
            self._dismiss(self.processes.pop())

    def _restart_where_asked(self) -> None:
        for restart_id in [one for process in self.processes for one in process.restarts_asked_for()]:
            if restart_id in self._restarts:
                continue
            self._restarts.add(restart_id)
            failure = self._replace_all()
            for process in self.processes:
                process.tell(Word(restart_id, "failed" if failure else "replaced", failure))

    def _replace_all(self) -> str:
        """Replace each process, as far as its successor gets ready; what went wrong, '' where nothing did."""
        for index, predecessor in enumerate(list(self.processes)):
            if self._asked_to_end():
                return "the service was told to end"
            successor = ApiProcess(self.config, self.sockets)
            successor.start()
            if not self._wait_until_ready(successor):
                code = successor.exitcode
                successor.kill()
                successor.join()
                _log.error("the successor was not ready; the process before it goes on", extra={"pid": predecessor.pid})
                return "the successor was not ready in time" if code is None else f"the successor ended with {code}"
            self.processes[index] = successor
            self._dismiss(predecessor)
        return ""

    def _start_one(self, *, forked: bool = False) -> None:
        process = ApiProcess(self.config, self.sockets, forked=forked)
        process.start()
        self.processes.append(process)

    def _bury(self, process: ApiProcess) -> None:
        process.kill()  # one that hangs is dead to those who wait for it
        process.join()
        self.processes.remove(process)
        _log.error("an API process ended", extra={"pid": process.pid, "exit_code": process.exitcode})
        if not process.ready and not any(other.ready for other in self.processes):
            self.exit_code = 1
            self.should_exit.set()
            return
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < _DEATHS_REMEMBERED_SECONDS] + [now]
        pause = 2.0 ** (len(self._deaths) - 2) if len(self._deaths) > 1 else 0.0
        self._next_start = now + min(pause, _LONGEST_PAUSE_SECONDS)

    def _wait_until_ready(self, process: ApiProcess) -> bool:
        deadline = time.monotonic() + self.config.timeout_worker_healthcheck
        while time.monotonic() < deadline and process.process.is_alive() and not self._asked_to_end():
            if process.is_ready(timeout=1):
                process.ready = True
                return True
            time.sleep(_NAP_SECONDS)
        return False

    def _asked_to_end(self) -> bool:
        # The signal may be in the queue still: the loop that reads it is what is waiting here.
        return self.should_exit.is_set() or bool({signal.SIGTERM, signal.SIGINT} & set(self.signal_queue))

    def _dismiss(self, process: ApiProcess) -> None:
        process.terminate()
        self._leaving.append((process, time.monotonic() + self._end_seconds))

    def _reap(self) -> None:
        for process, deadline in list(self._leaving):
            if process.process.is_alive():
                if time.monotonic() < deadline:
                    continue
                _log.error("an API process did not end in time and is killed", extra={"pid": process.pid})
                process.process.kill()
            process.process.join()
            self._leaving.remove((process, deadline))
