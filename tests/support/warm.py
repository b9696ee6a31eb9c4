"""Children that run a command of the service without importing it first: copies of a process that has.

They are real processes, with a group, an environment, a folder and a log of their own. What is there only in a fresh
interpreter is tried where commands are run as people run them (tests/ops, tests/cli).
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from weakref import WeakSet

from generation_service.cli import main
from generation_service.cli.leash import hold_on_to
from scripts.embedded.children import Child, Program

_ROOT = Path(__file__).parents[2]
_template = multiprocessing.get_context("forkserver")
_template.set_forkserver_preload(["tests.support.template"])
_copies: WeakSet[BaseProcess] = WeakSet()


def warm_up() -> None:
    """Start the template, which ends with the thread that calls this."""
    with chdir(_ROOT):
        forkserver.ensure_running()


class WarmChild(Child):
    """A child that runs `generation-service`, whatever the program's first word; it is killed with its parent."""

    def _begin(self, program: Program) -> "_Copy":
        return _Copy(program)


class _Copy:
    """A copy of the template, with the part of `subprocess.Popen` that a child needs."""

    def __init__(self, program: Program) -> None:
        began, tell = _template.Pipe(duplex=False)
        self._words = program.command
        self._process = _template.Process(target=_become, args=(program, tell))
        self._process.start()
        _copies.add(self._process)
        tell.close()
        began.recv()  # from here on its group is its own
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(list(self._words), timeout or 0)
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, sig)


@atexit.register
def _kill_those_left() -> None:
    for process in _copies:  # `multiprocessing` would wait for them
        process.kill()


def _become(program: Program, tell: Connection) -> None:
    """Be `program`, as if its command had just been run."""
    from tests.support import template  # noqa: PLC0415 - there already, as all that it imports

    assert os.getpid() != template.PID, "the template has imported nothing"
    hold_on_to(template.PID)
    os.setsid()
    os.chdir(program.folder)
    with program.output() as log, Path(os.devnull).open("rb") as nothing:
        for file, descriptor in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(file.fileno(), descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - that of `multiprocessing` is another, and passed to nobody
    environment = program.surroundings()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[:] = program.command
    sys.orig_argv[:] = [sys.executable, *program.command]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tell.send(None)
    tell.close()
    main()
