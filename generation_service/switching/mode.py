"""The mode: who said which backend jobs get; whichever was said last is in force."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from generation_service.database import db_now
from generation_service.database.operations import environment_flags, worker_mode
from generation_service.database.upsert import insert_if_absent, upsert
from generation_service.jobs.model import Backend
from generation_service.jobs.routing import Carry, Mode, Rollout, current_mode, rollout_of


@dataclass(frozen=True, slots=True)
class Flag:
    """What an environment says: the feature flag, the master switch of the RQ part, and whom the flag covers."""

    use_durable_worker: bool
    worker_system_enabled: bool
    rollout: Rollout = field(default_factory=Rollout)

    @property
    def backend(self) -> Backend:
        return "rq" if self.use_durable_worker else "background_tasks"

    def as_columns(self) -> dict[str, Any]:
        """The flag as `environment_flags` stores it."""
        return {
            "use_durable_worker": self.use_durable_worker,
            "worker_system_enabled": self.worker_system_enabled,
            "rollout_percent": self.rollout.percent,
            "rollout_projects": list(self.rollout.projects),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What somebody says about the mode, why, and as whom. `source`: environment, operator or trigger."""

    flag: Flag
    carry: Carry = "nothing"
    reason: str
    said_by: str
    source: str


def environment_says(connection: Connection, flag: Flag, *, host: str, role: str) -> Mode:
    """Hear what a process's environment says; it counts when it differs from the last time, or is the first word.

    So a mixed deployment does not flap, and an operator's later switch holds until the variable is changed.
    """
    seen = select(environment_flags).where(environment_flags.c.host == host, environment_flags.c.role == role)
    last = connection.execute(seen.with_for_update()).one_or_none()
    environment_seen(connection, flag, host=host, role=role)
    mode = current_mode(connection)
    if mode is None:
        reason = "first start"
    elif last is not None and _flag_of(last._mapping) != flag:  # noqa: SLF001 - SQLAlchemy's public name for it
        reason = "the environment has changed"
    else:
        return mode
    # What was asked to be taken along stays asked for where the environment says what is in force already.
    carry: Carry = mode.carry if mode is not None and flag == flag_in_force(mode) else "nothing"
    word = Word(flag=flag, carry=carry, reason=reason, said_by=f"{role}@{host}", source="environment")
    said = say(connection, word, after=mode.epoch if mode else 0) or current_mode(connection)
    if said is None:
        raise AssertionError("a mode was just said")
    return said


def environment_seen(connection: Connection, flag: Flag, *, host: str, role: str) -> None:
    """Note what an environment says without counting it as a word: nobody has started this process anew."""
    says = flag.as_columns()
    statement = upsert(connection, environment_flags).values(host=host, role=role, seen_at=db_now(), **says)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["host", "role"], set_={**says, "seen_at": db_now()})
    )


def say(connection: Connection, word: Word, *, after: int) -> Mode | None:
    """Add the epoch that follows `after`; None where somebody else was faster, whose word then is in force."""
    fresh = {
        "epoch": after + 1,
        "backend": word.flag.backend,
        "enabled": word.flag.worker_system_enabled,
        "carry": word.carry,
        "rollout_percent": word.flag.rollout.percent,
        "rollout_projects": list(word.flag.rollout.projects),
        "since": db_now(),
        "said_by": word.said_by,
        "reason": word.reason,
        "source": word.source,
    }
    newest = connection.execute(select(func.coalesce(func.max(worker_mode.c.epoch), 0))).scalar_one()
    if newest != after or not insert_if_absent(connection, worker_mode, fresh):
        return None
    return current_mode(connection)


def flag_in_force(mode: Mode) -> Flag:
    """The mode's own flag: what an operator who says only one of its parts leaves as it is."""
    return Flag(mode.backend == "rq", mode.enabled, mode.rollout)


def _flag_of(columns: Any) -> Flag:
    rollout = rollout_of(columns["rollout_percent"], columns["rollout_projects"])
    return Flag(columns["use_durable_worker"], columns["worker_system_enabled"], rollout)
