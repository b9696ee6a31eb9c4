"""Pause and drain: rows that every process follows within a second, whichever backend its jobs have.

Paused, nothing new starts, what runs goes on, and jobs are accepted as ever. Drained, besides, no
process is ready for requests, and what still runs after the grace is given back at its last step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, select

from generation_service.database import Database, db_now
from generation_service.database.tables import jobs, service_state
from generation_service.database.upsert import insert_if_absent, upsert
from generation_service.jobs.claims import PAUSED
from generation_service.jobs.loops import Loop
from generation_service.jobs.model import BACKENDS, Json
from generation_service.jobs.signs import Signs

DRAINING = "draining"
_RESUMED = "resumed"  # kept: the row of the last resume

_FOLLOW_SECONDS = 1.0

Wish = Literal["pause", "resume", "drain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """That somebody has paused or drained the service: who, since when, why."""

    by: str
    reason: str
    since: datetime
    grace_seconds: float | None = None  # of a drain
    grace_over: bool = False

    def as_json(self) -> dict[str, Json]:
        told = {"by": self.by, "reason": self.reason, "since": self.since.isoformat()}
        return told if self.grace_seconds is None else {**told, "grace_seconds": self.grace_seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in force; both None: the service works."""

    paused: Said | None
    draining: Said | None

    def as_json(self) -> dict[str, Json]:
        return {
            "paused": self.paused is not None,
            "draining": self.draining is not None,
            "pause": self.paused.as_json() if self.paused else None,
            "drain": self.draining.as_json() if self.draining else None,
        }


def read_state(connection: Connection) -> State:
    """What is in force now."""
    rows = connection.execute(_IN_FORCE)
    found = {row.name: _said(row.value, row.updated_at, row.now) for row in rows}
    return State(paused=found.get(PAUSED), draining=found.get(DRAINING))


_IN_FORCE = select(
    service_state.c.name, service_state.c.value, service_state.c.updated_at, db_now().label("now")
).where(service_state.c.name.in_([PAUSED, DRAINING]))


def resumed_at(connection: Connection) -> datetime | None:
    """When a pause or a drain was last ended, in database time; None: never."""
    return connection.execute(select(RESUMED_AT)).scalar_one_or_none()


RESUMED_AT = select(service_state.c.updated_at).where(service_state.c.name == _RESUMED).scalar_subquery()
"""As an expression."""


def apply(connection: Connection, wish: Wish, *, by: str, reason: str, grace_seconds: float) -> bool:
    """Fulfil the wish; whether it changed anything. Twice is once: the first word stands, its time too.

    `grace_seconds` is how long a drain lets jobs go on.
    """
    said: dict[str, Json] = {"by": by, "reason": reason}
    if wish == "resume":
        gone = delete(service_state).where(service_state.c.name.in_([PAUSED, DRAINING])).returning(service_state.c.name)
        changed = connection.execute(gone).first() is not None
        if changed:
            _remember_resume(connection, said)
        return changed
    changed = _enter(connection, PAUSED, said)
    if wish == "drain":
        changed = _enter(connection, DRAINING, {**said, "grace_seconds": grace_seconds}) or changed
    return changed


def would_change(state: State, wish: Wish) -> bool:
    """Whether `apply` would change anything."""
    if wish == "resume":
        return state.paused is not None or state.draining is not None
    return state.paused is None or (wish == "drain" and state.draining is None)


def count_live(connection: Connection) -> Mapping[str, Mapping[str, int]]:
    """How many jobs wait (those for a later time apart) and run, by backend."""
    later = (jobs.c.due_at > db_now()).label("later")
    rows = connection.execute(
        select(jobs.c.backend, jobs.c.status, later, func.count())
        .where(jobs.c.status.in_(["pending", "running"]))
        .group_by(jobs.c.backend, jobs.c.status, later)
    )
    counted: dict[str, dict[str, int]] = {backend: {"waiting": 0, "scheduled": 0, "running": 0} for backend in BACKENDS}
    for backend, status, is_later, number in rows:
        name = "running" if status == "running" else "scheduled" if is_later else "waiting"
        counted[backend][name] += number
    return counted


class StateFollower:
    """Follows the state in one process, and gives back what runs there once a drain's grace is over."""

    def __init__(self, *, database: Database, release_all: Callable[[], None], signs: Signs | None = None) -> None:
        self._database = database
        drained = select(service_state.c.name).where(service_state.c.name == DRAINING).exists()
        self._drained = (signs or Signs(database)).add(drained)
        self._release_all = release_all
        self._loop = Loop(name="state", turn=self.turn, pause_seconds=_FOLLOW_SECONDS)

    def start(self) -> None:
        """Start on the running event loop."""
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def turn(self) -> None:
        """Look once. Again and again while drained: a claim may have been on its way when the pause began."""
        if not await self._drained.look():
            return
        state = await self._database.read(read_state)
        if state.draining is not None and state.draining.grace_over:
            self._release_all()


def _enter(connection: Connection, name: str, value: dict[str, Json]) -> bool:
    return insert_if_absent(connection, service_state, {"name": name, "value": value, "updated_at": db_now()})


def _remember_resume(connection: Connection, said: dict[str, Json]) -> None:
    row = {"value": said, "updated_at": db_now()}
    statement = upsert(connection, service_state).values(name=_RESUMED, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def _said(value: Mapping[str, Any], since: datetime, now: datetime) -> Said:
    grace: float | None = value.get("grace_seconds")
    return Said(
        by=value["by"],
        reason=value["reason"],
        since=since,
        grace_seconds=grace,
        grace_over=grace is not None and now >= since + timedelta(seconds=grace),
    )
