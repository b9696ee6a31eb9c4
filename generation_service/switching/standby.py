"""Standby: while the RQ part is switched off, its processes hold no Redis connection, and wait until it is wanted."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.loops import Loop
from generation_service.jobs.routing import Mode, current_mode
from generation_service.jobs.signs import ModeSign, Signs
from generation_service.switching.processes import WRITING_SECONDS, Processes

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
_FOLLOW_SECONDS = 1.0  # by whoever works
"""How often a process of the RQ part looks whether it is wanted."""


class Follower:
    """Follows the mode while a process of the RQ part works, and calls `on_disabled` once the part is switched off."""

    def __init__(self, *, database: Database, on_disabled: Callable[[Mode], None], signs: Signs | None = None) -> None:
        self._mode = ModeSign(database, signs or Signs(database))
        self._on_disabled = on_disabled
        self._told = False
        self._loop = Loop(name="mode", turn=self.turn, pause_seconds=_FOLLOW_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def turn(self) -> None:
        """Look once."""
        mode = await self._mode.look()
        if mode is not None and not mode.enabled and not self._told:
            self._told = True
            self._on_disabled(mode)


class Standby:
    """Waits, with a row in `processes` that says so; all calls are blocking, for the main thread of a small process."""

    def __init__(self, *, database: Database, processes: Processes) -> None:
        self._database = database
        self._processes = processes
        self._blind = False

    def wait(self, ended: threading.Event) -> bool:
        """Wait until the RQ part is switched on; False where `ended` was set before."""
        self._processes.enter("standby")
        _log.info("Standing by: the RQ part is switched off", extra={"action": "standby"})
        write_at = 0.0
        try:
            while not ended.is_set():
                if time.monotonic() >= write_at:
                    self._see(self._database.write_now, self._processes.write)
                    write_at = time.monotonic() + WRITING_SECONDS
                if self._see(self._database.read_now, is_wanted):
                    return True
                ended.wait(LOOK_SECONDS)
            return False
        finally:
            with suppress(DatabaseUnavailable):
                self._database.write_now(self._processes.end)

    def _see(
        self, run: Callable[[Callable[[Connection], object]], object], unit: Callable[[Connection], object]
    ) -> object:
        """What the unit returned; None while the database does not answer, which is said once."""
        try:
            found = run(unit)
        except DatabaseUnavailable as error:
            if not self._blind:
                _log.warning("Standing by without a database: %s", error, extra={"action": "standby_blind"})
            self._blind = True
            return None
        self._blind = False
        return found


def is_wanted(connection: Connection) -> bool:
    """Whether the RQ part is switched on; also where nobody has said anything."""
    mode = current_mode(connection)
    return mode is None or mode.enabled
