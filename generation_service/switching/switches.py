"""The rows of switches: at most one is under way, held under a lease, and only its holder writes to its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, or_, select, update

from generation_service.database import db_now
from generation_service.database.operations import switches
from generation_service.database.upsert import insert_if_absent
from generation_service.errors import Refused
from generation_service.jobs.ids import is_id, uuid7
from generation_service.jobs.model import Json
from generation_service.jobs.queries import Page

LEASE_SECONDS = 5.0
"""So long after its holder has fallen silent a switch is taken over; renewed three times within it."""

SwitchKind = Literal["rollback", "rollforward"]
SwitchStatus = Literal["running", "completed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One row of `switches`; a value. Its `report` is as it was when the row was read.

    `report`: asked (what was asked for), evidence (a trigger's), before (mode and jobs), steps
    [{name, started_at, seconds, result}], and at the end outcome; see switching/reports.py.
    """

    id: str
    kind: SwitchKind
    epoch: int
    status: SwitchStatus
    source: str
    said_by: str
    reason: str
    holder: str | None
    lease_until: datetime | None
    report: Mapping[str, Any]
    started_at: datetime
    completed_at: datetime | None

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        return list(self.report["steps"])

    def step(self, name: str) -> Mapping[str, Any] | None:
        """The record of a step that is done; None: it is not."""
        return next((step for step in self.steps if step["name"] == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSwitch:
    """A switch that begins; `report` holds what is known of it already."""

    kind: SwitchKind
    epoch: int
    source: str
    said_by: str
    reason: str
    holder: str
    report: Mapping[str, Json] = field(default_factory=dict)


def begin(connection: Connection, fresh: NewSwitch) -> Switch:
    """Begin a switch, held by `fresh.holder`. Raises Refused `switch_under_way` (409) while there is one."""
    refuse_a_second(connection)
    values = {
        "id": uuid7(),
        "status": "running",
        "lease_until": db_now(LEASE_SECONDS),
        "started_at": db_now(),
        **{name: getattr(fresh, name) for name in ("kind", "epoch", "source", "said_by", "reason", "holder")},
        "report": dict(fresh.report),
    }
    if not insert_if_absent(connection, switches, values):  # another one began at the same time
        return begin(connection, fresh)
    return find(connection, str(values["id"]))


def refuse_a_second(connection: Connection) -> None:
    """Raise Refused `switch_under_way` (409), with its progress, while a switch is under way."""
    running = under_way(connection)
    if running is not None:
        raise Refused("switch_under_way", 409, params=progress(running))


def progress(switch: Switch) -> dict[str, Json]:
    """How far a switch has come, as a refusal tells it."""
    return {
        "id": switch.id,
        "kind": switch.kind,
        "since": switch.started_at.isoformat(),
        "said_by": switch.said_by,
        "steps_done": ", ".join(step["name"] for step in switch.steps) or "-",
    }


def under_way(connection: Connection) -> Switch | None:
    """The switch that has not ended, whether its holder lives or not."""
    row = connection.execute(select(switches).where(switches.c.status == "running")).one_or_none()
    return _switch_of(row) if row else None


def is_under_way() -> ColumnElement[bool]:
    """Whether there is one that has not ended."""
    return select(switches.c.id).where(switches.c.status == "running").exists()


def find(connection: Connection, switch_id: str) -> Switch:
    """The switch. Raises Refused `switch_not_found` (404)."""
    row = connection.execute(select(switches).where(switches.c.id == switch_id)).one_or_none()
    if row is None:
        raise Refused("switch_not_found", 404)
    return _switch_of(row)


def page(connection: Connection, *, limit: int, cursor: str | None) -> Page[Switch]:
    """A page of switches, the newest first. Raises Refused `invalid_cursor` (422)."""
    if cursor is not None and not is_id(cursor):
        raise Refused("invalid_cursor", 422)
    wanted = select(switches).order_by(switches.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        wanted = wanted.where(switches.c.id < cursor)
    found = [_switch_of(row) for row in connection.execute(wanted)]
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def take_over(connection: Connection, holder: str) -> Switch | None:
    """Take the switch that is under way if its holder has fallen silent; None: there is none, or it is held."""
    silent = or_(switches.c.lease_until.is_(None), switches.c.lease_until < db_now())
    held = {"holder": holder, "lease_until": db_now(LEASE_SECONDS)}
    statement = update(switches).where(switches.c.status == "running", silent).values(**held).returning(*switches.c)
    row = connection.execute(statement).one_or_none()
    return _switch_of(row) if row else None


def renew(connection: Connection, switch: Switch) -> bool:
    """Keep the lease; whether the switch is still this holder's."""
    kept = update(switches).where(*_mine(switch)).values(lease_until=db_now(LEASE_SECONDS))
    return bool(connection.execute(kept).rowcount)


def let_go(connection: Connection, switch: Switch) -> None:
    """Let another process go on with it at once."""
    connection.execute(update(switches).where(*_mine(switch)).values(lease_until=db_now(-1)))


def write(connection: Connection, switch: Switch, **changes: Any) -> Switch:
    """Write to a switch that is still its holder's; the lease is kept too.

    Raises Refused `switch_taken_over` (409): whoever holds it now goes on with it.
    """
    lease = {"lease_until": db_now(LEASE_SECONDS)}
    statement = update(switches).where(*_mine(switch)).values(**{**lease, **changes}).returning(*switches.c)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise Refused("switch_taken_over", 409, params={"id": switch.id})
    return _switch_of(row)


def supersede(connection: Connection, switch: Switch, by: str) -> None:
    """End a switch that another one makes pointless, whoever holds it: its holder's next write is refused."""
    seen = select(switches.c.report).where(switches.c.id == switch.id).with_for_update()
    known: Mapping[str, Json] = connection.execute(seen).scalar_one()
    report = {**known, "outcome": {"findings": [{"code": "superseded", "params": {"by": by}}]}}
    ended = {"status": "failed", "completed_at": db_now(), "lease_until": None, "report": report}
    connection.execute(
        update(switches).where(switches.c.id == switch.id, switches.c.status == "running").values(**ended)
    )


def _mine(switch: Switch) -> list[ColumnElement[bool]]:
    return [switches.c.id == switch.id, switches.c.holder == switch.holder, switches.c.status == "running"]


def _switch_of(row: Any) -> Switch:
    return Switch(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
