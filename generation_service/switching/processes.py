"""The processes of the service: each writes a row of its own, and those that fall silent are noticed by the others."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection, Select, bindparam, case, delete, select, update

from generation_service.database import Database, db_now
from generation_service.database.operations import processes
from generation_service.database.upsert import Insert, upsert_for
from generation_service.errors import DatabaseUnavailable
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import Json
from generation_service.jobs.signs import Signs
from generation_service.switching.figures import ALIVE_SECONDS
from generation_service.telemetry.memory import own_memory

_log = logging.getLogger(__name__)

State = Literal["starting", "serving", "standby", "draining", "ended", "crashed"]
"""What a process does. `standby`: it waits for the RQ part to be switched on. The last two are the end."""

WRITING_SECONDS = 1.0
_KEPT_SECONDS = 24 * 3600.0  # rows of processes that are gone
_PRUNING_SECONDS = 3600.0
_CLOCKS_DISAGREE_SECONDS = 0.5
_MEETING_SECONDS = 0.2  # a look takes a few milliseconds; where reads stall, the row is written all the same

Figures = Callable[[], Mapping[str, float]]
"""What a process says of itself, if it can: rss_bytes, active, capacity, streams, answers, answer_seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """One row of `processes`."""

    name: str
    role: str
    host: str
    pid: int
    supervisor: str | None
    state: State
    figures: Mapping[str, Any]
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None

    @property
    def gone(self) -> bool:
        return self.ended_at is not None

    def as_json(self) -> dict[str, Json]:
        """What a restart shows of it."""
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state,
            "ready": self.state == "serving",
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }


def name_process(role: str) -> str:
    """A name that no other process has had; it begins every holder's name of this process."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}/{uuid4().hex[:6]}"


class Processes:
    """The row of this process, kept up to date about once a second; and a look at the rows of the others.

    A database that does not answer only delays what is written. After such an outage, after it has
    kept this process waiting, after this process was frozen, and after its clock was set, nobody is
    declared dead for `ALIVE_SECONDS`: the others write first.
    """

    def __init__(
        self, *, database: Database, name: str, role: str, supervisor: str | None = None, signs: Signs | None = None
    ) -> None:
        self.name = name
        self._database = database
        self._signs = signs
        self._role = role
        self._supervisor = supervisor
        self._state: State = "starting"
        self._writes = self._write_statement()
        self._figures: list[Figures] = [lambda: {"rss_bytes": own_memory()}]
        self._quiet_until = 0.0  # monotonic: nobody is declared dead before
        self._prune_at = 0.0  # monotonic
        self._clocks = (time.time(), time.monotonic())
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._loop = Loop(name="processes", turn=self.turn, pause_seconds=WRITING_SECONDS)

    def report(self, figures: Figures) -> None:
        """Write these figures too; asked for about once a second, from any thread."""
        self._figures.append(figures)

    def enter(self, state: State) -> None:
        """Be in this state from now on; from any thread, and written soon."""
        self._state = state
        if self._event_loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has just been closed
                self._event_loop.call_soon_threadsafe(self._loop.nudge)

    async def start(self) -> None:
        """Write the row for the first time, and go on writing on the running event loop."""
        self._be_quiet()
        await self._database.write(self.write)
        self._event_loop = asyncio.get_running_loop()
        self._loop.start()

    async def stop(self) -> None:
        """Say goodbye; where the database does not answer, the others will find out."""
        await self._loop.stop()
        with contextlib.suppress(DatabaseUnavailable):
            await self._database.write(self.end)

    async def turn(self) -> None:
        """Write the row once, and look who has fallen silent."""
        await self._meet()
        try:
            anyone_silent = await self._database.keep_up(self._write_and_look, of="process")
            self._compare_clocks()  # the write may have hung, and that of the others with it
            if time.monotonic() >= self._quiet_until and anyone_silent:
                await self._bury()
            if time.monotonic() >= self._prune_at:
                await self._database.write(_prune)
                self._prune_at = time.monotonic() + _PRUNING_SECONDS
        except DatabaseUnavailable:
            self._be_quiet()
            raise
        finally:
            self._clocks = (time.time(), time.monotonic())

    async def _meet(self) -> None:
        """Wait for what other loops look at just now, not for long: what they then write rides with the row."""
        if self._signs is not None:
            with contextlib.suppress(Exception):  # it is theirs; the row is written whatever becomes of it
                async with asyncio.timeout(_MEETING_SECONDS):
                    await self._signs.look()

    def write(self, connection: Connection) -> None:
        """Write the row as it is now, in the caller's transaction: also where somebody took this process for dead."""
        connection.execute(self._writes, {"in_state": self._state, "saying": self._say()})

    def _write_statement(self) -> Insert:
        """Built once: it is written again and again while nothing happens."""
        figures = bindparam("saying", type_=processes.c.figures.type)
        says = {"state": bindparam("in_state"), "figures": figures, "seen_at": db_now(), "ended_at": None}
        fresh = {
            "name": self.name,
            "role": self._role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "supervisor": self._supervisor,
            "started_at": db_now(),
        }
        statement = upsert_for(self._database.dialect, processes).values(**fresh, **says)
        return statement.on_conflict_do_update(index_elements=["name"], set_=says)

    def end(self, connection: Connection) -> None:
        """Write that this process is over, in the caller's transaction."""
        over = {"state": "ended", "seen_at": db_now(), "ended_at": db_now()}
        connection.execute(update(processes).where(processes.c.name == self.name).values(over))

    def _write_and_look(self, connection: Connection) -> bool:
        self.write(connection)
        return _is_anyone_silent(connection)

    async def _bury(self) -> None:
        for gone in await self._database.write(self._bury_unless_late):
            extra = {"action": "process_crashed", "holder": gone.name, "role": gone.role}
            _log.warning("Process %s fell silent", gone.name, extra=extra)

    def _bury_unless_late(self, connection: Connection) -> list[ProcessView]:
        """The database may have hung since this process looked, too."""
        self._compare_clocks()
        return bury_silent(connection, self.name) if time.monotonic() >= self._quiet_until else []

    def _say(self) -> dict[str, float]:
        return {name: value for figures in self._figures for name, value in figures().items()}

    def _be_quiet(self) -> None:
        self._quiet_until = time.monotonic() + ALIVE_SECONDS

    def _compare_clocks(self) -> None:
        wall, steady = time.time() - self._clocks[0], time.monotonic() - self._clocks[1]
        frozen = steady > WRITING_SECONDS + ALIVE_SECONDS / 2
        if frozen or abs(wall - steady) > _CLOCKS_DISAGREE_SECONDS:
            self._be_quiet()


def alive(connection: Connection, role: str | None = None) -> list[ProcessView]:
    """The processes (of one role) that have lately been seen, those that stand by or drain included."""
    found = connection.execute(_ALIVE if role is None else _ALIVE_OF_ROLE, {"of_role": role} if role else {})
    return [ProcessView(**row) for row in found.mappings()]


def crashed_since(connection: Connection, seconds: float, role: str) -> list[ProcessView]:
    """The processes of a role that fell silent without goodbye within these last seconds."""
    return views(
        connection,
        processes.c.state == "crashed",
        processes.c.role == role,
        processes.c.ended_at > db_now(-seconds),
    )


def _alive_statement(*more: Any) -> Select[Any]:
    seen = (processes.c.ended_at.is_(None), processes.c.seen_at > db_now(-ALIVE_SECONDS), *more)
    return select(processes).where(*seen).order_by(processes.c.started_at, processes.c.name)


_ALIVE = _alive_statement()
_ALIVE_OF_ROLE = _alive_statement(processes.c.role == bindparam("of_role"))


def views(connection: Connection, *conditions: Any) -> list[ProcessView]:
    """The rows that meet these conditions on `processes`, in the order in which they started."""
    found = select(processes).where(*conditions).order_by(processes.c.started_at, processes.c.name)
    return [ProcessView(**row) for row in connection.execute(found).mappings()]


def bury_silent(connection: Connection, watcher: str) -> list[ProcessView]:
    """Write off whoever has fallen silent; those who did so while `watcher` was there are returned: they crashed.

    Who was silent before has ended together with everybody who could have seen it: the whole service
    was switched off, and that is no crash of a process. The end counts from when it was last seen.
    """
    since = select(processes.c.started_at).where(processes.c.name == watcher).scalar_subquery()
    witnessed = case((processes.c.seen_at >= since, "crashed"), else_="ended")
    buried = (
        update(processes)
        .where(*_silent())
        .values(state=witnessed, ended_at=processes.c.seen_at)
        .returning(*processes.c)
    )
    found = [ProcessView(**row) for row in connection.execute(buried).mappings()]
    return [one for one in found if one.state == "crashed"]


def _silent() -> tuple[Any, ...]:
    return processes.c.ended_at.is_(None), processes.c.seen_at < db_now(-ALIVE_SECONDS)


def _is_anyone_silent(connection: Connection) -> bool:
    return connection.execute(_ANYONE_SILENT).first() is not None


_ANYONE_SILENT = select(processes.c.name).where(*_silent()).limit(1)


def _prune(connection: Connection) -> None:
    connection.execute(delete(processes).where(processes.c.ended_at < db_now(-_KEPT_SECONDS)))
