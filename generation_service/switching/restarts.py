"""Graceful restarts: asked for once the new configuration has proved to hold, and followed until each successor serves.

The restart is a row; whoever asked may die before the supervisor has heard of it. So every process of
that supervisor tells it, and the supervisor restarts once for each id. What became of it is read off
the rows of the processes, and off the supervisor's own word.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from generation_service.database import Database
from generation_service.errors import Refused
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Json
from generation_service.jobs.signs import Signs
from generation_service.switching import operator, restart_rows
from generation_service.switching.mode import Flag
from generation_service.switching.operator import ModeWish
from generation_service.switching.restart_rows import Ending, Restart, judge
from generation_service.switching.supervision import Supervision, Word

_log = logging.getLogger(__name__)

Rehearse = Callable[[], Awaitable[Sequence[str]]]
"""Finds out whether a new process would start: the lines that say why not; none: it would."""

_LOOK_SECONDS = 1.0
# What a process may take to start, and to end beyond its jobs' grace. After that something must have gone wrong
# that nobody has told of.
_LONGEST_START_SECONDS = 40.0
_LONGEST_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartWish:
    """Who wants a restart and why, and what is said about the mode with it (None: nothing)."""

    reason: str
    said_by: str
    use_durable_worker: bool | None = None
    worker_system_enabled: bool | None = None

    @property
    def mode(self) -> ModeWish | None:
        """The word about the mode; None: none is said."""
        if self.use_durable_worker is None and self.worker_system_enabled is None:
            return None
        return ModeWish(
            use_durable_worker=self.use_durable_worker,
            worker_system_enabled=self.worker_system_enabled,
            reason=self.reason,
            said_by=self.said_by,
        )


class Restarts:
    """Asks this process's supervisor for restarts, and follows those of every supervisor.

    `supervision` is None where nobody keeps this process; `environment` is what counts as the mode
    where nobody has said any yet; `grace_seconds` is how long a process lets its jobs go on.
    """

    def __init__(
        self,
        *,
        database: Database,
        supervision: Supervision | None,
        rehearse: Rehearse,
        environment: Flag,
        grace_seconds: float,
        signs: Signs | None = None,
    ) -> None:
        self._database = database
        self._under_way = (signs or Signs(database)).add(restart_rows.is_under_way())
        self._supervision = supervision
        self._rehearse = rehearse
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._asked: set[str] = set()
        self._words: dict[str, Word] = {}
        self._loop = Loop(name="restarts", turn=self.turn, pause_seconds=_LOOK_SECONDS)

    def start(self) -> None:
        """Follow restarts on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def preview(self, wish: RestartWish) -> dict[str, Json]:
        """What `request` would do, having tried everything but the restart itself; raises what it would raise."""
        supervision = await self._check(wish)

        def look(connection: Connection) -> dict[str, Json]:
            there = [one.as_json() for one in restart_rows.kept_by(connection, str(supervision.identity))]
            effect = operator.preview(connection, wish.mode, self._environment) if wish.mode else None
            return {"dry_run": True, "processes": {"before": there}, "mode": effect.as_json() if effect else None}

        return await self._database.read(look)

    async def request(self, wish: RestartWish) -> Restart:
        """Begin a restart of all processes of this one's supervisor; what is said about the mode counts at once.

        Raises Refused: `not_supervised`, `restart_under_way` (409), `invalid_configuration` (422: nothing
        was restarted), and what `operator.fulfil` raises.
        """
        supervision = await self._check(wish)
        identity = str(supervision.identity)

        def begin(connection: Connection) -> Restart:
            restart_id = restart_rows.begin(connection, identity, said_by=wish.said_by, reason=wish.reason)
            if wish.mode:
                operator.fulfil(connection, wish.mode, self._environment)
            return restart_rows.get(connection, restart_id)

        restart = await self._database.write(begin)
        _log.info("Restart %s: %s", restart.id, wish.reason, extra={"action": "restart_requested"})
        self._ask(restart)
        return restart

    async def get(self, restart_id: str) -> Restart:
        """The restart as it stands. Raises Refused `restart_not_found` (404)."""
        return await self._database.read(partial(restart_rows.get, restart_id=restart_id))

    async def turn(self) -> None:
        """Look once: tell the supervisor what it may not have heard, and write down what has ended."""
        for word in self._supervision.words() if self._supervision else ():
            self._words[word.restart_id] = word
        if not await self._under_way.look():
            return
        for restart in await self._database.read(restart_rows.under_way):
            self._ask(restart)
            ending = judge(restart, self._words.get(restart.id), overdue=self._is_overdue(restart))
            if ending is not None:
                await self._end(restart, ending)

    async def _check(self, wish: RestartWish) -> Supervision:
        """Try whatever can be tried before anything is done, the cheap first."""
        supervision = self._supervision
        if supervision is None:
            raise Refused("not_supervised", 409)
        identity = str(supervision.identity)

        def look(connection: Connection) -> None:
            restart_rows.refuse_second(connection, identity)
            if wish.mode:
                operator.preview(connection, wish.mode, self._environment)

        await self._database.read(look)
        lines = await self._rehearse()
        if lines:
            raise Refused("invalid_configuration", 422, params={"lines": "\n".join(lines)})
        return supervision

    def _ask(self, restart: Restart) -> None:
        """Tell the supervisor once, if ours is meant: another process may have done so, or be dead by now."""
        ours = self._supervision is not None and restart.supervisor == str(self._supervision.identity)
        if self._supervision and ours and restart.id not in self._asked:
            self._asked.add(restart.id)
            self._supervision.ask(restart.id)

    def _is_overdue(self, restart: Restart) -> bool:
        each = _LONGEST_START_SECONDS + self._grace_seconds
        return restart.age_seconds > each * max(1, len(restart.names)) + _LONGEST_END_SECONDS

    async def _end(self, restart: Restart, ending: Ending) -> None:
        wrote = await self._database.write(partial(restart_rows.end, restart=restart, ending=ending))
        if wrote:
            extra = {"action": f"restart_{ending.status}"}
            _log.info("Restart %s: %s", restart.id, ending.error or ending.status, extra=extra)
