"""The rows of restarts: what was asked for, which processes it is about, and how it has ended."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, select, update

from generation_service.database import db_now
from generation_service.database.operations import processes, restarts
from generation_service.database.upsert import insert_if_absent
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id, uuid7
from generation_service.jobs.model import Json
from generation_service.switching.processes import ProcessView, views
from generation_service.switching.supervision import Word

Status = Literal["running", "completed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """One restart: the processes that were there `before`, and those that have come `after`, as JSON.

    `names` are those that are to be replaced, `age_seconds` is how long ago it was asked for.
    """

    id: str
    supervisor: str
    host: str
    status: Status
    said_by: str
    reason: str
    requested_at: datetime
    completed_at: datetime | None
    error: Json | None
    names: Sequence[str]
    before: Sequence[dict[str, Json]]
    after: Sequence[dict[str, Json]]
    age_seconds: float

    def as_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "status": self.status,
            "reason": self.reason,
            "said_by": self.said_by,
            "host": self.host,
            "requested_at": self.requested_at.isoformat(),
            "completed_at": self.completed_at.isoformat() if self.completed_at else None,
            "error": self.error,
            "processes": {"before": list(self.before), "after": list(self.after)},
            "urls": {"self": f"/api/admin/restarts/{self.id}"},
        }


@dataclass(frozen=True, slots=True)
class Ending:
    """How a restart has ended; `error` has a code and a message where it failed."""

    status: Status
    error: Json | None = None


def judge(restart: Restart, word: Word | None, *, overdue: bool) -> Ending | None:
    """How a restart has ended; None: it goes on. `word` is the supervisor's, if it has given any."""
    if word is not None and word.outcome == "failed":
        return Ending("failed", {"code": "successor_failed", "message": word.detail})
    all_gone = all(one["ended_at"] for one in restart.before)
    ready = sum(bool(one["ready"]) for one in restart.after)
    enough = 1 if overdue or word is not None else max(1, len(restart.names))
    if all_gone and ready >= enough:
        return Ending("completed")
    if overdue:
        return Ending("failed", {"code": "took_too_long", "message": "not every process was replaced in time"})
    return None


def begin(connection: Connection, supervisor: str, *, said_by: str, reason: str) -> str:
    """Enter a restart of all processes of a supervisor; its id. Raises Refused `restart_under_way` (409)."""
    fresh: dict[str, Any] = {
        "id": uuid7(),
        "supervisor": supervisor,
        "host": socket.gethostname(),
        "status": "running",
        "said_by": said_by,
        "reason": reason,
        "before": [one.name for one in kept_by(connection, supervisor)],
        "requested_at": db_now(),
    }
    while not insert_if_absent(connection, restarts, fresh):
        refuse_second(connection, supervisor)  # or else it has just ended
    return str(fresh["id"])


def end(connection: Connection, restart: Restart, ending: Ending) -> bool:
    """Write the ending, with the processes as they are now; whether nobody else had done so."""
    kept = {"before": list(restart.before), "after": list(restart.after)}
    wrote = (
        update(restarts)
        .where(restarts.c.id == restart.id, restarts.c.status == "running")
        .values(status=ending.status, error=ending.error, completed_at=db_now(), processes=kept)
        .returning(restarts.c.id)
    )
    return connection.execute(wrote).first() is not None


def refuse_second(connection: Connection, supervisor: str) -> None:
    """Raise Refused `restart_under_way` (409), with its progress, where one of this supervisor is."""
    mine = [one for one in under_way(connection) if one.supervisor == supervisor]
    if mine:
        raise Refused("restart_under_way", 409, params=mine[0].as_json())


def under_way(connection: Connection) -> list[Restart]:
    """The restarts that go on, of every supervisor."""
    return _read(connection, restarts.c.status == "running")


def is_under_way() -> ColumnElement[bool]:
    """Whether there is any, of any supervisor."""
    return select(restarts.c.id).where(restarts.c.status == "running").exists()


def get(connection: Connection, restart_id: str) -> Restart:
    """One restart. Raises Refused `restart_not_found` (404)."""
    found = _read(connection, restarts.c.id == restart_id) if is_id(restart_id) else []
    if not found:
        raise Refused("restart_not_found", 404)
    return found[0]


def kept_by(connection: Connection, supervisor: str) -> list[ProcessView]:
    """The processes of a supervisor that are not on their way out."""
    kept = views(connection, processes.c.supervisor == supervisor, processes.c.ended_at.is_(None))
    return [one for one in kept if one.state != "draining"]


def _read(connection: Connection, condition: Any) -> list[Restart]:
    wanted = select(restarts, db_now().label("now")).where(condition).order_by(restarts.c.id)
    return [_restart_of(connection, dict(row)) for row in connection.execute(wanted).mappings()]


def _restart_of(connection: Connection, columns: dict[str, Any]) -> Restart:
    names, kept, now = columns.pop("before"), columns.pop("processes"), columns.pop("now")
    seen = kept or _seen(connection, columns["supervisor"], names, columns["requested_at"])
    age = (now - columns["requested_at"]).total_seconds()
    return Restart(**columns, names=names, age_seconds=age, **seen)


def _seen(
    connection: Connection, supervisor: str, names: Sequence[str], since: datetime
) -> dict[str, list[dict[str, Json]]]:
    """What the processes themselves say, as long as it goes on."""
    before = views(connection, processes.c.name.in_(names))
    came = (processes.c.supervisor == supervisor, processes.c.started_at >= since, processes.c.name.not_in(names))
    after = views(connection, *came)
    return {"before": [one.as_json() for one in before], "after": [one.as_json() for one in after]}
