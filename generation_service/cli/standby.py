"""Standby of `worker` and `scheduler`: wait before work while the RQ part is switched off, and begin anew after it.

A process that has worked becomes a fresh one of the same number (execv) before it waits: so the memory
is given back, and no connection, thread or handler of the work is left. Between the two images SIGTERM
and SIGINT are blocked, so that one that comes just then is answered by the new image, in good order.
The new image has checked its database before it was one: that it is away for a while ends nothing.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

from sqlalchemy import Connection

from generation_service.cli.terminal import open_database, prepare_database, tell
from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.routing import Mode
from generation_service.settings import Settings
from generation_service.switching.mode import environment_says, environment_seen
from generation_service.switching.processes import Processes, name_process
from generation_service.switching.standby import LOOK_SECONDS, Standby, is_wanted
from workers.adapter import WorkerAdapter

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SHORT_GRACE_SECONDS = 5.0
_CALM_SECONDS = 3.0  # longer than 10,000 jobs take to be moved
_BEGUN_ANEW = "GENERATION_SERVICE_BEGUN_ANEW"  # the number of a process that begins anew, told to its next image


class Ending:
    """SIGTERM and SIGINT of a process, from its first line to its last; needs the main thread."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._listener: Callable[[], None] | None = None
        for number in _SIGNALS:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # an image before this one may have left them blocked

    def listen(self, stop: Callable[[], None]) -> None:
        """Have `stop` called on the running event loop at each signal, soon where one has come already."""
        loop = asyncio.get_running_loop()
        self._listener = lambda: _schedule(loop, stop)
        if self.asked.is_set():
            self._listener()

    def block(self) -> None:
        """Let the signals wait for the next image of this process, from now on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked.set()
        if self._listener:
            self._listener()


Work = Callable[[Ending], bool]
"""Works until it is told to end, or the RQ part is switched off: True in that case."""


def work_while_wanted(settings: Settings, role: str, work: Work, *, patient: bool = True) -> None:
    """Wait until the RQ part is switched on, then work; if it is switched off meanwhile, begin anew, and wait.

    Without `patient` it never waits: then it returns. Raises ConfigurationError.
    """
    ending = Ending()
    if not _wait_until_wanted(settings, role, ending, patient=patient):
        return
    if work(ending) and patient:
        _let_the_switch_end(settings, ending)
        ending.block()
        if not ending.asked.is_set():
            _begin_anew()


def grace_seconds(settings: Settings, mode: Mode) -> float:
    """How long jobs may go on where the RQ part is switched off: shortly, if running ones are taken over anyway."""
    longest = settings.shutdown_grace_seconds
    return min(longest, _SHORT_GRACE_SECONDS) if mode.moves == "running" else longest


def _wait_until_wanted(settings: Settings, role: str, ending: Ending, *, patient: bool) -> bool:
    """Wait until the RQ part is switched on; False: this process is to end.

    Says what the environment says first, as every process does at its start.
    """
    anew = os.environ.pop(_BEGUN_ANEW, None) == str(os.getpid())
    if not anew:
        prepare_database(settings)
    database = open_database(settings)
    # Nobody has started this process when it begins anew: a `.env` that was changed since is not spoken for by it.
    hear = environment_seen if anew else environment_says
    hear_it = partial(hear, flag=WorkerAdapter(settings, {}).flag, host=socket.gethostname(), role=role)
    look = partial(_is_wanted, database, hear_it)
    try:
        if _insist(look, ending) if anew else look():
            return not ending.asked.is_set()
        if ending.asked.is_set():
            return False
        tell("standby.begins" if patient else "standby.not_wanted")
        processes = Processes(database=database, name=name_process(role), role=role)
        return patient and Standby(database=database, processes=processes).wait(ending.asked)
    finally:
        database.close()


def _let_the_switch_end(settings: Settings, ending: Ending) -> None:
    """Do nothing for a moment, unless this process is to end or to work again: whoever moves jobs needs the processor.

    To begin anew takes the better part of a second of it, from the API too, and nobody waits for it.
    """
    until = time.monotonic() + _CALM_SECONDS
    with suppress(DatabaseUnavailable), closing(open_database(settings)) as database:
        while not ending.asked.is_set() and time.monotonic() < until and not database.read_now(is_wanted):
            ending.asked.wait(LOOK_SECONDS)


def _is_wanted(database: Database, hear: Callable[[Connection], object]) -> bool:
    database.write_now(hear)
    return database.read_now(is_wanted)


def _insist(look: Callable[[], bool], ending: Ending) -> bool:
    """Look again and again while the database does not answer; False where this process is to end meanwhile."""
    blind = False
    while not ending.asked.is_set():
        try:
            return look()
        except DatabaseUnavailable as error:
            if not blind:
                _log.warning("Standing by without a database: %s", error, extra={"action": "standby_blind"})
            blind = True
        ending.asked.wait(LOOK_SECONDS)
    return False


def _begin_anew() -> NoReturn:
    """Become what was started, as if it were started now: the same command, number and, but for a mark, environment."""
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, _BEGUN_ANEW: str(os.getpid())}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - this very program


def _schedule(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the event loop has been closed: what it ran has ended
        loop.call_soon_threadsafe(stop)
