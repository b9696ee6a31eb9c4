"""The mode in force, and where it sends a job: a row that whoever routes a job reads in its own transaction."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from sqlalchemy import Connection, bindparam, select

from generation_service.database.operations import worker_mode
from generation_service.jobs.model import Backend

Carry = Literal["nothing", "waiting", "running"]
"""What a switch takes along: nothing (jobs stay where they are), what waits, or what runs too."""

PINNED_KINDS = frozenset({"canary"})
"""Kinds that run where they were sent, whatever the mode: what tries a backend must not be moved off it."""

_BUCKETS = 100


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which projects a wish for RQ covers: `percent` of them, by a hash of their id, and those that are named."""

    percent: int = 100
    projects: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every job is covered, those without a project included."""
        return self.percent >= _BUCKETS

    def covers(self, project_id: str | None) -> bool:
        """Whether jobs of this project go to RQ; the answer for a project never changes while the numbers stay."""
        if self.whole:
            return True
        return project_id is not None and (project_id in self.projects or _bucket(project_id) < self.percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Which backend jobs get, since when, and who said so. `enabled` is the RQ part's master switch."""

    epoch: int
    backend: Backend
    enabled: bool
    carry: Carry
    rollout: Rollout
    since: datetime
    said_by: str
    reason: str
    source: str

    @property
    def target(self) -> Backend:
        """The backend that this mode is about."""
        return self.backend if self.enabled else "background_tasks"

    @property
    def moves(self) -> Carry:
        """What is taken along; with no RQ part nothing could run what waits for it, so that always goes."""
        return "waiting" if self.carry == "nothing" and not self.enabled else self.carry

    def target_for(self, project_id: str | None) -> Backend:
        """The backend that a job of this project gets now."""
        return "rq" if self.target == "rq" and self.rollout.covers(project_id) else "background_tasks"


def current_mode(connection: Connection) -> Mode | None:
    """The mode with the highest epoch; None before anyone has said anything."""
    found = modes(connection, limit=1)
    return found[0] if found else None


def modes(connection: Connection, *, limit: int, before: int | None = None) -> list[Mode]:
    """The last modes, the one in force first; or the last ones before the epoch `before`."""
    wanted = _MODES if before is None else _MODES.where(worker_mode.c.epoch < before)
    rows = connection.execute(wanted, {"most": limit})
    return [_mode_of(dict(row._mapping)) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it


_MODES = select(worker_mode).order_by(worker_mode.c.epoch.desc()).limit(bindparam("most"))


def target_backend(connection: Connection, project_id: str | None = None) -> Backend:
    """Where a job that is accepted, or returns to waiting, in this transaction runs."""
    mode = current_mode(connection)
    return mode.target_for(project_id) if mode else "background_tasks"


def rollout_of(percent: int, projects: Collection[str]) -> Rollout:
    """The rollout that these two columns or settings describe."""
    return Rollout(percent, tuple(sorted(projects)))


def _mode_of(columns: dict[str, object]) -> Mode:
    rollout = rollout_of(columns.pop("rollout_percent"), columns.pop("rollout_projects"))  # type: ignore[arg-type]
    return Mode(rollout=rollout, **columns)  # type: ignore[arg-type]  # the columns are the fields


def _bucket(project_id: str) -> int:
    return int.from_bytes(sha256(project_id.encode()).digest()[:8], "big") % _BUCKETS
