"""The mode: who said which backend jobs get; whichever was said last is in force."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from generation_service.database import db_now
from generation_service.database.tables import environment_flags, worker_mode
from generation_service.database.upsert import upsert
from generation_service.jobs.model import Backend
from generation_service.jobs.routing import Mode, current_mode


@dataclass(frozen=True, slots=True)
class Flag:
    """What an environment says: the feature flag, and the master switch of the RQ part."""

    use_durable_worker: bool
    worker_system_enabled: bool

    @property
    def backend(self) -> Backend:
        return "rq" if self.use_durable_worker else "background_tasks"


def environment_says(connection: Connection, flag: Flag, *, host: str, role: str) -> Mode:
    """Hear what a process's environment says; it counts when it differs from the last time, or is the first word.

    So a mixed deployment does not flap, and an operator's later switch holds until the variable is changed.
    """
    seen = select(environment_flags).where(environment_flags.c.host == host, environment_flags.c.role == role)
    last = connection.execute(seen.with_for_update()).one_or_none()
    _remember(connection, flag, host, role)
    mode = current_mode(connection)
    if mode is None:
        return _say(connection, flag, reason="first start", said_by=f"{role}@{host}")
    if last is not None and Flag(last.use_durable_worker, last.worker_system_enabled) != flag:
        return _say(connection, flag, reason="the environment has changed", said_by=f"{role}@{host}")
    return mode


def _remember(connection: Connection, flag: Flag, host: str, role: str) -> None:
    says = {"use_durable_worker": flag.use_durable_worker, "worker_system_enabled": flag.worker_system_enabled}
    statement = upsert(connection, environment_flags).values(host=host, role=role, seen_at=db_now(), **says)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["host", "role"], set_={**says, "seen_at": db_now()})
    )


def _say(connection: Connection, flag: Flag, *, reason: str, said_by: str) -> Mode:
    """Add the next epoch; where two environments speak at once the primary key lets one of them through."""
    epoch = connection.execute(select(func.coalesce(func.max(worker_mode.c.epoch), 0) + 1)).scalar_one()
    row = {"backend": flag.backend, "enabled": flag.worker_system_enabled, "carry": "nothing"}
    statement = upsert(connection, worker_mode).values(
        epoch=epoch, **row, since=db_now(), said_by=said_by, reason=reason, source="environment"
    )
    connection.execute(statement.on_conflict_do_nothing())
    mode = current_mode(connection)
    if mode is None:
        raise AssertionError("a mode was just said")
    return mode
