"""The one shape of every background loop: named, started, stopped, and never ended by an error."""

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable

from generation_service.errors import DatabaseUnavailable

_log = logging.getLogger(__name__)

_ERROR_PAUSE_SECONDS = 1.0
_SHORTEST_PAUSE = 0.25  # of the pause: a turn that lasted until just before the next tick lets that one pass


class _Phase:
    """When loops tick: all of a process at once, and those of others at other moments (on SQLite they take turns)."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._draw()
        os.register_at_fork(after_in_child=self._draw)

    def _draw(self) -> None:
        self.seconds = random.uniform(0, 60)  # noqa: S311 - nobody gains by guessing it


_phase = _Phase()


class Loop:
    """Calls `turn` again and again, about `pause_seconds` apart, or at once after `nudge`.

    Loops of a process tick together, so that what all of them look for is looked for at once: a pause
    ends with a multiple of it.
    """

    def __init__(self, *, name: str, turn: Callable[[], Awaitable[None]], pause_seconds: float) -> None:
        self._name = name
        self._turn = turn
        self._pause_seconds = pause_seconds
        self._nudged = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether somebody waits for the turn to end: a long one asks between one thing and the next."""
        return self._stopping

    def start(self) -> None:
        """Start on the running event loop."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def nudge(self) -> None:
        """Take the next turn at once: on the event loop only."""
        self._nudged.set()

    async def stop(self) -> None:
        """Let the turn that runs come to its end, and stop."""
        self._stopping = True
        self._nudged.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._turn()
            except DatabaseUnavailable as error:
                _log.warning("%s: %s", self._name, error, extra={"action": "loop_failed"})
                await asyncio.sleep(_ERROR_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - the loop's boundary: one bad turn must not end upkeep
                _log.exception("%s failed", self._name, extra={"action": "loop_failed"})
                await asyncio.sleep(_ERROR_PAUSE_SECONDS)
            await self._wait()

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        tick = loop.call_at(self._next_tick(loop.time()), self._nudged.set)
        try:
            await self._nudged.wait()
        finally:
            tick.cancel()
        self._nudged.clear()

    def _next_tick(self, now: float) -> float:
        pause = self._pause_seconds
        tick = _phase.seconds + ((now - _phase.seconds) // pause + 1) * pause
        return tick if tick - now >= _SHORTEST_PAUSE * pause else tick + pause
