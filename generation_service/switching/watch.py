"""What a long-lived process does for switches unasked: goes on with an abandoned one, and watches for a reason."""

import logging

from generation_service.errors import Refused
from generation_service.jobs.loops import Loop
from generation_service.jobs.signs import Sign
from generation_service.switching.switchover import Switchover
from generation_service.switching.triggers import Triggers

_log = logging.getLogger(__name__)

_RESUME_SECONDS = 2.0
_PING_SECONDS = 1.0  # what is up for two seconds must not be taken for down
_LOOK_SECONDS = 2.0
_LEDGER_SECONDS = 15.0


class Watch:
    """The loops of one process; `under_way` says whether there is a switch.

    All see whether Redis is there; of those that act, leases say whose turn it is.
    Workers do not act: a rollback sends them to standby, in the midst of what they would be doing.
    """

    def __init__(self, *, switchover: Switchover, triggers: Triggers, under_way: Sign, acts: bool) -> None:
        self._switchover = switchover
        self._under_way = under_way
        self._loops = [Loop(name="redis-watch", turn=triggers.watch, pause_seconds=_PING_SECONDS)]
        if acts:
            self._loops += [
                Loop(name="switch-resume", turn=self._resume, pause_seconds=_RESUME_SECONDS),
                Loop(name="triggers", turn=triggers.turn, pause_seconds=_LOOK_SECONDS),
                Loop(name="ledger-watch", turn=triggers.count, pause_seconds=_LEDGER_SECONDS),
            ]

    def start(self) -> None:
        """Start on the running event loop."""
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """Stop; a switch that is under way here is let go, and another process goes on with it."""
        self._switchover.interrupt()
        for loop in self._loops:
            await loop.stop()

    async def _resume(self) -> None:
        if not await self._under_way.look():
            return
        try:
            await self._switchover.resume()
        except Refused as refused:  # this process was silent for too long itself: another one goes on
            _log.warning("A switch was taken over: %s", refused.code, extra={"action": "switch_taken_over"})
