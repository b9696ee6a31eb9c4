"""What monitoring shows of a rollback: whether it is in force, how fast the service answers, which workers live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from generation_service.database import db_now
from generation_service.database.operations import processes, switches
from generation_service.jobs.routing import current_mode

ALIVE_SECONDS = 5.0
"""A process writes its row every second or so; one that has not for this long is not counted as alive."""

ANSWERING = ("serving", "draining")
"""What an API process does while it answers."""

_SHORTEST_MEAN_SECONDS = 0.1  # below it the ratio would only say how idle the service is


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackFigures:
    """One look. `answer_seconds` is the mean time of an answer over the last minutes; None: nobody was answered."""

    active: bool
    answer_seconds: float | None
    failed_switches: int
    workers_alive: int

    def performance_ratio(self, baseline_seconds: float) -> float:
        """The baseline over the measured mean: 1 is as fast as before, 0.5 takes twice as long."""
        return performance_ratio(self.answer_seconds, baseline_seconds)


def performance_ratio(answer_seconds: float | None, baseline_seconds: float) -> float:
    """As `RollbackFigures.performance_ratio`."""
    return baseline_seconds / max(answer_seconds or 0.0, _SHORTEST_MEAN_SECONDS)


def mean_answer_seconds(said: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean time of an answer of API processes that say these figures; None: nobody was answered."""
    answers = sum(one.get("answers", 0) for one in said)
    return sum(one.get("answer_seconds", 0.0) for one in said) / answers if answers else None


def rollback_figures(connection: Connection) -> RollbackFigures:
    """Read the figures. Jobs that run in-process count as a rollback, whoever said so and since when."""
    mode = current_mode(connection)
    return RollbackFigures(
        active=mode is None or mode.target != "rq",
        answer_seconds=mean_answer_seconds(_figures(connection, "api", ANSWERING)),
        failed_switches=connection.execute(_FAILED).scalar_one(),
        workers_alive=len(_figures(connection, "worker", ("serving",))),
    )


def _figures(connection: Connection, role: str, states: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """What the live processes of a role say of themselves."""
    return [one.figures for one in connection.execute(_ALIVE, {"of_role": role}) if one.state in states]


_ALIVE = select(processes.c.state, processes.c.figures).where(
    processes.c.role == bindparam("of_role"),
    processes.c.ended_at.is_(None),
    processes.c.seen_at > db_now(-ALIVE_SECONDS),
)
_FAILED = select(func.count()).select_from(switches).where(switches.c.status == "failed")
