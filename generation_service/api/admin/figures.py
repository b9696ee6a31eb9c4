"""The figures of GET /api/admin/stats: what all processes say of themselves, and what the database counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from generation_service.api.resources import rfc3339
from generation_service.database import db_now
from generation_service.database.operations import processes
from generation_service.jobs.model import Backend, Json, Status
from generation_service.jobs.queries import count_by_status, oldest_waiting_seconds
from generation_service.switching import state
from generation_service.switching.figures import ALIVE_SECONDS

_STATUSES: tuple[Status, ...] = ("pending", "running", "completed", "failed", "cancelled")
_NO_CAPACITY = ("standby", "ended", "crashed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One look into the database: live processes as their rows tell, jobs by backend and status."""

    alive: Sequence[Mapping[str, Any]]
    jobs: Mapping[tuple[Backend, Status], int]
    oldest_waiting_seconds: float
    state: state.State

    def count(self, status: Status, backend: Backend | None = None) -> int:
        """How many jobs have this status, on one backend or on both."""
        return sum(number for key, number in self.jobs.items() if key[1] == status and backend in (None, key[0]))

    def total(self, role: str, name: str) -> float:
        """A figure of all live processes of a role that take work, summed up."""
        rows = [row for row in self.alive if row["role"] == role and row["state"] not in _NO_CAPACITY]
        return float(sum(row["figures"].get(name, 0) for row in rows))

    def backend(self, backend: Backend, role: str) -> dict[str, Json]:
        """How busy one backend is."""
        return {
            "active": self.count("running", backend),
            "pending": self.count("pending", backend),
            "capacity": int(self.total(role, "capacity")),
        }

    @property
    def average_response_time(self) -> float:
        """Seconds, of the API's answers in the last minutes over all processes; 0 where nobody was answered."""
        answers = self.total("api", "answers")
        return round(self.total("api", "answer_seconds") / answers, 6) if answers else 0.0

    def as_json(self) -> dict[str, Json]:
        """Everything but RQ's own figures."""
        return {
            "background_tasks": self.backend("background_tasks", "api"),
            "average_response_time": self.average_response_time,
            "jobs": {status: self.count(status) for status in _STATUSES},
            "oldest_waiting_seconds": round(self.oldest_waiting_seconds, 1),
            "memory_bytes": int(sum(row["figures"].get("rss_bytes", 0) for row in self.alive)),
            "processes": [_process(row) for row in self.alive],
            "state": self.state.as_json(),
        }

    @property
    def workers(self) -> int:
        """How many worker processes are at work: those that stand by are none."""
        return sum(row["role"] == "worker" and row["state"] == "serving" for row in self.alive)


def look(connection: Connection) -> Figures:
    """Read the figures."""
    now = connection.execute(select(db_now())).scalar_one()
    alive = (
        select(processes)
        .where(processes.c.ended_at.is_(None), processes.c.seen_at > db_now(-ALIVE_SECONDS))
        .order_by(processes.c.role, processes.c.name)
    )
    return Figures(
        alive=[dict(row) for row in connection.execute(alive).mappings()],
        jobs=count_by_status(connection),
        oldest_waiting_seconds=oldest_waiting_seconds(connection, now),
        state=state.read_state(connection),
    )


def _process(row: Mapping[str, Any]) -> dict[str, Json]:
    known = {name: row[name] for name in ("name", "role", "host", "pid", "state")}
    return {**known, "started_at": rfc3339(row["started_at"]), "figures": row["figures"]}
